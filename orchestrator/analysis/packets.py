# SPDX-License-Identifier: Apache-2.0
"""Packet rates of trials with pktgen: the rate received at a given load, or the bounds of the highest rate that a
search found.

They are never compared with TCP's throughput: a rate with bounded loss is a different quantity. Rates also differ in
what bounds them (`bounded_by`); ratios between different kinds are meaningless.
"""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from orchestrator.analysis.baselines import baseline_of, is_generator_bound
from orchestrator.analysis.dataset import Run
from orchestrator.spec import Cell
from orchestrator.stats import summarize_boots

# For each goal: the columns of the lower and the upper bound, and its meaning.
GOALS = {
    "pdr": ("pdr_lower_pps", "pdr_upper_pps", "highest rate with few losses (PDR)"),
    "ndr": ("ndr_lower_pps", "ndr_upper_pps", "highest rate without a loss (NDR)"),
    "received": ("received_pps", "received_pps", "what arrived of the rate that was sent"),
}
# What bounds a cell's rate. Losses: the generator offered more, and too much of it was lost (an open loop). Closed
# loop: no load lost too much, but the generator sent clearly less than without a tunnel, since it waits for the
# receiver of its packets. Generator: it sent nearly as much as without a tunnel, within the limit headroom. Highest
# load: the search ended at the highest load that the spec allows, or nothing was lost and there is no baseline.
LOSSES, CLOSED_LOOP, GENERATOR, HIGHEST_LOAD, MIXED = "losses", "closed loop", "generator", "highest load", "differs"
CLOSED_LOOP_NOTE = (
    "Closed loop: whatever takes a packet from the generator handles it before the next one is made, so that the "
    "generator waits, hardly a packet is lost, and the rate is what the path takes. Bounded by losses: packets are "
    "taken at once, and dropped where there are too many; the rate is the highest whose losses stay within the goal. "
    "These are two quantities, and a ratio of one to the other means nothing."
)
FINAL_S = 60.0  # RFC 2544, section 24: minimum duration of the deciding loads
_LOST = 0.005  # share of lost packets at the highest load below which losses do not bound the rate
_COLUMNS = [
    "goal",
    "n",
    "boots",
    "failed",
    "invalid",
    "missing",
    "median_pps",
    "low_pps",
    "high_pps",
    "interval",
]
_COLUMNS += ["upper_pps", "loss_ratio", "per_core_pps", "baseline_pps", "of_baseline", "generator_bound", "bounded_by"]
_NUMBERS = [name for name in _COLUMNS if name.endswith("_pps")] + ["loss_ratio", "of_baseline"]


def goals(run: Run) -> list[str]:
    """Return the goals for which a run has numbers: those of a search, or else the received rate."""
    found = [goal for goal in ("pdr", "ndr") if run.trials[GOALS[goal][0]].notna().any()]
    return found or ["received"]


def packet_trials(run: Run, kind: str = "measure") -> pd.DataFrame:
    """Return one row per ok trial and goal.

    Columns: the levels, testbed, boot, block, round, trial_id, goal, lower_pps, upper_pps, loss_ratio.
    """
    ok = run.trials[(run.trials["kind"] == kind) & (run.trials["status"] == "ok")]
    ok = ok[~ok.index.isin(run.shared.index)]
    parts = []
    for goal in goals(run):
        lower, upper, _ = GOALS[goal]
        mine = ok[ok[lower].notna()]
        about = mine[[*run.levels, "testbed", "boot", "block", "round", "trial_id", "loss_ratio"]]
        parts.append(about.assign(goal=goal, lower_pps=mine[lower], upper_pps=mine[upper]))
    return pd.concat(parts, ignore_index=True)


