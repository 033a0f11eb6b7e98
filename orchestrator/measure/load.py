# SPDX-License-Identifier: Apache-2.0
"""A load of packets: what was sent, what came, and where the rest was lost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Load:
    """One load that was offered. ``rate_pps``: as asked for, None for as fast as it can; ``offered_pps``: as sent.

    ``sent``: packets that the client gave to its interface; ``received``: those that came to the server, with
    ``received_bytes`` of IP; ``seconds``: how long, on the average of the CPUs. ``drops``: packets by ROLE/COUNTER; of
    these ``backlog_dropped`` found a CPU's backlog full. ``unexplained``: lost, and no counter says where; below 0
    where counters say more. ``tunnels``: {tunnel: (sent, received)}; ``probes``: of the hosts, over the load.
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
        """Packets per second that came to the server."""
        return self.received / self.seconds

    @property
    def loss_ratio(self) -> float:
        """The share of the sent packets that did not come."""
        return (self.sent - self.received) / self.sent

    def to_json(self) -> dict[str, Any]:
        """As JSON values, but for the probes."""
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
