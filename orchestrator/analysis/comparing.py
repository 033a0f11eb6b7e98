# SPDX-License-Identifier: Apache-2.0
"""Comparison of two runs, cell by cell: which differences exceed noise, and how the set-ups differ.

Longer than other modules: a comparison's fields are explained by how each is found, below.
"""

import math
import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import pandas as pd

from orchestrator.analysis.cells import boots_of, values_of
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.packets import goals, packet_cells, packet_trials
from orchestrator.errors import UserError
from orchestrator.spec import Cell
from orchestrator.stats import (
    ALPHA,
    FEWEST_BOOTS,
    Detectable,
    boots_test,
    detectable,
    holm,
    quotient_of_boots,
    rank_test,
    relative_spread,
    smallest_p,
    summarize_boots,
)
from orchestrator.store.changes import Change, changes_between, differences
from orchestrator.store.clock import difference

DIFFERS, SAME, CANNOT_TELL = "differs", "no difference seen", "cannot tell"
METHOD = (
    "Ratio of the medians, B over A, with an interval that holds the truth with 95 % or more (from 7 trials on each "
    "side; below that, the range). A cell differs if a test says so at 5 % after Holm's correction for the number of "
    "cells (p is the corrected one). Where both runs have several boots of a cell, the sample is the boot: Welch's t "
    "test of the logarithms of the boots' medians. Else it is the trial: the exact rank-sum test, which allows for "
    "equal values; two boots of the same host can differ by more than trials do, and that counts as a difference there."
)
# The entries of a run's environment on which speed depends most.
_HARDWARE = ("cpu_models", "cpus", "memory_kib", "smt", "hypervisor", "max_cores", "provider", "emulated")
_RESULTS = ["ratio", "low", "high", "interval", "p", "p_holm", "outcome", "reason"]


