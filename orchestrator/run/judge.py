# SPDX-License-Identifier: Apache-2.0
"""The verdict on an attempt: which limits it broke, each as a sentence. Pure. The limits are the same in every tier."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.run.iperf3 import Stream

REKEY_AFTER_S = 120.0  # REKEY_AFTER_TIME in WireGuard's protocol


@dataclass(frozen=True, slots=True)
class Limits:
    """What an attempt may deviate by before it is invalid."""

    duration_share: float = 0.05  # of the planned duration, by which any receiver's own clock may differ,
    duration_s: float = 0.1  # beside this, which starting and ending a process takes
    window_share: float = 0.10  # of the planned duration, by which the host's sampling window may differ
    counter_share: float = 0.15  # by which the receivers' bytes may exceed what their interface counted
    clock_step_s: float = 0.5  # by which the host's clock may jump inside the window


def broken_limits(
    streams: Sequence[Stream],
    probes: Mapping[str, Any],
    duration_s: float,
    handshake_age_s: float | None,
    rekeyed: Sequence[str],
    kernel_log: Sequence[str],
    limits: Limits | None = None,
) -> list[str]:
    """Sentences for all limits that an attempt broke; empty for a valid one."""
    limits = limits or Limits()
    broken = []
    slack = limits.duration_s + limits.duration_share * duration_s
    for stream in streams:
        if abs(stream.duration_s - duration_s) > slack:
            broken.append(
                f"tunnel {stream.tunnel}: received over {stream.duration_s:.2f} s instead of {duration_s:g} s"
            )
    if abs(probes["window_s"] - duration_s) > max(limits.window_share * duration_s, 0.2):
        broken.append(f"the host was sampled over {probes['window_s']:.2f} s instead of {duration_s:g} s")
    if abs(probes["clock_step_s"]) > limits.clock_step_s:
        broken.append(f"the host's clock jumped by {probes['clock_step_s']:+.2f} s inside the window")
    if rekeyed:
        broken.append(f"a new handshake fell into the trial on {', '.join(rekeyed)}")
    if handshake_age_s is not None and handshake_age_s > REKEY_AFTER_S:
        broken.append(f"a handshake was {handshake_age_s:.0f} s old; WireGuard rekeys after {REKEY_AFTER_S:g} s")
    if kernel_log:
        broken.append(f"the kernel complained: {kernel_log[0]}")
    return broken


def counted_less(where: str, received_bytes: int, interface_bytes: int, limits: Limits | None = None) -> list[str]:
    """A sentence when a receiver reports much more than came in over the interface that it must have come through.

    Both windows are nearly the same, so traffic that went another way (past the tunnel) shows here.
    """
    limits = limits or Limits()
    if received_bytes > interface_bytes * (1 + limits.counter_share):
        return [f"{where} carried {interface_bytes} bytes and its receiver reports {received_bytes}"]
    return []
