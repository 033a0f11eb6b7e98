# SPDX-License-Identifier: Apache-2.0
"""Trials in which gateway-a changes the UDP ports of its tunnels: the request, and the check of gateway-b's peers."""

from collections.abc import Mapping
from typing import Any

from orchestrator.agent.traffic_messages import Roam
from orchestrator.measure import requests
from orchestrator.measure.attempt import Attempt
from orchestrator.spec import GATEWAYS
from orchestrator.spec.fields import NEVER
from orchestrator.spec.varied import TUNNEL_ROAMING

_ASIDE = 10000  # offset of a tunnel's alternative port


def roaming_of(attempt: Attempt) -> Roam | None:
    """Return the argument of the agent's ``Roaming`` in a trial, or None if the tunnels keep their ports."""
    every_s = attempt.trial.levels.get(TUNNEL_ROAMING, NEVER)
    if every_s == NEVER or not attempt.tunnelled:
        return None
    devices = {}
    for tunnel in range(1, attempt.trial.levels.tunnels + 1):
        port = requests.port(GATEWAYS[0], tunnel)
        devices[attempt.net.device(tunnel, GATEWAYS[0])] = [port, port + _ASIDE]
    return {"role": GATEWAYS[0], "every_s": float(every_s), "devices": devices}


def moves_of(answer: Mapping[str, Any]) -> list[dict[str, float]]:
    """Return when all tunnels changed their ports, and how long that took: ``at_s`` after the warm-up, ``took_s``.

    Both are in seconds. ``answer``: of the agent's ``measure`` on gateway-a's host.
    """
    began = answer["samples"][0]["at_monotonic_s"]
    return [
        {"at_s": round(move["at_monotonic_s"] - began, 3), "took_s": round(move["took_s"], 4)}
        for move in answer["moves"]
    ]


def left_behind(attempt: Attempt, ports: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return the peers of gateway-b whose packets still go to a former port of gateway-a's tunnel.

    ``ports``: {gateway: {peer: port}}, with the peers in the order of the tunnels' numbers if they share a device.
    """
    wanted = roaming_of(attempt)
    if wanted is None:
        return []
    moved = len(attempt.outcome.measurements.get("roams", ())) % 2
    found = ports.get(GATEWAYS[1], {})
    behind = []
    for tunnel in range(1, attempt.trial.levels.tunnels + 1):
        mine = wanted["devices"][attempt.net.device(tunnel, GATEWAYS[0])][moved]
        device = attempt.net.device(tunnel, GATEWAYS[1])
        peer = f"{device}/{tunnel}" if attempt.net.shared else device
        if found.get(peer) != mine:
            behind.append(f"{GATEWAYS[1]}/{peer}")
    return behind
