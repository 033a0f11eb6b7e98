# SPDX-License-Identifier: Apache-2.0
"""The results of a run: medians per cell, ratios between variants, and efficiency with more cores."""

import math
from collections import Counter
from collections.abc import Hashable, Mapping
from itertools import product
from typing import Any

import pandas as pd

from orchestrator.analysis.baselines import baseline_of, baselines_of, is_generator_bound
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.limits import limit_of
from orchestrator.analysis.limits.rules import OFFERED
from orchestrator.analysis.run_data import levels_of, on_one_testbed
from orchestrator.spec import Cell
from orchestrator.stats import (
    RELATIVE,
    Fit,
    Interval,
    by_boot,
    fit_amdahl,
    fit_usl,
    paired_ratio,
    parallel_efficiency,
    scaled,
    summarize_boots,
)
from orchestrator.stats.modes import CERTAIN, Modes, modes_among


def cells(run: Run) -> pd.DataFrame:
    """Return one row per planned cell, in the order of cores, tunnels and variant.

    Columns: the levels; n (ok trials), boots (of these trials), failed, invalid, missing (trials), invalid_attempts
    (all attempts, including those followed by a valid one); median_bps, low_bps, high_bps, interval (its name);
    baseline_bps (over as many address pairs as the cell has tunnels), of_baseline (share), generator_bound; modes ("",
    probable or certain, see `orchestrator.stats.modes`), and for a cell with several modes lower_mode_bps,
    lower_mode_n, upper_mode_bps, upper_mode_n (median and trials of each), which then say more than the median; limit
    (what limited it, in a few words, see `orchestrator.analysis.limits`; "" if no CPU was sampled); measured_in (the
    run's clock, in words). Without an ok trial the numbers are missing (NaN, interval ""). For a user-defined quantity,
    columns end in _value instead of _bps, and generator_bound is always false: a value near the baseline need not be at
    a limit.
    """
    return run.cell_rows.copy()


def cell_rows(run: Run) -> pd.DataFrame:
    """Compute the table that `cells` returns."""
    of, bounded = run.quantity.of, run.quantity.is_throughput
    order = {name: place for place, name in enumerate(run.variants)}
    values = values_of(run, run.measured)
    baselines = baselines_of(run)
    tried = run.attempts[(run.attempts["kind"] == "measure") & (run.attempts["status"] == "invalid")]
    invalid = Counter(map(Cell.of, tried[run.levels].to_dict("records")))
    modes = _modes(run, values)
    limits = {load.key: limit_of(load).label for load in run.loads}
    rows: list[dict[str, Any]] = []
    for levels, group in run.planned.groupby(run.levels, dropna=False):
        key = Cell.of(dict(zip(run.levels, levels, strict=True)))
        statuses = group["status"].value_counts()
        row: dict[str, Any] = {**key.row(), "n": 0, "boots": 0}
        row |= {status: int(statuses.get(status, 0)) for status in ("failed", "invalid", "missing")}
        row |= {"invalid_attempts": invalid[key], "limit": limits.get(key, "")}
        row |= dict.fromkeys((*map(of, ("median", "low", "high", "baseline")), "of_baseline"), float("nan"))
        row |= {"interval": "", "generator_bound": False}
        if mine := boots_of(values.get(key, {})):
            summary = summarize_boots(mine)
            row |= {"n": summary.n, "boots": summary.boots, of("median"): summary.median}
            row["interval"] = summary.interval.name
            row |= {of("low"): summary.interval.low, of("high"): summary.interval.high}
        if baseline := baseline_of(key, baselines):
            row[of("baseline")] = baseline
            row["of_baseline"] = row[of("median")] / baseline
            near = bounded and is_generator_bound(key, row["of_baseline"], run.headroom)
            row["generator_bound"] = near and row["limit"] != OFFERED  # which is meant to be the limit
        rows.append(row | _mode_columns(run, modes.get(key)))
    rows.sort(key=lambda row: (Cell.of(row).place, order[row["variant"]]))
    return pd.DataFrame(rows, columns=[*run.levels, *_cell_columns(run)]).assign(measured_in=run.measured_in)


def _cell_columns(run: Run) -> list[str]:
    of = run.quantity.of
    found = ["n", "boots", "failed", "invalid", "missing", "invalid_attempts", of("median"), of("low"), of("high")]
    found += ["interval", of("baseline"), "of_baseline", "generator_bound"]
    return [*found, "modes", of("lower_mode"), "lower_mode_n", of("upper_mode"), "upper_mode_n", "limit"]


