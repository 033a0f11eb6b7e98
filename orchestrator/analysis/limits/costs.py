# SPDX-License-Identifier: Apache-2.0
"""The cost of a cell: Gbit/s per busy core, CPU time and cycles per packet, and energy, along with its throughput."""

from dataclasses import dataclass
from statistics import median
from typing import Any

import pandas as pd

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.limits.loads import INNER_PACKET_BYTES, CellLoad
from orchestrator.spec import Cell

COUNTED = {"cycles_a_packet": "cycles of CPUs (no hardware counter)", "joules_a_gbit": "energy (no RAPL counter)"}
COST_COLUMNS = ["n", "throughput_bps", "busy_cores", "gateway_cores", "bps_a_busy_core", "ns_a_packet", *COUNTED]


@dataclass(frozen=True)
class Part:
    """The CPU time per packet at one place: a role (or a host that roles share), in softirqs ("softirq") or not
    ("other").

    ``ns``: nanoseconds per packet, of the load's `packet_bytes`, that arrived.
    """

    group: str
    kind: str
    ns: float


def parts_of(load: CellLoad) -> list[Part]:
    """Return the CPU time per packet by role and kind, in the path's order.

    The sum is all busy time of the path's CPUs, without those of a packet generator. The list is empty if roles share
    CPUs with a packet generator that waits (see `CellLoad.counts_waiting`).
    """
    found: list[Part] = []
    for group in () if load.counts_waiting else load.sampled:
        for kind, cpus in (("other", group.total - group.softirqs), ("softirq", group.softirqs)):
            found.append(Part(group.name, kind, cpus * packet_ns(load.carried_bps, load.packet_bytes)))
    return found


def packet_ns(throughput_bps: float, packet_bytes: float = INNER_PACKET_BYTES) -> float:
    """Return the duration in nanoseconds of a packet at a throughput in bit/s."""
    return 1e9 * 8 * packet_bytes / throughput_bps


def costs(run: Run) -> pd.DataFrame:
    """Return one row per cell whose CPUs were sampled.

    Columns: the levels; n (trials); throughput_bps (median); busy_cores, the CPU time of the whole path, including
    generator and server, as a number of CPUs, and gateway_cores, that of the two gateways alone (NaN if roles share
    CPUs); bps_a_busy_core, throughput per gateway core, or per busy core if roles share CPUs; ns_a_packet, the same CPU
    time in nanoseconds per packet of 1420 bytes; cycles_a_packet, the cycles of the same CPUs, and joules_a_gbit, the
    energy of the processors of the hosts with these CPUs, including whatever else ran on them, per Gbit of throughput:
    medians over trials, NaN if they could not be read; measured_in.

    For packet rates, throughput is that of IP packets, and ns_a_packet and cycles_a_packet are per packet of the size
    that was sent. Costs are NaN if roles share CPUs with a packet generator that waited between packets, because its
    waiting counts as busy time.
    """
    rows: list[dict[str, Any]] = []
    counted = _counted(run)
    for load in run.loads:
        busy = sum(group.total for group in load.groups)
        gateways = sum(group.total for group in load.groups if group.name.startswith("gateway"))
        spent = busy if load.shared else gateways
        if load.counts_waiting:
            spent = float("nan")
        rows.append(
            {
                **load.key.row(),
                "n": load.n,
                "throughput_bps": load.throughput_bps,
                "busy_cores": busy,
                "gateway_cores": float("nan") if load.shared else gateways,
                "bps_a_busy_core": load.carried_bps / spent if spent else float("nan"),
                "ns_a_packet": spent * packet_ns(load.carried_bps, load.packet_bytes),
                **{name: counted.get((load.key, name), float("nan")) for name in COUNTED},
            }
        )
    return pd.DataFrame(rows, columns=[*run.levels, *COST_COLUMNS]).assign(measured_in=run.measured_in)


def _counted(run: Run) -> dict[tuple[Cell, str], float]:
    """Return {(cell, column): median} for cycles_a_packet and joules_a_gbit of the cells that have them."""
    rates = run.measured.set_index("trial_id")["throughput_bps"].dropna()
    found: dict[tuple[Cell, str], list[float]] = {}
    by_trial = of_gateways(run).groupby("trial_id")
    for trial_id, rows in by_trial if len(rates) else ():
        carried = float(rates.get(trial_id, 0.0)) * float(rows["window_s"].iloc[0])
        if not carried > 0:
            continue
        key = Cell.of(rows.iloc[0].to_dict())
        joules = rows.groupby("host")["joules"].first().sum(skipna=False)
        cycles = rows["cycles"].sum(skipna=False)
        each = {"joules_a_gbit": joules / carried * 1e9, "cycles_a_packet": cycles / carried * 8 * INNER_PACKET_BYTES}
        for name, value in each.items():
            if value == value:
                found.setdefault((key, name), []).append(float(value))
    return {place: median(values) for place, values in found.items()}


def of_gateways(run: Run) -> pd.DataFrame:
    """Return the rows of a run's `per_core` that enter the cost of a cell: those of the gateways, or of the hosts that
    roles share."""
    samples = run.per_core
    return samples[(samples["role"] == "") | samples["role"].str.startswith("gateway")]


def not_readable(table: pd.DataFrame) -> str:
    """Return a sentence on the columns of `costs` that could not be read in any cell; empty if all could be."""
    names = [words for name, words in COUNTED.items() if table[name].isna().all()]
    return f"Not readable here: {' and '.join(names)}." if names and len(table) else ""
