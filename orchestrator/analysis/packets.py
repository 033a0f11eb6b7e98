# SPDX-License-Identifier: Apache-2.0
"""Packet rates: of trials with pktgen, what one rate carried, or the bounds between which a search found the highest.

Never beside TCP's throughput: a rate with bounded loss is another quantity.
"""

import math
from typing import Any

import pandas as pd

from orchestrator.analysis.cells import LEVELS, Key
from orchestrator.analysis.dataset import Run
from orchestrator.stats import summarize

# Which rate: its columns of the lower and the upper bound, and what it is.
GOALS = {
    "pdr": ("pdr_lower_pps", "pdr_upper_pps", "highest rate with few losses (PDR)"),
    "ndr": ("ndr_lower_pps", "ndr_upper_pps", "highest rate without a loss (NDR)"),
    "received": ("received_pps", "received_pps", "what arrived of the rate that was sent"),
}
_HEADROOM = 0.10
_COLUMNS = [*LEVELS, "goal", "n", "failed", "invalid", "missing", "median_pps", "low_pps", "high_pps", "interval"]
_COLUMNS += ["upper_pps", "loss_ratio", "per_core_pps", "baseline_pps", "of_baseline", "generator_bound"]
_NUMBERS = [name for name in _COLUMNS if name.endswith("_pps")] + ["loss_ratio", "of_baseline"]


def goals(run: Run) -> list[str]:
    """The goals that a run has numbers for: those of a search, else what was received."""
    found = [goal for goal in ("pdr", "ndr") if run.trials[GOALS[goal][0]].notna().any()]
    return found or ["received"]


def packet_trials(run: Run, kind: str = "measure") -> pd.DataFrame:
    """One row an ok trial and goal: the levels, block, round, trial_id, goal, lower_pps, upper_pps, loss_ratio."""
    ok = run.trials[(run.trials["kind"] == kind) & (run.trials["status"] == "ok")]
    ok = ok[~ok.index.isin(run.shared.index)]
    parts = []
    for goal in goals(run):
        lower, upper, _ = GOALS[goal]
        mine = ok[ok[lower].notna()]
        about = mine[[*LEVELS, "block", "round", "trial_id", "loss_ratio"]]
        parts.append(about.assign(goal=goal, lower_pps=mine[lower], upper_pps=mine[upper]))
    return pd.concat(parts, ignore_index=True)


def packet_cells(run: Run) -> pd.DataFrame:
    """One row a planned cell and goal, in the order of places and variants.

    Columns: the levels; goal; n (ok trials), failed, invalid, missing; median_pps, low_pps, high_pps, interval: of the
    lower bounds; upper_pps: median of the upper bounds; loss_ratio: its median; per_core_pps: the median a core;
    baseline_pps: the highest without a tunnel; of_baseline, generator_bound: not where a rate was given;
    measured_in.
    """
    trials = packet_trials(run)
    baselines = packet_trials(run, "baseline")
    planned = run.trials[run.trials["kind"] == "measure"]
    order = {name: place for place, name in enumerate(run.variants)}
    rows: list[dict[str, Any]] = []
    for goal in goals(run):
        searched = goal != "received" or _as_fast_as_it_can(run)
        for key, statuses in _by_key(planned).items():
            row: dict[str, Any] = {**key._asdict(), "goal": goal, "n": 0, "interval": "", "generator_bound": False}
            row |= {status: int((statuses["status"] == status).sum()) for status in ("failed", "invalid", "missing")}
            row |= dict.fromkeys(_NUMBERS, math.nan)
            mine = _of(trials[trials["goal"] == goal], key)
            if len(mine):
                found = summarize(list(mine["lower_pps"]))
                row |= {"n": found.n, "median_pps": found.median, "interval": found.interval.name}
                row |= {"low_pps": found.interval.low, "high_pps": found.interval.high}
                row |= {"upper_pps": float(mine["upper_pps"].median()), "per_core_pps": found.median / key.cores}
                row["loss_ratio"] = float(mine["loss_ratio"].median())
            plain = baselines[(baselines["goal"] == goal) & (baselines["cores"] == key.cores)]
            plain = plain[plain["packet_size"] == key.packet_size]
            if len(plain):
                row["baseline_pps"] = float(plain["lower_pps"].max())
                if searched:
                    row["of_baseline"] = row["median_pps"] / row["baseline_pps"]
                    row["generator_bound"] = bool(row["of_baseline"] > 1 - _HEADROOM)
            rows.append(row)
    rows.sort(key=lambda row: (in_order(Key.of(row)), order[row["variant"]]))
    return pd.DataFrame(rows, columns=_COLUMNS).assign(measured_in=run.measured_in)


def in_order(key: Key) -> tuple[int, int, bool, int]:
    """Where a cell stands, whatever its variant: by cores, tunnels and packet size, mixtures last."""
    cores, tunnels, size, _ = key.place
    return cores, tunnels, size == 0, size


def _as_fast_as_it_can(run: Run) -> bool:
    traffic = (run.meta.get("spec") or {}).get("traffic") or {}
    return traffic.get("rate") == "max"


def _by_key(trials: pd.DataFrame) -> dict[Key, pd.DataFrame]:
    found: dict[Key, list[int]] = {}
    for index, row in zip(trials.index, trials.to_dict("records"), strict=True):
        found.setdefault(Key.of(row), []).append(index)
    return {key: trials.loc[places] for key, places in found.items()}


def _of(trials: pd.DataFrame, key: Key) -> pd.DataFrame:
    same = (trials["variant"] == key.variant) & (trials["cores"] == key.cores) & (trials["tunnels"] == key.tunnels)
    return trials[same & (trials["packet_size"] == key.packet_size)]