def _mode_columns(run: Run, modes: Modes | None) -> dict[str, Any]:
    row: dict[str, Any] = {"modes": modes.how_sure if modes else ""}
    for side in ("lower", "upper"):
        mode = getattr(modes, side, None)
        median = mode.median if mode else math.nan
        row |= {run.quantity.of(f"{side}_mode"): median, f"{side}_mode_n": mode.n if mode else 0}
    return row


def ratios(run: Run, reference: str | None = None) -> pd.DataFrame:
    """Return the ratio of each variant's value (throughput) to the reference variant's, by cell, paired by block and
    round.

    Columns: the levels, reference, n (pairs), boots, unpaired (trials without a counterpart), median, low, high,
    interval, modes (of the two cells: "", probable or certain; the median of the ratios may then lie between the ratios
    of the modes), measured_in. Cells without a pair are absent. ``reference``: by default vanilla.
    """
    reference = reference or run.reference
    order = {name: place for place, name in enumerate(run.variants)}
    values = values_of(run, run.measured)
    modes = _modes(run, values)
    rows: list[dict[str, Any]] = []
    for key, mine in values.items():
        if key.variant == reference:
            continue
        ratio = paired_ratio(mine, values.get(key.replaced(variant=str(reference)), {}))
        if ratio is not None:
            row = {**key.row(), "reference": reference, "n": ratio.n, "boots": ratio.boots}
            row["unpaired"] = ratio.unpaired
            both = {modes[cell].how_sure for cell in (key, key.replaced(variant=str(reference))) if cell in modes}
            row["modes"] = CERTAIN if CERTAIN in both else "".join(both)
            rows.append({**row, **bounds(ratio.median, ratio.interval)})
    rows.sort(key=lambda row: (Cell.of(row).place, order[row["variant"]]))
    columns = [*run.levels, "reference", "n", "boots", "unpaired", "median", "low", "high", "interval", "modes"]
    return pd.DataFrame(rows, columns=columns).assign(measured_in=run.measured_in)


def efficiencies(run: Run) -> pd.DataFrame:
    """Return the parallel efficiency of throughput with one tunnel per core, relative to the variant's own throughput
    on one core of the same testbed.

    Columns: the levels, reference_cores (1), n (trials) and boots (of the side that has fewer), median, low, high,
    interval, measured_in. There is no row for one core itself, nor for a variant that was not measured on one core.
    """
    rows: list[dict[str, Any]] = []
    for variant in run.variants if run.quantity.is_throughput else ():
        mine = one_tunnel_a_core(run, variant)
        references = {tuple(key.more.items()): boots for key, boots in mine.items() if key.cores == 1}
        for key, boots in mine.items():
            one_core = references.get(tuple(key.more.items()))
            if one_core is None or key.cores == 1:
                continue
            result = parallel_efficiency(boots, key.cores, one_core)
            if result is not None:
                row = {**key.row(), "reference_cores": 1, "boots": result.boots}
                row["n"] = min(result.n_numerator, result.n_denominator)
                rows.append({**row, **bounds(result.value, result.interval)})
    columns = [*run.levels, "reference_cores", "n", "boots", "median", "low", "high", "interval"]
    return pd.DataFrame(rows, columns=columns).assign(measured_in=run.measured_in)


def fits(run: Run, weights: str = RELATIVE) -> pd.DataFrame:
    """Return fits of Amdahl's law and the USL (see `orchestrator.stats.fits`) to each variant's throughput against
    cores.

    There is one row per law, variant and way to add tunnels (``tunnels``: "per core", or their fixed number) with more
    than one core count. ``weights``: relative deviations, or absolute ones, as is usual for the USL. Columns: variant,
    the levels of further factors, tunnels, law, core_counts, n (trials), boots (of the core count that has fewest),
    fitted, reason (if not fitted), one_core_bps, sigma, kappa, each with a ..._low and ..._high (NaN if a core count
    has one boot), largest_deviation (of a core count from the curve), notes (caveats of the fit), and measured_in.
    `curve_bps` evaluates a row.
    """
    rows: list[dict[str, Any]] = []
    trials = on_one_testbed(run.measured if run.quantity.is_throughput else run.measured.iloc[:0])
    values = {key: boots_of(mine) for key, mine in values_of(run, trials).items() if key.packet_size is None}
    settings = dict.fromkeys(tuple(key.more.items()) for key in values)
    for variant, setting in product(run.variants, settings):
        mine = {key: found for key, found in values.items() if key.variant == variant}
        mine = {key: found for key, found in mine.items() if tuple(key.more.items()) == setting}
        series = {"per core": {key.cores: found for key, found in mine.items() if key.tunnels == key.cores}}
        for tunnels in sorted({key.tunnels for key in mine}):
            series[str(tunnels)] = {key.cores: found for key, found in mine.items() if key.tunnels == tunnels}
        for name, by_cores in series.items():
            if len(by_cores) > 1:
                made = (fit(by_cores, weights) for fit in (fit_amdahl, fit_usl))
                rows += [{**_fit_row(variant, name, fit), **dict(setting)} for fit in made]
    return pd.DataFrame(rows, columns=[*_FIT_COLUMNS, *run.further_factors]).assign(measured_in=run.measured_in)


