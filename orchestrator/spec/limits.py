# SPDX-License-Identifier: Apache-2.0
"""The limits that a valid attempt must meet, and their defaults."""

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
    """An attempt that breaks a limit is invalid and names the limit; limits in ``report_only`` only mark it.

    Shares are of 1. The same limits hold in every tier. Seven limits have no number: no other traffic may pass before
    the trial's own, no rekey may fall into it, no CPU may be throttled, no interrupt may move to another CPU, no packet
    may be lost without being counted, a search must find a lower bound, and the kernel may not complain. In virtual
    time, other programs make a trial longer but not wrong, and the machine's clock falls behind by design: clock_skew,
    and the limits on what other programs and a hypervisor take from the computer, are not broken there. The limits
    skew, lent and control apply only in virtual time.
    """

    duration: Share = Field(
        default=0.05,
        description="Largest difference between a receiver's duration and the planned one, as a share, plus 0.1 s.",
    )
    window: Share = Field(
        default=0.10,
        description="Largest difference between the sampling window of a host's counters and the "
        "planned duration, as a share.",
    )
    counters: Share = Field(
        default=0.15,
        description="Largest excess of the receivers' bytes over those that came through the tunnel, as a share.",
    )
    clock_step_s: Interval = Field(
        default=0.5, alias="clock_step", description="Largest jump of a host's clock within the window."
    )
    clock_skew_s: Interval = Field(
        default=1.0, alias="clock_skew", description="Largest difference between a host's clock and the controller's."
    )
    competing_load: Share = Field(
        default=0.10,
        description="CPU time of other programs on the computer during the traffic, as a share of one core.",
    )
    steal: Share = Field(
        default=0.20, description="CPU time that a hypervisor took from the computer or a host, as a share of one core."
    )
    frequency: Share = Field(
        default=0.20, description="Largest drop of the CPUs' mean frequency during the trial, as a share."
    )
    retransmits: Share = Field(default=0.02, description="Largest share of TCP segments that are retransmitted.")
    drops: Share = Field(default=0.01, description="Largest share of an interface's packets that it drops.")
    variation: Share = Field(
        default=0.30,
        description="Largest coefficient of variation of the throughput per second, for durations of 3 s or more.",
    )
    spread: Share = Field(
        default=0.5,
        description="Largest excess of the fullest tunnel's bytes over an equal share, or what chance "
        "alone explains in 999 of 1000 trials. It only marks attempts if each tunnel has a subnet.",
    )
    headroom: Share = Field(
        default=0.10,
        description="How far throughput must be below the block's baseline; closer, the generator may be the limit.",
    )
    skew_s: Interval = Field(
        default=1e-2,
        alias="skew",
        description="In virtual time: the largest difference between the clocks of two busy virtual CPUs. A longer "
        "quantum "
        "needs a larger limit.",
    )
    lent: Share = Field(
        default=0.10,
        description="In virtual time: the largest share of busy time for which virtual CPUs run beyond their "
        "quantum, because others waited for a lock that they held.",
    )
    control: Share = Field(
        default=0.03,
        description="In virtual time: the largest difference between the work of compute-only loops, one on each "
        "virtual CPU, "
        "and the same multiple of the work of one loop, measured at the start of each block.",
    )
    report_only: Annotated[
        tuple[LimitName, ...], Field(description="Limits that only mark an attempt and do not make it invalid.")
    ] = ("headroom", "clock_skew", "control")