@dataclass(frozen=True)
class Comparison:
    """The differences of run ``b`` from run ``a``.

    ``cells``: one row per cell of either run: the levels, n_a, n_b (ok trials), median_a_bps, median_b_bps (they end in
    _value for a user-defined quantity), ratio (b over a) with low, high and interval (its name), p, p_holm, outcome
    (differs, no difference seen, cannot tell) and, for the last, the reason. ``speed_ups``: the same for the ratios to
    the reference variant, paired by block and round, in which the speed of the hosts cancels: speed_up_a, speed_up_b.
    ``differences``: of spec, variants, environment and versions.

    If only one run is in virtual time, no cell is compared: ratio, interval and p are missing. ``clocks``: sentences on
    the runs' clocks, to be read first; empty if both are in real time. ``could_tell``: the smallest difference that the
    decisive rows could have detected; None if no row is in both runs.
    """

    a: Run
    b: Run
    cells: pd.DataFrame
    speed_ups: pd.DataFrame
    differences: tuple[Change, ...] = ()
    goal: str = ""
    clocks: tuple[str, ...] = ()
    could_tell: Detectable | None = None

    @property
    def reference(self) -> str | None:
        """Return the reference variant of run ``a``, which the speed-ups of both runs are relative to."""
        return self.a.reference

    @property
    def could_have_told(self) -> str:
        """Return a sentence on the smallest detectable difference; empty if the runs have no cell in common."""
        return f"Sensitivity: {self.could_tell.sentence}." if self.could_tell else ""

    @property
    def hardware(self) -> tuple[Change, ...]:
        """Return the differences in the computers and their CPUs, which matter before all others."""
        named = {one: one.what.split(": ")[-1].split(".")[-1] for one in self.differences}
        return tuple(
            one
            for one, name in named.items()
            if name in _HARDWARE or (name == "crypto" and _other_instructions(one.was, one.now))
        )

    @property
    def of_different_clocks(self) -> bool:
        """Return whether one run is in virtual time and the other in real time."""
        return self.a.clock != self.b.clock

    @property
    def decisive(self) -> pd.DataFrame:
        """Return the rows that decide: the cells or, for runs with different clocks, the speed-ups."""
        return self.speed_ups if self.of_different_clocks else self.cells

    def count(self, outcome: str, of_speed_ups: bool = False) -> int:
        """Return the number of cells (or speed-ups) with an outcome."""
        return int((self.speed_ups if of_speed_ups else self.cells)["outcome"].eq(outcome).sum())

    @property
    def sentence(self) -> str:
        """Return the result as a sentence."""
        said = []
        frames = (("cells", self.cells), ("speed-ups", self.speed_ups))
        for name, frame in frames[self.of_different_clocks :]:
            told = frame[frame["outcome"] != CANNOT_TELL]
            differ = int(told["outcome"].eq(DIFFERS).sum())
            rest = len(frame) - len(told)
            if len(told):
                text = f"{differ} of {len(told)} {name} differ by more than noise"
                said.append(text + (f" (cannot tell for {rest} more)" if rest else ""))
            elif len(frame):
                where = f"any of {len(frame)} {name}" if len(frame) > 1 else f"the only {name.removesuffix('s')}"
                said.append(f"no difference could be confirmed or excluded in {where}")
        text = "; ".join(said) or f"there is no {'speed-up' if self.of_different_clocks else 'cell'} to compare"
        text = f"{text[0].upper()}{text[1:]}."
        if self.of_different_clocks:
            text += f" {self.a.quantity.label} is not compared: one run is in virtual time, and the other in real time."
        return text

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "a": self.a.meta.get("run_id"),
            "b": self.b.meta.get("run_id"),
            "quantity": self.goal or self.a.quantity.label.lower(),
            "unit": "packets/s" if self.goal else self.a.quantity.unit if self.a.quantity.scale == 1 else "bit/s",
            "better": "higher" if self.a.quantity.higher else "lower",
            "clocks": {"a": self.a.clock, "b": self.b.clock},
            "measured_in": {"a": self.a.measured_in, "b": self.b.measured_in},
            "notes": list(self.clocks),
            "reference": self.reference,
            "method": METHOD,
            "could_tell": None if self.could_tell is None else asdict(self.could_tell),
            "sentence": self.sentence,
            "cells": _records(self.cells),
            "speed_ups": _records(self.speed_ups),
            "hardware": [one.what for one in self.hardware],
            "differences": [{"what": one.what, "a": one.was, "b": one.now} for one in self.differences],
        }

    def _repr_html_(self) -> str:
        from orchestrator.analysis.rendering import comparison_html

        return comparison_html(self)


def _other_instructions(was: str, now: str) -> bool:
    """Return whether a cipher used other instructions of the CPU, in texts such as "chacha20 avx2, poly1305 avx2".
    A cipher that only one of the texts names is no difference.
    """
    one, other = (dict(re.findall(r"([^ ,]+) ([^,]+)", text)) for text in (was, now))
    return any(other.get(cipher, instructions) != instructions for cipher, instructions in one.items())


def compare(a: Run, b: Run) -> Comparison:
    """Compare run ``b`` with run ``a``; see `Comparison` and, for how, METHOD."""
    goal = _goal(a, b)
    values = [_values(run, goal) for run in (a, b)]
    one, other = ({key: boots_of(mine) for key, mine in side.items()} for side in values)
    planned = [_planned(run) for run in (a, b)]
    refused = "different clocks: a rate in virtual time is not one in real time" if a.clock != b.clock else ""
    levels = list(dict.fromkeys([*a.levels, *b.levels]))
    cells = _compared(
        one, other, planned, "median_{}_pps" if goal else f"median_{{}}_{a.quantity.suffix}", levels, refused
    )
    first, second = (_paired(side, a.reference) for side in values)
    kept = [{key for key in keys if key.variant != a.reference} for keys in planned]
    if goal:  # a closed-loop rate cannot be compared with one bounded by losses
        unlike = {key for run in (a, b) for key in _other_quantities(run, goal, a.reference)}
        kept = [keys - unlike for keys in kept]
    speed_ups = _compared(first, second, kept, "speed_up_{}", levels)
    clocks = tuple(difference(a.virtual_time, b.virtual_time))
    could_tell = _could_tell(first, second) if a.clock != b.clock else _could_tell(one, other)
    return Comparison(a, b, cells, speed_ups, tuple(_differences(a.meta, b.meta)), goal, clocks, could_tell)


