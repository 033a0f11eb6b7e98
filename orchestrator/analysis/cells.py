# SPDX-License-Identifier: Apache-2.0
"""What came out: a row a cell, the ratios between variants, the efficiency with more cores."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from orchestrator.analysis.dataset import Run, on_one_testbed
from orchestrator.stats import Interval, paired_ratio, parallel_efficiency, summarize

LEVELS = ["variant", "cores", "tunnels"]
_HEADROOM = 0.10  # below the baseline, as a share of it; nearer, the generator may be what limits


def baseline_bps(run: Run) -> dict[int, float]:
    """Median throughput without a tunnel, in bit/s, by core count; only core counts that have a valid baseline."""
    groups = run.baselines.groupby("cores")["throughput_bps"]
    return {int(str(cores)): summarize(values).median for cores, values in groups}


def cells(run: Run) -> pd.DataFrame:
    """One row a planned cell, in the order cores, tunnels, variant.

    Columns: the levels; n (ok trials), failed, invalid, missing (trials), invalid_attempts (all attempts, those that a
    later one made good included); median_bps, low_bps, high_bps, interval (its name); baseline_bps, of_baseline
    (share), generator_bound. Without an ok trial the numbers are missing (NaN, interval "").
    """
    order = {name: place for place, name in enumerate(run.variants)}
    planned = run.trials[run.trials["kind"] == "measure"]
    values = _by_cell(run.measured)
    baselines = baseline_bps(run)
    headroom = ((run.meta.get("spec") or {}).get("limits") or {}).get("headroom", _HEADROOM)
    tried = run.attempts[(run.attempts["kind"] == "measure") & (run.attempts["status"] == "invalid")]
    invalid = tried.groupby(LEVELS).size().to_dict()
    rows: list[dict[str, Any]] = []
    for key, group in planned.groupby(LEVELS):
        variant, cores, tunnels = key = _key(key)
        statuses = group["status"].value_counts()
        row: dict[str, Any] = {"variant": variant, "cores": cores, "tunnels": tunnels, "n": 0}
        row |= {status: int(statuses.get(status, 0)) for status in ("failed", "invalid", "missing")}
        row["invalid_attempts"] = int(invalid.get(key, 0))
        row |= dict.fromkeys(("median_bps", "low_bps", "high_bps", "baseline_bps", "of_baseline"), float("nan"))
        row |= {"interval": "", "generator_bound": False}
        if mine := list(values.get(key, {}).values()):
            summary = summarize(mine)
            row |= {"n": summary.n, "median_bps": summary.median, "interval": summary.interval.name}
            row |= {"low_bps": summary.interval.low, "high_bps": summary.interval.high}
        if cores in baselines:
            row["baseline_bps"] = baselines[cores]
            row["of_baseline"] = row["median_bps"] / baselines[cores] if baselines[cores] > 0 else float("nan")
            row["generator_bound"] = bool(row["of_baseline"] > 1 - headroom)
        rows.append(row)
    rows.sort(key=lambda row: (row["cores"], row["tunnels"], order[row["variant"]]))
    return pd.DataFrame(rows, columns=[*LEVELS, *_CELL_COLUMNS])


_CELL_COLUMNS = ["n", "failed", "invalid", "missing", "invalid_attempts", "median_bps", "low_bps", "high_bps"]
_CELL_COLUMNS += ["interval", "baseline_bps", "of_baseline", "generator_bound"]


def ratios(run: Run, reference: str | None = None) -> pd.DataFrame:
    """How many times the reference variant's throughput another carries, cell by cell, paired by block and round.

    Columns: the levels, reference, n (pairs), unpaired (trials without a counterpart), median, low, high, interval.
    Cells without a pair are absent. ``reference``: by default vanilla.
    """
    reference = reference or run.reference
    values = _by_cell(run.measured)
    rows: list[dict[str, Any]] = []
    for variant in run.variants:
        for (name, cores, tunnels), mine in values.items():
            if name != variant or variant == reference:
                continue
            ratio = paired_ratio(mine, values.get((str(reference), cores, tunnels), {}))
            if ratio is not None:
                row = {"variant": variant, "cores": cores, "tunnels": tunnels, "reference": reference}
                rows.append({**row, "n": ratio.n, "unpaired": ratio.unpaired, **_bounds(ratio.median, ratio.interval)})
    rows.sort(key=lambda row: (row["cores"], row["tunnels"]))
    return pd.DataFrame(rows, columns=[*LEVELS, "reference", "n", "unpaired", "median", "low", "high", "interval"])


def efficiencies(run: Run) -> pd.DataFrame:
    """Parallel efficiency with one tunnel a core, against the variant's own smallest such core count, on one testbed.

    Columns: the levels, reference_cores, n, median, low, high, interval. The smallest core count itself has no row.
    """
    values = _by_cell(on_one_testbed(run.measured))
    rows: list[dict[str, Any]] = []
    for variant in run.variants:
        mine = {c: list(v.values()) for (name, c, t), v in values.items() if name == variant and c == t}
        if not mine:
            continue
        first = min(mine)
        for cores in sorted(mine):
            if cores == first:
                continue
            result = parallel_efficiency(mine[cores], cores, mine[first], first)
            if result is not None:
                row = {"variant": variant, "cores": cores, "tunnels": cores, "reference_cores": first}
                rows.append({**row, "n": result.n_numerator, **_bounds(result.value, result.interval)})
    return pd.DataFrame(rows, columns=[*LEVELS, "reference_cores", "n", "median", "low", "high", "interval"])


def _bounds(median: float, interval: Interval) -> dict[str, Any]:
    return {"median": median, "low": interval.low, "high": interval.high, "interval": interval.name}


def _key(levels: Any) -> tuple[str, int, int]:
    variant, cores, tunnels = levels
    return str(variant), int(cores), int(tunnels)


def _by_cell(trials: pd.DataFrame) -> Mapping[tuple[str, int, int], dict[Hashable, float]]:
    """{cell: {(testbed, block, round): throughput in bit/s}}, cells sorted. A round has each cell once."""
    found: dict[tuple[str, int, int], dict[Hashable, float]] = {}
    columns = trials[[*LEVELS, "testbed", "block", "round", "throughput_bps"]]
    for variant, cores, tunnels, testbed, block, turn, value in columns.itertuples(index=False, name=None):
        found.setdefault((str(variant), int(cores), int(tunnels)), {})[testbed, int(block), int(turn)] = float(value)
    return dict(sorted(found.items()))