_PARAMETERS = {"one_core": "one_core{}_bps", "sigma": "sigma{}", "kappa": "kappa{}"}
_FIT_COLUMNS = ["variant", "tunnels", "law", "core_counts", "n", "boots", "fitted", "reason"]
_FIT_COLUMNS += [column.format(end) for column in _PARAMETERS.values() for end in ("", "_low", "_high")]
_FIT_COLUMNS += ["largest_deviation", "notes"]


def _fit_row(variant: str, tunnels: str, fit: Fit) -> dict[str, Any]:
    row: dict[str, Any] = {"variant": variant, "tunnels": tunnels, "law": fit.law, "core_counts": fit.core_counts}
    row |= {"n": fit.n, "boots": fit.boots, "fitted": not fit.reason, "reason": fit.reason}
    for name, column in _PARAMETERS.items():
        parameter = getattr(fit, name)
        for field, end in (("value", ""), ("low", "_low"), ("high", "_high")):
            found = getattr(parameter, field, None)
            row[column.format(end)] = math.nan if found is None else found
    row["largest_deviation"] = math.nan if fit.largest_deviation is None else fit.largest_deviation
    row["notes"] = "; ".join(fit.notes)
    return row


def curve_bps(row: Mapping[Any, Any], cores: float) -> float:
    """Return the throughput, in bit/s, that the law in a row of `fits` predicts for a number of cores; NaN if not
    fitted."""
    kappa = 0.0 if math.isnan(row["kappa"]) else row["kappa"]
    return float(scaled(cores, row["one_core_bps"], row["sigma"], kappa))


def bounds(median: float, interval: Interval) -> dict[str, Any]:
    """Return the columns median, low, high and interval (its name)."""
    return {"median": median, "low": interval.low, "high": interval.high, "interval": interval.name}


def values_of(run: Run, trials: pd.DataFrame) -> dict[Cell, dict[tuple[Any, ...], float]]:
    """Return {cell: {(testbed, boot, (block, round)): value}} in the unit of the run's quantity (bit/s), sorted by
    cell.

    Each round of a block has each cell once. Blocks without a restart of the hosts between them share a boot.
    """
    found: dict[Cell, dict[tuple[Any, ...], float]] = {}
    for row in trials[[*levels_of(trials), "testbed", "boot", "block", "round", run.quantity.column]].to_dict(
        "records"
    ):
        mine = found.setdefault(Cell.of(row), {})
        pair = int(row["block"]), int(row["round"])
        mine[str(row["testbed"]), str(row["boot"]), pair] = float(row[run.quantity.column])
    return dict(sorted(found.items(), key=lambda item: (item[0].variant, item[0].place)))


def _modes(run: Run, values: dict[Cell, dict[tuple[Any, ...], float]]) -> dict[Cell, Modes]:
    """Return the cells that have several modes, of the whole run if this is a part of one. ``values``: of this run's
    trials; see `values_of`."""
    if run.whole is not None:
        values = values_of(run.whole, run.whole.measured)
    return modes_among({key: boots_of(mine) for key, mine in values.items()})


def boots_of(values: Mapping[tuple[Any, ...], float]) -> dict[Hashable, list[float]]:
    """Return {boot: [values]} for a cell of `values_of`."""
    return {boot: list(rounds.values()) for boot, rounds in by_boot(values).items()}


def one_tunnel_a_core(run: Run, variant: str) -> dict[Cell, dict[Hashable, list[float]]]:
    """Return {cell: {boot: throughputs in bit/s}} for a variant's cells with one tunnel per core, by ascending core
    count.

    They are of one testbed, since core counts are compared.
    """
    cells = values_of(run, on_one_testbed(run.measured[run.measured["variant"] == variant]))
    mine = {key: boots_of(values) for key, values in cells.items() if key.tunnels == key.cores}
    return dict(sorted(mine.items(), key=lambda item: item[0].cores))
