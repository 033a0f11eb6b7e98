# SPDX-License-Identifier: Apache-2.0
"""The profiles of a run: for each profiled cell, the sampled call chains of its CPUs with the time that each stands
for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.frames import CPU_KINDS
from orchestrator.analysis.limits.loads import INNER_PACKET_BYTES, in_order
from orchestrator.errors import UserError
from orchestrator.plan import PROFILE
from orchestrator.spec import Cell
from orchestrator.store.reading import parse_json, read_attempts

_WHOLE_WINDOW = 0.9  # share of a window that counters cover if no ticks are lost
_NOT_BUSY = ("idle", "iowait", "steal")


@dataclass(frozen=True, slots=True)
class Stack:
    """A call chain on one CPU. ``role``: the CPU's role, or empty if roles share it; ``task``: the name of the process
    or kernel thread; ``calls``: functions, the outermost first; ``ns``: the time that its samples stand for."""

    host: str
    role: str
    cpu: int
    task: str
    calls: tuple[str, ...]
    ns: int


@dataclass(frozen=True)
class Profile:
    """The samples of the CPUs in the profiled trial of a cell.

    ``folder``: the folder of the attempt; ``seconds``: the duration of sampling; ``busy_s``: the busy time of all CPUs
    meanwhile, by the counters of /proc/stat; ``lost_s``: the time represented by samples for which there was no room;
    ``source``: lab kernel or perf; ``shared``: whether roles share CPUs; ``packet_bytes``: the packet size in bytes
    that costs refer to, which is that of a full TCP segment, or the mean of the packets that a generator sent.
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
    packet_bytes: float = INNER_PACKET_BYTES


def profiles(run: Run) -> list[Profile]:
    """Return the profile of every cell that has one, in the order of `orchestrator.analysis.cells`; most runs have
    none.

    Raises UserError if a file of the run is damaged.
    """
    found: dict[Cell, Profile] = {}
    if not run.attempts["kind"].eq(PROFILE).any():
        return []  # so that not every attempt's file is read
    known = set(run.attempts["trial_id"])  # a Run may be the part of a stored run with one setting
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
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            file = folder / "profile.json"
            raise UserError(f"{file} cannot be read ({error}). Restore it from a copy of the run.") from error
        found.setdefault(one.key, one)
    return in_order(run, found.values())


def _read(run: Run, attempt: Mapping[str, Any], folder: Path) -> Profile:
    content = parse_json((folder / "profile.json").read_bytes())
    # One of a generator's loads is profiled, after the others; it has probes of its own.
    probes = attempt.get("probes") or {}
    load = attempt["measurements"].get("profiled_load")
    probes = probes["profiled_load"] if load else probes
    cpus = probes.get("per_cpu") or ()
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
    window_s = float(probes.get("window_s") or attempt["traffic"]["duration_s"])
    carried_bps = (
        attempt["measurements"]["throughput_bps"] if not load else 8 * load["received_bytes"] / load["seconds"]
    )
    seconds = {host: float(told["seconds"]) for host, told in content.items()}
    return Profile(
        Cell.of(dict(attempt["levels"])),
        folder,
        float(carried_bps),
        max(seconds.values()),
        sum(_busy_s(cpu, window_s) / window_s * seconds.get(cpu.get("host", only), 0.0) for cpu in cpus),
        sum(float(told["lost_ns"]) for told in content.values()) / 1e9,
        " and ".join(dict.fromkeys(str(told["source"]) for told in content.values())),
        all(not stack.role for stack in stacks),
        tuple(stacks),
        load["received_bytes"] / load["received"] if load else INNER_PACKET_BYTES,
    )


def _busy_s(cpu: Mapping[str, Any], window_s: float) -> float:
    """Return the time for which a CPU was busy in the measured window, in seconds.

    Idle time is not part of it, although work in a softirq that interrupts an idle CPU can be counted as idle too. If
    the counters cover much less than the window, because the computer ran something else when ticks were due, they are
    scaled to the whole window.
    """
    spent = {kind: max(0.0, cpu.get(f"{kind}_s") or 0.0) for kind in CPU_KINDS}
    counted = sum(spent.values())
    missed = window_s / counted if 0 < counted < _WHOLE_WINDOW * window_s else 1.0
    return missed * sum(seconds for kind, seconds in spent.items() if kind not in _NOT_BUSY)


def _roles_of_hosts(run: Run) -> dict[str, str]:
    """Return {host: role} for the hosts that have exactly one role."""
    hosts = (run.meta.get("testbed") or {}).get("hosts") or ()
    return {host["name"]: host["roles"][0] for host in hosts if len(host.get("roles") or ()) == 1}
