# SPDX-License-Identifier: Apache-2.0
"""What an attempt may deviate by before its result is not trusted: the limits of a spec, and their defaults."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from orchestrator.spec.fields import Interval, Share, Strict

LimitName = Literal[
    "duration",
    "window",
    "counters",
    "clock_step",
    "clock_skew",
    "stray_traffic",
    "rekey",
    "competing_load",
    "steal",
    "throttling",
    "frequency",
    "interrupts",
    "retransmits",
    "drops",
    "variation",
    "spread",
    "headroom",
    "unexplained",
    "bounds",
    "kernel_log",
    "skew",
    "lent",
    "control",
]
REKEY_AFTER_S = 120.0  # REKEY_AFTER_TIME in WireGuard's protocol
REKEY_MARGIN_S = 5.0  # between the end of the planned traffic and the next handshake
LIMIT_NAMES: tuple[str, ...] = get_args(LimitName)


class Limits(Strict):
    """An attempt that breaks a limit is invalid, and says which; one of ``report_only`` only marks it.

    Shares are of 1. The same limits hold in every tier. Seven limits have no number: no other traffic may pass before
    the trial's own, no rekey may fall into it, no CPU may be throttled, no interrupt may move to another CPU, no packet
    may be lost where no counter says so, a search must find a lower bound, and the kernel may not complain. In virtual
    time other programs make a trial longer and not wrong, and the machine's clock falls behind by design: there,
    clock_skew and what other programs and a hypervisor took from the computer break no limit. The limits skew, lent and
    control apply only there.
    """

    duration: Share = Field(
        default=0.05, description="Of the planned duration: by how much a receiver's own clock may differ, plus 0.1 s."
    )
    window: Share = Field(
        default=0.10, description="Of the planned duration: by how much the host's sampling window may differ."
    )
    counters: Share = Field(
        default=0.15, description="By how much the receivers' bytes may exceed what came through the tunnel."
    )
    clock_step_s: Interval = Field(
        default=0.5, alias="clock_step", description="By how much a host's clock may jump inside the window."
    )
    clock_skew_s: Interval = Field(
        default=1.0, alias="clock_skew", description="By how much a host's clock may differ from the controller's."
    )
    competing_load: Share = Field(
        default=0.10, description="Of one core: processor time of other programs on the lab's computer, meanwhile."
    )
    steal: Share = Field(
        default=0.20, description="Of one core: processor time that a hypervisor took from the computer or a host."
    )
    frequency: Share = Field(
        default=0.20, description="Of the CPUs' mean frequency at the start: how much lower it may be at the end."
    )
    retransmits: Share = Field(default=0.02, description="Of the TCP segments sent.")
    drops: Share = Field(default=0.01, description="Of an interface's packets: those that it dropped.")
    variation: Share = Field(
        default=0.30, description="The coefficient of variation of the throughput, second by second, of 3 s or more."
    )
    spread: Share = Field(
        default=0.5,
        description="Above an equal share: how much more of the bytes the fullest tunnel may carry, or what chance "
        "alone explains in 999 of 1000 trials. It marks only where each tunnel has a subnet.",
    )
    headroom: Share = Field(
        default=0.10, description="Below the block's baseline: above that, the generator may be what limits."
    )
    skew_s: Interval = Field(
        default=1e-2,
        alias="skew",
        description="In virtual time: by how much the clocks of two busy virtual CPUs may differ. A longer quantum "
        "needs a larger limit.",
    )
    lent: Share = Field(
        default=0.10,
        description="In virtual time, of the time for which virtual CPUs were busy: how much they may run beyond their "
        "quantum, because others waited for a lock that they held.",
    )
    control: Share = Field(
        default=0.03,
        description="In virtual time: by how much the work of loops that only compute, one on each virtual CPU, may "
        "differ from as many times the work of one. It is measured at the start of each block.",
    )
    report_only: Annotated[
        tuple[LimitName, ...], Field(description="Limits that mark an attempt and do not make it invalid.")
    ] = ("headroom", "clock_skew", "control")