def _could_tell(a: "Samples", b: "Samples") -> Detectable | None:
    """Return the detectable difference, for the numbers of trials and boots that most common cells have, and their
    spread."""
    both = [key for key in a if key in b]
    if not both:
        return None
    sizes = Counter((len(_all(a[key])), len(_all(b[key])), min(len(a[key]), len(b[key]))) for key in both)
    (n, m, boots), _ = sizes.most_common(1)[0]
    samples = [side[key] for side in (a, b) for key in both]
    by_boot = boots >= FEWEST_BOOTS
    spread = relative_spread(list(map(median, sample.values())) if by_boot else _all(sample) for sample in samples)
    return detectable(len(both), n, m, boots=boots, **({"spread": spread} if spread else {}))


def _goal(a: Run, b: Run) -> str:
    """Return which packet rate is compared; empty for other quantities. Raises UserError if the runs measured different
    ones."""
    goals_of_b = _goals(b)
    shared = [goal for goal in _goals(a) if goal in goals_of_b]
    one, other = a.quantity, b.quantity
    alike = (one.column, one.unit, one.higher) == (other.column, other.unit, other.higher)
    if not shared or not (alike and (one.label == other.label or one.is_throughput)):
        raise UserError(f"{a.path} has {_measured(a)}, and {b.path} has {_measured(b)}. These cannot be compared.")
    return shared[0]


def _goals(run: Run) -> list[str]:
    """Return the goals of a run's packet rates; one empty name for other quantities."""
    return goals(run) if run.counts_packets else [""]


def _measured(run: Run) -> str:
    names = {"": "throughput" if run.quantity.is_throughput else run.quantity.axis, "received": "received packet rates"}
    return " and ".join(names.get(goal, goal.upper()) for goal in _goals(run))


def _values(run: Run, goal: str) -> dict[Cell, dict[tuple[Any, ...], float]]:
    """Return {cell: {(..., boot, (block, round)): value of the quantity, or lower bound of a packet rate}}."""
    if not goal:
        return values_of(run, run.measured)
    trials = packet_trials(run)
    found: dict[Cell, dict[tuple[Any, ...], float]] = {}
    for row in trials[trials["goal"] == goal].to_dict("records"):
        pair = int(row["block"]), int(row["round"])
        found.setdefault(Cell.of(row), {})[row["testbed"], row["boot"], pair] = float(row["lower_pps"])
    return found


def _other_quantities(run: Run, goal: str, reference: str | None) -> set[Cell]:
    """Return the cells of packet rates that are bounded by something else than the reference variant's at the same
    place."""
    rows = packet_cells(run)
    kinds = {Cell.of(row): row["bounded_by"] for row in rows[rows["goal"] == goal].to_dict("records")}
    of_reference = {key: kinds.get(key.replaced(variant=str(reference)), "") for key in kinds}
    return {key for key, kind in kinds.items() if kind and of_reference[key] and kind != of_reference[key]}


def _planned(run: Run) -> set[Cell]:
    rows = run.planned
    return {Cell.of(row) for row in rows[run.levels].drop_duplicates().to_dict("records")}


Samples = Mapping[Cell, Mapping[Hashable, Sequence[float]]]  # for each cell, by boot


