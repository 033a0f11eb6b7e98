# SPDX-License-Identifier: Apache-2.0
"""Round-trip times under load: what the ok trials of a run measured, and their medians by cell."""

from typing import Any

import pandas as pd

from orchestrator.analysis.dataset import Run
from orchestrator.errors import UserError
from orchestrator.store.reading import parse_json

_TIMES = ["p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"]
_COLUMNS = ["at", "offered_pps", "sent", "n", *_TIMES]


def latencies(run: Run) -> pd.DataFrame:
    """Return one row per ok trial and load under which round trips were timed; empty if none were.

    Columns: trial_id, kind, the levels, at (the load, as a share of the rate that was found; 1 for throughput trials),
    offered_pps (NaN there), sent and n (echo requests, and answers), and quantiles of the round-trip time in
    milliseconds, p999_ms with 1000 answers or more. Raises UserError if a file of the run is damaged.
    """
    keys = ["trial_id", "kind", *run.levels]
    rows: list[dict[str, Any]] = []
    attempts = run.attempts[run.attempts["status"] == "ok"].drop_duplicates("trial_id")
    beside_tcp = timed_beside_traffic(run)
    for attempt in attempts.to_dict("records"):
        if attempt["kind"] not in ("measure", "baseline") or (pd.isna(attempt["packet_size"]) and not beside_tcp):
            continue
        file = run.path / "trials" / attempt["trial_id"] / str(attempt["attempt"]) / "attempt.json"
        try:
            found = parse_json(file.read_bytes())["measurements"].get("latency") or ()
            for row in found:
                seconds = {name: row.get(name[:-3] + "_s") for name in _TIMES}  # older runs have no p999_s
                times = {name: None if value is None else value * 1e3 for name, value in seconds.items()}
                about = {key: attempt[key] for key in keys}
                rows.append({**about, **{key: row[key] for key in ("at", "offered_pps", "sent", "n")}, **times})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{file} cannot be read ({error}). Restore it from a copy of the run.") from error
    found = pd.DataFrame(rows, columns=[*keys, *_COLUMNS])
    return found.astype(dict.fromkeys(["at", "offered_pps", *_TIMES], "float64"))


def timed_beside_traffic(run: Run) -> bool:
    """Return whether a run timed round trips during the traffic of iperf3."""
    blocks = (run.meta.get("plan") or {}).get("blocks") or ()
    traffics = (trial["traffic"] for block in blocks for trial in block["trials"])
    return any(one.get("latency") and one.get("tool") == "iperf3" for one in traffics)


def latency_cells(run: Run) -> pd.DataFrame:
    """Return one row per cell and load: trials, answers (of all trials), fewest_answers (of one trial), the median over
    trials of each quantile in ms (of max_ms the highest), and measured_in."""
    found = latencies(run)
    groups = found.groupby([*run.levels, "at"], sort=True, dropna=False)
    table = groups.agg(
        trials=("trial_id", "size"),
        offered_pps=("offered_pps", "median"),
        answers=("n", "sum"),
        fewest_answers=("n", "min"),
        **{name: (name, "median") for name in _TIMES[:-1]},
        max_ms=("max_ms", "max"),
    )
    return table.reset_index().assign(measured_in=run.measured_in)


def too_few_answers(run: Run) -> str:
    """Return a sentence on the loads without a p99.9 and their numbers of answers; empty if every load has one or
    nothing was timed."""
    found = latencies(run)
    few = found[found["p999_ms"].isna() & found["n"].gt(0)]["n"]
    if few.empty:
        return ""
    counts = f"{few.min()}" if few.min() == few.max() else f"{few.min()} to {few.max()}"
    loads = f"{len(few)} of {len(found)} loads" if len(few) < len(found) else "The loads here"
    had = f"{loads} had {counts} answers, too few for it"
    return f"{had}: raise the rate of latency in the spec, or the duration."