def packet_cells(run: Run) -> pd.DataFrame:
    """Return one row per planned cell and goal, in the order of places and variants.

    Columns: the levels; goal; n (ok trials), boots, failed, invalid, missing; median_pps, low_pps, high_pps, interval:
    of the lower bounds; upper_pps: median of the upper bounds; loss_ratio: its median; per_core_pps: the median per
    core; baseline_pps: the highest without a tunnel, over as many address pairs as the cell has tunnels; of_baseline,
    generator_bound: not for a given rate; bounded_by: losses, closed loop, generator, highest load (what the spec
    allows a search, or nothing was lost and there is no baseline), differs (from trial to trial), or empty for a given
    rate; measured_in.
    """
    trials = packet_trials(run)
    baselines = packet_trials(run, "baseline")
    order = {name: place for place, name in enumerate(run.variants)}
    rows: list[dict[str, Any]] = []
    for goal in goals(run):
        searched = goal != "received" or _as_fast_as_it_can(run)
        highest: dict[Cell, float] = {}
        for one in baselines[baselines["goal"] == goal].to_dict("records"):
            plain = Cell.of(one)
            highest[plain] = max(float(one["lower_pps"]), highest.get(plain, 0.0))
        for key, statuses in _by_key(run.planned).items():
            row: dict[str, Any] = {
                **key.row(),
                "goal": goal,
                "n": 0,
                "boots": 0,
                "interval": "",
                "generator_bound": False,
            }
            row["bounded_by"] = ""
            row |= {status: int((statuses["status"] == status).sum()) for status in ("failed", "invalid", "missing")}
            row |= dict.fromkeys(_NUMBERS, math.nan)
            mine = _of(trials[trials["goal"] == goal], key)
            if len(mine):
                boots = mine.groupby(["testbed", "boot"])["lower_pps"]
                found = summarize_boots({boot: list(values) for boot, values in boots})
                row |= {"n": found.n, "boots": found.boots, "median_pps": found.median, "interval": found.interval.name}
                row |= {"low_pps": found.interval.low, "high_pps": found.interval.high}
                row |= {"upper_pps": float(mine["upper_pps"].median()), "per_core_pps": found.median / key.cores}
                row["loss_ratio"] = float(mine["loss_ratio"].median())
            if baseline := baseline_of(key, highest):
                row["baseline_pps"] = baseline
                if searched:
                    row["of_baseline"] = row["median_pps"] / row["baseline_pps"]
                    row["generator_bound"] = is_generator_bound(key, row["of_baseline"], run.headroom)
            if searched and len(mine):
                asked = highest_asked_pps(run.traffic, key) or math.nan
                kinds = {_bounded_by(one, row["baseline_pps"], asked, run.headroom) for one in mine.to_dict("records")}
                row["bounded_by"] = kinds.pop() if len(kinds) == 1 else MIXED
                row["generator_bound"] &= row["bounded_by"] != HIGHEST_LOAD
            rows.append(row)
    rows.sort(key=lambda row: (in_order(Cell.of(row)), order[row["variant"]]))
    return pd.DataFrame(rows, columns=[*run.levels, *_COLUMNS]).assign(measured_in=run.measured_in)


def highest_asked_pps(traffic: Mapping[str, Any], key: Cell) -> float | None:
    """Return the highest rate that the spec allows the generator for a cell, in packets/s; None if it is unlimited."""
    search = traffic.get("search")
    if search:
        asked = key.get("traffic.search.max_rate", search.get("max_rate_pps"))
    else:
        asked = key.get("traffic.rate", traffic.get("rate"))
    return float(asked) if isinstance(asked, int | float) and asked > 0 else None


def _bounded_by(trial: Mapping[Any, Any], baseline_pps: float, asked_pps: float, headroom: float) -> str:
    """Return what bounds the rate of a trial: losses if it has an upper bound, or if packets were lost at the highest
    load; the highest load if the spec allows no higher one (``asked_pps``, packets/s)."""
    if trial["loss_ratio"] > _LOST if trial["goal"] == "received" else not math.isnan(trial["upper_pps"]):
        return LOSSES
    if math.isnan(baseline_pps) or trial["lower_pps"] >= (1 - headroom) * asked_pps:
        return HIGHEST_LOAD
    return GENERATOR if trial["lower_pps"] > (1 - headroom) * baseline_pps else CLOSED_LOOP


def search_note(run: Run) -> str:
    """Return a sentence on how the loads of a run's searches differ from RFC 2544; empty if there was no search.

    Source: RFC 2544, section 24 (a trial of at least 60 s in the final determination) and section 26.1.
    """
    traffic = run.traffic
    search = traffic.get("search")
    if not search:
        return ""
    final_s = search.get("final_duration_s") or traffic.get("duration_s") or 0.0
    found = f"Loads that decide: {final_s:g} s"
    return f"{found}." if final_s >= FINAL_S else f"{found} (RFC 2544 asks for {FINAL_S:g} s)."


def in_order(key: Cell) -> tuple[Any, ...]:
    """Return the sort key of a cell regardless of its variant: cores, tunnels, packet size (mixtures last), other
    factors."""
    size = key.packet_size
    return key.cores, key.tunnels, not isinstance(size, int), size if isinstance(size, int) else 0, key.place.order


def _as_fast_as_it_can(run: Run) -> bool:
    traffic = (run.meta.get("spec") or {}).get("traffic") or {}
    return traffic.get("rate") == "max"


def _by_key(trials: pd.DataFrame) -> dict[Cell, pd.DataFrame]:
    found: dict[Cell, list[int]] = {}
    for index, row in zip(trials.index, trials.to_dict("records"), strict=True):
        found.setdefault(Cell.of(row), []).append(index)
    return {key: trials.loc[places] for key, places in found.items()}


def _of(trials: pd.DataFrame, key: Cell) -> pd.DataFrame:
    return trials[[Cell.of(row) == key for row in trials.to_dict("records")]]
