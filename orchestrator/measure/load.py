# SPDX-License-Identifier: Apache-2.0
"""A load of packets: what was sent, what arrived, and where the rest was lost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Load:
    """One load that was offered.

    ``rate_pps``: the intended rate, None for as fast as possible; ``offered_pps``: the actual rate. ``sent``: packets
    that the client handed to its interface; ``received``: packets that arrived at the server, with ``received_bytes``
    of IP; ``seconds``: the duration, averaged over CPUs. ``drops``: packets by ROLE/COUNTER; of these,
    ``backlog_dropped`` found a CPU's backlog full. ``unexplained``: losses that no counter accounts for, negative if
    counters account for more. ``tunnels``: {tunnel: (sent, received)}; ``probes``: the hosts' probes during the load.
    """

    rate_pps: float | None
    sent: int
    received: int
    seconds: float
    drops: Mapping[str, int]
    unexplained: int
    offered_pps: float
    received_bytes: int = 0
    backlog_dropped: int = 0
    tunnels: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    probes: Mapping[str, Any] = field(default_factory=dict)
    echoes: Mapping[str, Any] | None = None

    @property
    def received_pps(self) -> float:
        """Packets per second that arrived at the server."""
        return self.received / self.seconds

    @property
    def loss_ratio(self) -> float:
        """The share of the sent packets that did not arrive."""
        return (self.sent - self.received) / self.sent

    def to_json(self) -> dict[str, Any]:
        """Return the load as JSON values, without the probes."""
        return {
            "rate_pps": self.rate_pps,
            "offered_pps": round(self.offered_pps, 1),
            "received_pps": round(self.received_pps, 1),
            "sent": self.sent,
            "received": self.received,
            "received_bytes": self.received_bytes,
            "seconds": round(self.seconds, 6),
            "loss_ratio": self.loss_ratio,
            "drops": dict(self.drops),
            "backlog_dropped": self.backlog_dropped,
            "unexplained": self.unexplained,
            "tunnels": [
                {"tunnel": tunnel, "sent": sent, "received": received}
                for tunnel, (sent, received) in self.tunnels.items()
            ],
        }
