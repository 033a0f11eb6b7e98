# SPDX-License-Identifier: Apache-2.0
"""Details of a run's ok attempts as tidy frames: a row per CPU, second, stream, softirq, interface or place of a loss.

They are read from the attempts' own files. `orchestrator.analysis.dictionary` has all columns.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.run_data import LEVELS
from orchestrator.store.cpu_times import cpu_times
from orchestrator.store.reading import read_attempts

CPU_KINDS = ("user", "system", "softirq", "irq", "steal", "iowait", "idle")
KEYS = ("trial_id", "kind", "block", "round", "repetition", "status", "variant", "cores", "tunnels", "attempt")
PLACE = ("host", "role", "cpu")
COUNTERS = tuple(f"{way}_{what}" for way in ("rx", "tx") for what in ("bytes", "packets", "drops"))


def per_core(run: Run) -> pd.DataFrame:
    """Return one row per CPU of each ok trial: the shares (0 to 1) of its time in the measured window, by kind.

    ``role``: the CPU's role if each role has its own CPUs; ``cpu`` is then the number among those of the role, from 0
    on. Otherwise ``role`` is empty, and ``cpu`` is the host's number. ``window_s``: the length of the window.
    ``cycles``: those of this CPU in it; ``joules``: the energy of all processor packages of its host, the same for each
    CPU of a host; both are NaN if they could not be read. Trials that are `shared` are left out.
    """
    rows: list[dict[str, Any]] = []
    for attempt in ok_attempts(run):
        rows += cpu_rows(run, attempt)
    counters = ("window_s", "cycles", "joules")
    return _frame(run, rows, (*PLACE, *CPU_KINDS, *counters)).astype(dict.fromkeys(counters, "float64"))


def cpu_rows(run: Run, attempt: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a row of `per_core` for each CPU in the ``probes`` of an attempt."""
    stored = cpu_times(attempt)
    places = places_of_cpus(stored)
    window_s, joules = _window_and_joules(attempt)
    for cpu in stored:
        spent = {kind: max(0.0, cpu.get(f"{kind}_s") or 0.0) for kind in CPU_KINDS}
        total = sum(spent.values())
        if total > 0:
            shares = {kind: seconds / total for kind, seconds in spent.items()}
            where = _place(run, cpu, places)
            counted = {"cycles": cpu.get("cycles"), "joules": joules.get(where["host"]), "window_s": window_s}
            yield {**_about(attempt), **where, **shares, **counted}


def per_second(run: Run) -> pd.DataFrame:
    """Return one row per second of each ok trial with TCP or UDP traffic.

    ``second`` is counted from 1; ``throughput_bps`` is that of all tunnels together, in bit/s.
    """
    rows = [
        {**_about(attempt), "second": second, "throughput_bps": float(rate)}
        for attempt in ok_attempts(run)
        for second, rate in enumerate((attempt.get("measurements") or {}).get("rates_bps") or (), start=1)
    ]
    return _frame(run, rows, ("second", "throughput_bps"))


def per_stream(run: Run) -> pd.DataFrame:
    """Return one row per generator process of each ok trial.

    Columns: ``tunnel``, ``direction``, ``throughput_bps`` in bit/s and ``retransmits`` (TCP segments; missing for UDP).
    """
    columns = ("tunnel", "direction", "throughput_bps", "retransmits")
    rows = [
        {**_about(attempt), **{name: stream.get(name) for name in columns}}
        for attempt in ok_attempts(run)
        for stream in (attempt.get("measurements") or {}).get("streams") or ()
    ]
    return _frame(run, rows, columns)


def softirqs(run: Run) -> pd.DataFrame:
    """Return one row per CPU and kind of softirq (NET_RX, TIMER, ...) of each ok trial.

    ``count``: how often it ran in the measured window. ``role`` and ``cpu`` are as in `per_core`.
    """
    rows: list[dict[str, Any]] = []
    for attempt in ok_attempts(run):
        stored = (attempt.get("probes") or {}).get("softirqs") or ()
        places = places_of_cpus(stored)
        for cpu in stored:
            about = {**_about(attempt), **_place(run, cpu, places)}
            kinds = {name: value for name, value in cpu.items() if name not in PLACE}
            rows += [{**about, "softirq": name, "count": count} for name, count in kinds.items()]
    return _frame(run, rows, (*PLACE, "softirq", "count"))


def interfaces(run: Run) -> pd.DataFrame:
    """Return one row per network interface of each ok trial, with its counters in the measured window.

    Columns include bytes, packets and dropped packets, received (``rx_``) and sent (``tx_``) in ``window_s`` seconds.
    """
    rows = [
        {**_about(attempt), "role": role, "interface": interface, "window_s": probes.get("window_s")}
        | {name: counted.get(name) for name in COUNTERS}
        for attempt in ok_attempts(run)
        for probes in (attempt.get("probes") or {},)
        for role, devices in (probes.get("interfaces") or {}).items()
        for interface, counted in devices.items()
    ]
    return _frame(run, rows, ("role", "interface", "window_s", *COUNTERS))