def _paired(values: Mapping[Cell, Mapping[tuple[Any, ...], float]], reference: str | None) -> Samples:
    """Return {cell: ratios to the reference variant by boot}, one for each round that has both."""
    found = {}
    for key, mine in values.items():
        below = values.get(key.replaced(variant=str(reference)), {})
        if key.variant != reference:
            found[key] = boots_of({turn: v / below[turn] for turn, v in mine.items() if below.get(turn, 0) > 0})
    return {key: mine for key, mine in found.items() if mine}


def _all(sample: Mapping[Hashable, Sequence[float]]) -> list[float]:
    return [value for mine in sample.values() for value in mine]


def _p(a: Mapping[Hashable, Sequence[float]], b: Mapping[Hashable, Sequence[float]]) -> float:
    """Return the p-value of the test of a cell; boots are the samples if both sides have several."""
    if min(len(a), len(b)) >= FEWEST_BOOTS and min(_all(a)) > 0 and min(_all(b)) > 0:
        return boots_test(map(median, a.values()), map(median, b.values()))
    return rank_test(_all(a), _all(b))


def _compared(
    a: Samples, b: Samples, planned: Sequence[set[Cell]], median_column: str, levels: Sequence[str], refused: str = ""
) -> pd.DataFrame:
    """Return the rows of a comparison. ``refused``: why no cell may be compared; empty if they may."""
    keys = sorted(planned[0] | planned[1], key=lambda key: (key.place, key.variant))
    both = [key for key in keys if key in a and key in b and not refused]
    tests = {key: _p(a[key], b[key]) for key in both}
    adjusted = dict(zip(both, holm(list(tests.values())), strict=True))
    rows = []
    for key in keys:
        row: dict[str, Any] = {**key.row(), "n_a": len(_all(a.get(key, {}))), "n_b": len(_all(b.get(key, {})))}
        for side, values in (("a", a), ("b", b)):
            row[median_column.format(side)] = summarize_boots(values[key]).median if key in values else math.nan
        row |= dict.fromkeys(("ratio", "low", "high", "p", "p_holm"), math.nan) | {"interval": ""}
        row["outcome"], row["reason"] = CANNOT_TELL, refused or _why_not(key, a, b, planned)
        result = quotient_of_boots(b[key], a[key]) if key in tests else None
        if result is not None:
            row |= {"ratio": result.value, "low": result.interval.low, "high": result.interval.high}
            row |= {"interval": result.interval.name, "p": tests[key], "p_holm": adjusted[key]}
            row |= _outcome(adjusted[key], row["n_a"], row["n_b"], result.boots, len(both))
        rows.append(row)
    medians = [median_column.format(side) for side in ("a", "b")]
    return pd.DataFrame(rows, columns=[*levels, "n_a", "n_b", *medians, *_RESULTS])


def _outcome(p: float, n: int, m: int, boots: int, family: int) -> dict[str, str]:
    if p <= ALPHA:
        return {"outcome": DIFFERS, "reason": ""}
    if boots < FEWEST_BOOTS and smallest_p(n, m) * family > ALPHA:
        trials = f"too few trials ({n} and {m}) to detect any difference in {family} cell{'s' * (family != 1)}"
        return {"outcome": CANNOT_TELL, "reason": trials}
    return {"outcome": SAME, "reason": ""}


def _why_not(key: Cell, a: Samples, b: Samples, planned: Sequence[set[Cell]]) -> str:
    for name, other, mine, keys in (("A", "B", a, planned[0]), ("B", "A", b, planned[1])):
        if key not in keys:
            return f"only in {other}"
        if key not in mine:
            return f"no ok trial in {name}"
    return "a throughput of zero"


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Change]:
    found = changes_between(a, b)
    for name in ("versions", "source"):
        for path, was, now in differences(a.get(name) or {}, b.get(name) or {}):
            if path not in ("tree_hash", "program_hash"):  # already covered by the commit and by the measuring program
                found.append(Change(f"{name}: {path}", was, now, ()))
    return found


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as JSON values, with null for missing ones."""
    return [
        {str(name): None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]
