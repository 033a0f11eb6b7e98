# SPDX-License-Identifier: Apache-2.0
"""Round-trip times beside loads: what the ok trials of a run measured, and their medians by cell."""

import json
from typing import Any

import pandas as pd

from orchestrator.analysis.dataset import Run
from orchestrator.errors import UserError

_TIMES = ["p50_ms", "p90_ms", "p99_ms", "max_ms"]
_COLUMNS = ["at", "offered_pps", "sent", "n", *_TIMES]


def latencies(run: Run) -> pd.DataFrame:
    """One row for each ok trial and load beside which round trips were timed; empty where none were.

    Columns: trial_id, kind, the levels, at (the load, as a share of the rate that was found), offered_pps, sent and n
    (echo requests, and answers), and quantiles of the round-trip time in milliseconds. Raises UserError where a file of
    the run is damaged.
    """
    keys = ["trial_id", "kind", *run.levels]
    rows: list[dict[str, Any]] = []
    attempts = run.attempts[run.attempts["status"] == "ok"].drop_duplicates("trial_id")
    for attempt in attempts.to_dict("records"):
        if attempt["kind"] not in ("measure", "baseline") or pd.isna(attempt["packet_size"]):
            continue
        file = run.path / "trials" / attempt["trial_id"] / str(attempt["attempt"]) / "attempt.json"
        try:
            found = json.loads(file.read_text())["measurements"].get("latency") or ()
            for row in found:
                times = {
                    name: None if row[name[:-3] + "_s"] is None else row[name[:-3] + "_s"] * 1e3 for name in _TIMES
                }
                about = {key: attempt[key] for key in keys}
                rows.append({**about, **{key: row[key] for key in ("at", "offered_pps", "sent", "n")}, **times})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{file} cannot be read ({error}). Restore it from a copy of the run.") from error
    return pd.DataFrame(rows, columns=[*keys, *_COLUMNS])


def latency_cells(run: Run) -> pd.DataFrame:
    """One row a cell and load: trials, answers (of all), and of each quantile the median of the trials, in ms;
    of max_ms the highest; and measured_in."""
    found = latencies(run)
    groups = found.groupby([*run.levels, "at"], sort=True, dropna=False)
    table = groups.agg(
        trials=("trial_id", "size"),
        offered_pps=("offered_pps", "median"),
        answers=("n", "sum"),
        **{name: (name, "median") for name in _TIMES[:-1]},
        max_ms=("max_ms", "max"),
    )
    return table.reset_index().assign(measured_in=run.measured_in)