def drops(run: Run) -> pd.DataFrame:
    """Return one row per place at which an ok trial lost packets: ``role``, ``where`` and the number of ``packets``.

    ``where``: an interface and its direction, as in `wan0 rx`; or, for the loads of a packet generator, the component
    that lost the packets. ``load``: the number of that load, from 1 on; missing for the counters of interfaces.
    """
    rows: list[dict[str, Any]] = []
    for attempt in ok_attempts(run):
        about = _about(attempt)
        for role, devices in ((attempt.get("probes") or {}).get("interfaces") or {}).items():
            for interface, counted in devices.items():
                lost = {f"{interface} {way}": counted.get(f"{way}_drops") for way in ("rx", "tx")}
                rows += [{**about, "role": role, "where": name, "packets": n} for name, n in lost.items() if n]
        for number, load in enumerate((attempt.get("measurements") or {}).get("loads") or (), start=1):
            for place, packets in (load.get("drops") or {}).items():
                role, _, where = place.partition("/")
                if packets:
                    rows.append({**about, "role": role, "where": where, "packets": packets, "load": number})
    return _frame(run, rows, ("role", "where", "packets", "load"))


def over_time(run: Run) -> pd.DataFrame:
    """Return one row per host and sample of each ok trial of a spec with ``sample_every``.

    ``at_s``: seconds after the measured window began; ``memory_available`` and ``slab`` (the kernel's own objects) in
    bytes; ``drops``: packets that the interfaces of this host's roles dropped since ``at_s`` 0.
    """
    columns = ("host", "at_s", "memory_available", "slab", "drops")
    rows = [
        {**_about(attempt), **{name: sample[name] for name in columns}}
        for attempt in ok_attempts(run)
        for sample in (attempt.get("probes") or {}).get("over_time") or ()
    ]
    return _frame(run, rows, columns)


def probed(run: Run) -> pd.DataFrame:
    """Return one row per ok trial, probe of the spec, and place.

    ``probe``: its name; ``host``; ``role`` (empty for a tracepoint, which is counted on the whole host); ``value``,
    missing if only the output is kept; ``unit``.
    """
    columns = ("probe", "host", "role", "value", "unit")
    rows = [
        {**_about(attempt), **{name: row[name] for name in columns}}
        for attempt in ok_attempts(run)
        for row in (attempt.get("probes") or {}).get("own") or ()
    ]
    return _frame(run, rows, columns).astype({"value": "float64"})


def _window_and_joules(attempt: Mapping[str, Any]) -> tuple[float | None, dict[str, float]]:
    """Return an attempt's measured window in seconds, and {host: joules of its processor packages in it}."""
    probes = attempt.get("probes") or {}
    found = {}
    for host, zones in (probes.get("energy_j") or {}).items():
        packages = [joules for zone, joules in (zones or {}).items() if zone.startswith("package")]
        if packages:
            found[host] = sum(packages)
    return probes.get("window_s"), found


def places_of_cpus(per_cpu: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], int]:
    """Return {(role, the host's number of a CPU): its number within the role} from an attempt's ``per_cpu``; empty if
    all roles share them."""
    of_roles: dict[str, list[int]] = {}
    for row in per_cpu:
        if role := row.get("role"):
            of_roles.setdefault(role, []).append(row["cpu"])
    return {(role, cpu): place for role, cpus in of_roles.items() for place, cpu in enumerate(sorted(cpus))}


def ok_attempts(run: Run) -> Iterator[Mapping[str, Any]]:
    """Yield the accepted attempt of each ok trial of the run that is not `shared`, in the plan's order."""
    wanted = set(run.trials["trial_id"])
    for attempt in read_attempts(run.path, run.meta):
        if attempt["status"] == "ok" and attempt["trial_id"] in wanted and not attempt.get("shared_computer"):
            wanted.remove(attempt["trial_id"])
            yield attempt


def _about(attempt: Mapping[str, Any]) -> dict[str, Any]:
    return {**{key: attempt[key] for key in KEYS if key not in LEVELS}, **attempt["levels"]}


def _place(run: Run, cpu: Mapping[str, Any], places: Mapping[tuple[str, int], int]) -> dict[str, Any]:
    role = cpu.get("role") or ""
    host = cpu.get("host")
    if host is None:  # runs with one host do not name it
        host = next((one["name"] for one in run.testbed.get("hosts") or ()), "")
    return {"host": host, "role": role, "cpu": places.get((role, cpu["cpu"]), cpu["cpu"])}


def _frame(run: Run, rows: list[dict[str, Any]], columns: Iterable[str]) -> pd.DataFrame:
    further = (name for name in run.levels if name not in KEYS)
    return pd.DataFrame(rows, columns=[*KEYS, *further, *columns]).assign(measured_in=run.measured_in)
