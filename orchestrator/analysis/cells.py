# SPDX-License-Identifier: Apache-2.0
"""What came out: a row a cell, the ratios between variants, the efficiency with more cores."""

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from orchestrator.analysis.dataset import Run
from orchestrator.stats import Interval, paired_ratio, parallel_efficiency, summarize


class Key(NamedTuple):
    """A cell: its levels, which are also columns of the frames."""

    variant: str
    cores: int
    tunnels: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Key":
        """The cell of a row that has the levels as columns."""
        return cls(str(row["variant"]), int(row["cores"]), int(row["tunnels"]))

    @property
    def place(self) -> tuple[int, ...]:
        """All but the variant: variants are compared with each other at the same place."""
        return tuple(self[1:])

    def __str__(self) -> str:
        numbers = ((self.cores, "core"), (self.tunnels, "tunnel"))
        return ", ".join([self.variant, *(f"{n} {what}{'s' * (n != 1)}" for n, what in numbers)])


LEVELS = list(Key._fields)
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
    values = throughputs(run.measured)
    baselines = baseline_bps(run)
    headroom = ((run.meta.get("spec") or {}).get("limits") or {}).get("headroom", _HEADROOM)
    tried = run.attempts[(run.attempts["kind"] == "measure") & (run.attempts["status"] == "invalid")]
    invalid = Counter(map(Key.of, tried[LEVELS].to_dict("records")))
    rows: list[dict[str, Any]] = []
    for levels, group in planned.groupby(LEVELS):
        key = Key.of(dict(zip(LEVELS, levels, strict=True)))
        statuses = group["status"].value_counts()
        row: dict[str, Any] = {**key._asdict(), "n": 0}
        row |= {status: int(statuses.get(status, 0)) for status in ("failed", "invalid", "missing")}
        row["invalid_attempts"] = invalid[key]
        row |= dict.fromkeys(("median_bps", "low_bps", "high_bps", "baseline_bps", "of_baseline"), float("nan"))
        row |= {"interval": "", "generator_bound": False}
        if mine := list(values.get(key, {}).values()):
            summary = summarize(mine)
            row |= {"n": summary.n, "median_bps": summary.median, "interval": summary.interval.name}
            row |= {"low_bps": summary.interval.low, "high_bps": summary.interval.high}
        if baseline := baselines.get(key.cores):
            row["baseline_bps"] = baseline
            row["of_baseline"] = row["median_bps"] / baseline
            row["generator_bound"] = bool(row["of_baseline"] > 1 - headroom)
        rows.append(row)
    rows.sort(key=lambda row: (Key.of(row).place, order[row["variant"]]))
    return pd.DataFrame(rows, columns=[*LEVELS, *_CELL_COLUMNS])


_CELL_COLUMNS = ["n", "failed", "invalid", "missing", "invalid_attempts", "median_bps", "low_bps", "high_bps"]
_CELL_COLUMNS += ["interval", "baseline_bps", "of_baseline", "generator_bound"]


def ratios(run: Run, reference: str | None = None) -> pd.DataFrame:
    """How many times the reference variant's throughput another carries, cell by cell, paired by block and round.

    Columns: the levels, reference, n (pairs), unpaired (trials without a counterpart), median, low, high, interval.
    Cells without a pair are absent. ``reference``: by default vanilla.
    """
    reference = reference or run.reference
    order = {name: place for place, name in enumerate(run.variants)}
    values = throughputs(run.measured)
    rows: list[dict[str, Any]] = []
    for key, mine in values.items():
        if key.variant == reference:
            continue
        ratio = paired_ratio(mine, values.get(key._replace(variant=str(reference)), {}))
        if ratio is not None:
            row = {**key._asdict(), "reference": reference, "n": ratio.n, "unpaired": ratio.unpaired}
            rows.append({**row, **bounds(ratio.median, ratio.interval)})
    rows.sort(key=lambda row: (Key.of(row).place, order[row["variant"]]))
    return pd.DataFrame(rows, columns=[*LEVELS, "reference", "n", "unpaired", "median", "low", "high", "interval"])


def efficiencies(run: Run) -> pd.DataFrame:
    """Parallel efficiency with one tunnel a core, against the variant's own smallest such core count.

    Columns: the levels, reference_cores, n, median, low, high, interval. The smallest core count itself has no row.
    """
    rows: list[dict[str, Any]] = []
    for variant in run.variants:
        mine = one_tunnel_a_core(run, variant)
        first = next(iter(mine), None)
        for key, values in mine.items():
            if first is None or key == first:
                continue
            result = parallel_efficiency(values, key.cores, mine[first], first.cores)
            if result is not None:
                row = {**key._asdict(), "reference_cores": first.cores, "n": result.n_numerator}
                rows.append({**row, **bounds(result.value, result.interval)})
    return pd.DataFrame(rows, columns=[*LEVELS, "reference_cores", "n", "median", "low", "high", "interval"])


def bounds(median: float, interval: Interval) -> dict[str, Any]:
    """The columns median, low, high and interval (its name)."""
    return {"median": median, "low": interval.low, "high": interval.high, "interval": interval.name}


def throughputs(trials: pd.DataFrame) -> dict[Key, dict[Hashable, float]]:
    """{cell: {(block, round): throughput in bit/s}}, cells sorted. A round has each cell once."""
    found: dict[Key, dict[Hashable, float]] = {}
    for row in trials[[*LEVELS, "block", "round", "throughput_bps"]].to_dict("records"):
        found.setdefault(Key.of(row), {})[int(row["block"]), int(row["round"])] = float(row["throughput_bps"])
    return dict(sorted(found.items()))


def one_tunnel_a_core(run: Run, variant: str) -> dict[Key, list[float]]:
    """{cell: throughputs in bit/s} of a variant's cells with as many tunnels as cores, the fewest cores first."""
    cells = throughputs(run.measured[run.measured["variant"] == variant])
    mine = {key: list(values.values()) for key, values in cells.items() if key.tunnels == key.cores}
    return dict(sorted(mine.items(), key=lambda item: item[0].cores))
