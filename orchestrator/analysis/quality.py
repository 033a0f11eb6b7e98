# SPDX-License-Identifier: Apache-2.0
"""Checks of the assumptions behind a median: a cell's values have one mode, no drift, and independent neighbours.

Each of the three checks is a family of tests, one per cell, with a false-alarm rate of at most 5 % over all cells of a
run. Drift and dependence of neighbours are corrected by Holm's method; for modes see
`orchestrator.stats.modes.modes_among`. How often each raises a false alarm is simulated in
tests/unit/test_stats_modes.py.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from orchestrator.analysis.cells import values_of
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.packets import GOALS, goals
from orchestrator.spec import Cell
from orchestrator.stats import holm, paired_ratio
from orchestrator.stats.modes import CERTAIN, FEWEST_FOR_MODES, PROBABLE, Modes, modes_among
from orchestrator.stats.order import drift, likeness

_ALARMS = 0.05  # rate of false alarms per run


def column_of(run: Run) -> tuple[str, str, float]:
    """Return the column of a run's values, the unit in which they are shown, and that unit as a multiple of the
    column's."""
    if run.counts_packets:
        return GOALS[goals(run)[0]][0], "kpps", 1e3
    return run.quantity.column, run.quantity.unit, run.quantity.scale


def several_modes(run: Run) -> dict[Cell, Modes]:
    """Return the cells of a run that have several modes, certainly or probably."""
    mine = _boots(run)
    found = modes_among(_boots(run.whole) if run.whole else mine)
    return {key: modes for key, modes in found.items() if key in mine}


def quality(run: Run) -> pd.DataFrame:
    """Return one row per cell with a valid trial: whether it has one mode, drifts, or has dependent neighbours.

    Columns: the levels; n; modes ("", probable or certain), lower, lower_n, upper, upper_n (median and trials of each
    group, in bit/s or packets/s; NaN and 0 without modes); drift (Kendall's tau with order, within a boot) and drift_p;
    neighbours (lag-1 autocorrelation of ranks) and neighbours_p; measured_in. The p-values are corrected by Holm's
    method for the number of cells; NaN with too few trials.
    """
    if run.whole is not None:
        here = _boots(run)
        every = quality(run.whole)
        return every[[Cell.of(row) in here for row in every.to_dict("records")]].reset_index(drop=True)
    boots = _boots(run)
    modes = several_modes(run)
    rows: list[dict[str, Any]] = []
    for key, mine in boots.items():
        found = modes.get(key)
        row: dict[str, Any] = {**key.row(), "n": sum(map(len, mine.values()))}
        row["modes"] = found.how_sure if found else ""
        for side in ("lower", "upper"):
            mode = getattr(found, side, None)
            row |= {side: mode.median if mode else math.nan, f"{side}_n": mode.n if mode else 0}
        for name, test in (("drift", drift), ("neighbours", likeness)):
            tested = test(list(mine.values()))
            row |= {name: tested[0] if tested else math.nan, f"{name}_p": tested[1] if tested else math.nan}
        rows.append(row)
    columns = [*run.levels, "n", "modes", "lower", "lower_n", "upper", "upper_n"]
    columns += ["drift", "drift_p", "neighbours", "neighbours_p"]
    table = pd.DataFrame(rows, columns=columns)
    for name in ("drift_p", "neighbours_p"):
        known = table[name].notna()
        table.loc[known, name] = holm(table.loc[known, name].tolist())
    return table.assign(measured_in=run.measured_in)


def drift_of_boots(run: Run) -> pd.DataFrame:
    """Return one row per boot: whether the values of all its cells together rise or fall from round to round.

    A round counts with the median of its trials, each as a share of its cell's median in that boot. Columns: testbed,
    block, rounds, drift (Kendall's tau) and drift_p (exact, corrected by Holm's method for all boots; NaN below three
    rounds).
    """
    return _drift_along(run, "round", "rounds")


def drift_in_rounds(run: Run) -> pd.DataFrame:
    """Return one row per boot: whether values rise or fall with a trial's place in its round.

    A place counts with the median of its trials, each as a share of its cell's median in that boot. Columns: testbed,
    block, places, drift (Kendall's tau) and drift_p (exact, corrected by Holm's method for all boots; NaN below three
    places). The order is random in each round, so that a place has different cells in different rounds; with a fixed
    order, places cannot be distinguished from cells, and nothing shows.
    """
    return _drift_along(run, "place", "places")


def places_in_rounds(run: Run) -> dict[str, int]:
    """Return {trial_id: the place of the trial among those of its block and round, from 1 on}, in the plan's order."""
    planned = run.planned
    places = planned.groupby(["block", "round"])["order"].rank(method="first")
    return {str(trial): int(place) for trial, place in zip(planned["trial_id"], places, strict=True)}


def place_notes(run: Run) -> list[str]:
    """Return a sentence for each boot in which values rise or fall with the place in the round, or one that says there
    is none."""
    boots = drift_in_rounds(run)
    said = []
    for row in boots[boots["drift_p"] <= _ALARMS].to_dict("records"):
        way = "higher" if row["drift"] > 0 else "lower"
        said.append(
            f"In block {row['block']} on {row['testbed']}, trials late in a round are {way} than early ones "
            f"({row['drift']:+.2f}, p = {row['drift_p']:.2g})."
        )
    if said or not boots["drift_p"].notna().any():
        return said
    return ["In no block does the place in the round matter beyond chance."]


