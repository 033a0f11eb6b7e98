# SPDX-License-Identifier: Apache-2.0
"""The share of the traffic that each tunnel carried, and how uneven shares may be by chance. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.measure import layout
from orchestrator.spec import GATEWAYS

CHANCE = 1e-3  # how often chance alone may look like a broken spread


def carried(
    interfaces: Mapping[str, Mapping[str, Mapping[str, int]]],
    tunnels: int,
    net: layout.Net,
    of_peers: Sequence[Mapping[int, int]] = (),
) -> dict[str, list[dict[str, int]]]:
    """Return what each tunnel's device received and sent, by gateway: [{"tunnel", "bytes", "packets"}] of all tunnels.

    ``interfaces``: the counters of `orchestrator.measure.probes`, which leave out devices without traffic;
    ``of_peers``: {tunnel: bytes} that the peers of a shared device received, and sent. The latter count from the
    creation of the tunnels, including warm-up and handshakes, and WireGuard does not count a peer's packets.
    """
    return {
        gateway: [
            {"tunnel": i, "bytes": sum(peers.get(i, 0) for peers in of_peers), "packets": 0}
            if net.shares(gateway)
            else {"tunnel": i, **_of_device(counted.get(net.device(i, gateway), {}))}
            for i in range(1, tunnels + 1)
        ]
        for gateway, counted in ((gateway, interfaces.get(gateway, {})) for gateway in GATEWAYS)
    }


def _of_device(counters: Mapping[str, int]) -> dict[str, int]:
    return {what: sum(counters.get(f"{way}_{what}", 0) for way in ("rx", "tx")) for what in ("bytes", "packets")}


def shares(counted: Mapping[str, Sequence[Mapping[str, int]]]) -> dict[str, list[dict[str, Any]]]:
    """Return the counts as shares of a gateway's sum (0 to 1); None where nothing was carried."""
    return {
        gateway: [
            {
                "tunnel": row["tunnel"],
                **{what: _share(row[what], sum(other[what] for other in rows)) for what in ("bytes", "packets")},
            }
            for row in rows
        ]
        for gateway, rows in counted.items()
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def fullest(counted: Mapping[str, Sequence[Mapping[str, int]]]) -> tuple[str, int, float] | None:
    """Return (gateway, tunnel, share) of the tunnel with the largest share of bytes; None if nothing was carried."""
    found = [
        (gateway, row["tunnel"], share)
        for gateway, rows in shares(counted).items()
        for row in rows
        if (share := row["bytes"]) is not None
    ]
    return max(found, key=lambda one: one[2], default=None)


def by_chance(flows: int, tunnels: int, chance: float = CHANCE) -> float:
    """Return the share of flows that the fullest tunnel exceeds with at most probability ``chance``.

    Each flow takes any tunnel with equal probability. The number of flows in one tunnel is binomial(flows, 1/tunnels);
    that any of the tunnels has more than k is at most ``tunnels`` times as likely as that a given one has (Bonferroni).
    The result is k / flows for the smallest such k.
    """
    if tunnels <= 1 or flows < 1:
        return 1.0
    p, tail = 1 / tunnels, 0.0
    for k in range(flows, -1, -1):  # from the far end, where terms are small and add up without rounding loss
        logarithm = math.lgamma(flows + 1) - math.lgamma(k + 1) - math.lgamma(flows - k + 1)
        tail += math.exp(logarithm + k * math.log(p) + (flows - k) * math.log1p(-p))
        if tail * tunnels > chance:  # more than k - 1 flows in a tunnel are more likely than that
            return k / flows
    return 1.0
