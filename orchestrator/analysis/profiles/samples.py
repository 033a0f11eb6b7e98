# SPDX-License-Identifier: Apache-2.0
"""The profiles of a run: what the CPUs of each cell ran, as chains of calls with the time that they stand for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.frames import CPU_KINDS
from orchestrator.errors import UserError
from orchestrator.plan import PROFILE
from orchestrator.spec import Cell
from orchestrator.store.reading import read_attempts

_NOT_BUSY = ("idle", "iowait", "steal")


@dataclass(frozen=True, slots=True)
class Stack:
    """A chain of calls on one CPU. ``role``: whose CPU it is, "" where roles share it; ``task``: the name of the
    process or kernel thread; ``calls``: functions, the outermost first; ``ns``: how long it was seen."""

    host: str
    role: str
    cpu: int
    task: str
    calls: tuple[str, ...]
    ns: int


@dataclass(frozen=True)
class Profile:
    """What the CPUs ran in the profiled trial of a cell.

    ``folder``: of the attempt; ``seconds``: for which samples were taken; ``busy_s``: how long the CPUs were busy
    meanwhile by the counters of /proc/stat, all together; ``lost_s``: what samples stood for that found no room;
    ``source``: lab kernel or perf; ``shared``: whether roles share CPUs.
    """

    key: Cell
    folder: Path
    throughput_bps: float
    seconds: float
    busy_s: float
    lost_s: float
    source: str
    shared: bool
    stacks: tuple[Stack, ...]


def profiles(run: Run) -> list[Profile]:
    """The profile of every cell that has one, in the order of `orchestrator.analysis.cells`; [] of most runs.

    Raises UserError where a file of the run is damaged.
    """
    found: dict[Cell, Profile] = {}
    if not run.attempts["kind"].eq(PROFILE).any():
        return []  # without reading every attempt's file
    known = set(run.attempts["trial_id"])  # a run can be one setting's part of what is stored
    for attempt in read_attempts(run.path, run.meta):
        if (
            attempt["kind"] != PROFILE
            or attempt["trial_id"] not in known
            or attempt["status"] != "ok"
            or attempt.get("shared_computer")
        ):
            continue
        folder = run.path / "trials" / str(attempt["trial_id"]) / str(attempt["attempt"])
        try:
            one = _read(run, attempt, folder)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            file = folder / "profile.json"
            raise UserError(f"{file} cannot be read ({error}). Restore it from a copy of the run.") from error
        found.setdefault(one.key, one)
    order = {name: place for place, name in enumerate(run.variants)}
    return sorted(found.values(), key=lambda one: (one.key.place, order.get(one.key.variant, len(order))))


def _read(run: Run, attempt: Mapping[str, Any], folder: Path) -> Profile:
    content = json.loads((folder / "profile.json").read_text())
    cpus = (attempt.get("probes") or {}).get("per_cpu") or ()
    only = next(iter(content), "")
    owners = {(cpu.get("host", only), int(cpu["cpu"])): str(cpu.get("role") or "") for cpu in cpus}
    alone = _roles_of_hosts(run)
    stacks = []
    for host, told in content.items():
        names = told["names"]
        for cpu, ns, _, chain in told["rows"]:
            role = owners.get((host, cpu)) or alone.get(host, "")
            task, *calls = (names[at] for at in chain)
            stacks.append(Stack(host, role, int(cpu), task, tuple(calls), int(ns)))
    window_s = float((attempt.get("probes") or {}).get("window_s") or attempt["traffic"]["duration_s"])
    seconds = {host: float(told["seconds"]) for host, told in content.items()}
    return Profile(
        Cell.of(dict(attempt["levels"])),
        folder,
        float(attempt["measurements"]["throughput_bps"]),
        max(seconds.values()),
        sum(_busy_s(cpu) / window_s * seconds.get(cpu.get("host", only), 0.0) for cpu in cpus),
        sum(float(told["lost_ns"]) for told in content.values()) / 1e9,
        " and ".join(dict.fromkeys(str(told["source"]) for told in content.values())),
        all(not stack.role for stack in stacks),
        tuple(stacks),
    )


def _busy_s(cpu: Mapping[str, Any]) -> float:
    """For how long a CPU was busy in the measured window.

    Idle time is left out of it: what a CPU does in a softirq that interrupts its idling can be counted as idle too.
    """
    return sum(max(0.0, cpu.get(f"{kind}_s") or 0.0) for kind in CPU_KINDS if kind not in _NOT_BUSY)


def _roles_of_hosts(run: Run) -> dict[str, str]:
    """{host: role} of the hosts that have one role."""
    hosts = (run.meta.get("testbed") or {}).get("hosts") or ()
    return {host["name"]: host["roles"][0] for host in hosts if len(host.get("roles") or ()) == 1}
