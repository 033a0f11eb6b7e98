# SPDX-License-Identifier: Apache-2.0
"""What a generator's report says of a tunnel's traffic, or that it says nothing."""

from dataclasses import dataclass


class BadReport(Exception):
    """What a generator reported is missing, cut off or says that something failed: a sentence."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What one iperf3 pair measured in one direction, after the warm-up.

    ``tunnel``: None where its flows are spread over all; ``where``: what a sentence calls it.
    ``throughput_bps``: bits per second that the receiver counted; ``duration_s``: over how long it counted;
    ``rates_bps``: the same, interval by interval; ``sent_bytes``: what the sender gave to TCP or UDP.
    ``packets``: UDP datagrams that were due at the receiver, of which ``lost`` did not come.
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