def _drift_along(run: Run, column: str, count: str) -> pd.DataFrame:
    trials = valid_trials(run)
    medians = trials.groupby(["testbed", "block", *run.levels], dropna=False)["throughput_bps"].transform("median")
    trials = trials.assign(
        share=trials["throughput_bps"] / medians, place=trials["trial_id"].map(places_in_rounds(run))
    )
    rows: list[dict[str, Any]] = []
    for (testbed, block), mine in trials.sort_values("block").groupby(["testbed", "block"], sort=False):
        along = mine.groupby(column)["share"].median().sort_index()
        tested = drift([along.tolist()])
        rows.append({"testbed": testbed, "block": block, count: len(along)})
        rows[-1] |= {"drift": tested[0] if tested else math.nan, "drift_p": tested[1] if tested else math.nan}
    table = pd.DataFrame(rows, columns=["testbed", "block", count, "drift", "drift_p"])
    known = table["drift_p"].notna()
    table.loc[known, "drift_p"] = holm(table.loc[known, "drift_p"].tolist())
    return table


def quality_notes(run: Run) -> list[str]:
    """Return caveats for readers of medians: a sentence for each kind of flag, or one that says there is none."""
    table = quality(run)
    _, unit, scale = column_of(run)
    said = []
    for sure, word in ((CERTAIN, "Several modes"), (PROBABLE, "Probably several modes")):
        rows = table[table["modes"] == sure].to_dict("records")
        if rows:
            each = [f"{Cell.of(row)}: {in_words(row, scale)}" for row in rows]
            said.append(f"{word} ({run.in_its_time(unit)}): {'; '.join(each)}.")
    for name, what in (("drift", "Drift within a boot"), ("neighbours", "Successive trials are correlated")):
        rows = table[table[f"{name}_p"] <= _ALARMS].to_dict("records")
        if rows:
            each = [f"{Cell.of(row)} ({row[name]:+.2f}, p = {row[f'{name}_p']:.2g})" for row in rows]
            said.append(f"{what}: {'; '.join(each)}.")
    boots = drift_of_boots(run)
    for row in boots[boots["drift_p"] <= _ALARMS].to_dict("records"):
        way = "rises" if row["drift"] > 0 else "falls"
        said.append(f"In block {row['block']} on {row['testbed']} everything {way} from round to round.")
    if not said and len(table):
        few = int((table["n"] < FEWEST_FOR_MODES).sum())
        said.append("No cell shows several modes, drift or correlated successive trials beyond chance.")
        said += [
            f"A test for modes needs {FEWEST_FOR_MODES} trials per cell; {few} of {len(table)} cells have fewer."
        ] * bool(few)
    return said


def in_words(row: Mapping[Any, Any], scale: float) -> str:
    """Return the modes in a row of `quality`, in units of ``scale``: 3.03 (3 trials) or 4.32 (3 trials)."""
    return " or ".join(f"{row[side] / scale:.3g} ({row[f'{side}_n']} trials)" for side in ("lower", "upper"))


def mode_remarks(run: Run, best: Cell, rows: Sequence[Mapping[Any, Any]]) -> list[str]:
    """Return a sentence for each row of `cells` at one place with several modes: the modes, and the ratio of the
    ``best`` cell of the place to each of them, paired by boot and round."""
    values = values_of(run, run.measured)
    said = []
    for row in rows:
        if not row["modes"]:
            continue
        key = Cell.of(row)
        surely = "" if row["modes"] == CERTAIN else "probably "
        sides = [(row[run.quantity.of(f"{side}_mode")], int(row[f"{side}_mode_n"])) for side in ("lower", "upper")]
        words = " or ".join(f"{run.quantity.number(median)} ({n} trials)" for median, n in sides)
        text = f"{key.variant} is {surely}in two modes, {words} {run.in_its_time(run.quantity.unit)}"
        mine = values[key]
        ordered = sorted(mine.values())
        lower = set(ordered[: sides[0][1]])
        # With several boots, a group is not always the set of lowest values.
        if key != best and len({boot[:-1] for boot in mine}) == 1:
            parts = []
            for name, holds in (("lower", True), ("upper", False)):
                group = {pair: value for pair, value in mine.items() if (value in lower) is holds}
                ratio = paired_ratio(values[best], group)
                if ratio is not None:
                    parts.append(f"{ratio.median:.2f} times as much as in the {name} (n = {ratio.n})")
            if parts:
                verb = "carried" if run.quantity.is_throughput else "had"
                text += f": {best.variant} {verb} {' and '.join(parts)}"
        said.append(f"{text}.")
    return said


def valid_trials(run: Run, kind: str = "measure") -> pd.DataFrame:
    """Return the ok trials of a kind that enters medians, in the order of measurement.

    ``throughput_bps`` holds the run's quantity: packets/s for packet rates, or the value of a user-defined quantity.
    """
    column = column_of(run)[0]
    trials = run.trials
    keep = (trials["kind"] == kind) & (trials["status"] == "ok") & trials[column].notna()
    found = trials[keep & ~trials.index.isin(run.shared.index)].sort_values(["started_at", "order"])
    return found.assign(throughput_bps=found[column])


def _boots(run: Run) -> dict[Cell, dict[Hashable, list[float]]]:
    """Return {cell: {boot: values in the order of measurement}}; see `orchestrator.analysis.dataset.Run`."""
    found: dict[Cell, dict[Hashable, list[float]]] = {}
    for row in valid_trials(run)[[*run.levels, "testbed", "boot", "throughput_bps"]].to_dict("records"):
        boot = str(row["testbed"]), str(row["boot"])
        found.setdefault(Cell.of(row), {}).setdefault(boot, []).append(float(row["throughput_bps"]))
    order = {name: place for place, name in enumerate(run.variants)}
    return dict(sorted(found.items(), key=lambda item: (item[0].place, order.get(item[0].variant, 0))))
