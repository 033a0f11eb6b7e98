# SPDX-License-Identifier: Apache-2.0
"""A tunnel's traffic according to a generator's report, and the error for an unusable report."""

from dataclasses import dataclass


class BadReport(Exception):
    """A generator's report is missing, truncated or reports a failure; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Stream:
    """The result of one iperf3 pair in one direction, after the warm-up.

    ``tunnel``: None if its flows are spread over all; ``where``: its name in a sentence. ``throughput_bps``: bits per
    second that the receiver counted; ``duration_s``: the time over which it counted; ``rates_bps``: the throughput of
    each second; ``sent_bytes``: what the sender gave to TCP or UDP. ``packets``: UDP datagrams that were due at the
    receiver, of which ``lost`` did not arrive. ``warm_up_bytes``: what the receiver counted before, in the
    warm-up; ``ran_s``: how long the client ran, which begins and ends the traffic, with its warm-up.
    """

    tunnel: int | None
    throughput_bps: float
    duration_s: float
    received_bytes: int
    retransmits: int
    sent_bytes: int = 0
    rates_bps: tuple[float, ...] = ()
    where: str = "tunnel 1"
    direction: str = "forward"
    packets: int = 0
    lost: int = 0
    jitter_s: float | None = None
    warm_up_bytes: int = 0
    ran_s: float = 0.0
