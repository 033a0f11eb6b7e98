# SPDX-License-Identifier: Apache-2.0
"""The noise floor: how far two measurements of the same thing differ, in a run whose spec asks for it.

With ``noise_floor: vanilla``, a spec has a second cell of that variant in each round. Both sides of the ratio are the
same, so its deviation from 1 is noise, and an effect that is no larger shows nothing. With ``noise_floor:
patched-off``, the patched module with all options off is compared with vanilla, from which it should not differ either.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from orchestrator.analysis.cells import bounds, values_of
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.quality import valid_trials
from orchestrator.plan.noise_floor import NOISE_FLOOR
from orchestrator.spec import Cell
from orchestrator.spec.noise_floor import held_against
from orchestrator.stats import paired_ratio

_COLUMNS = ["against", "n", "unpaired", "median", "low", "high", "interval", "floor_low", "floor_high"]


def noise_floor(run: Run) -> pd.DataFrame:
    """Return one row per cell that is measured twice, in the order of places; empty for a run whose spec does not ask
    for it.

    Columns: the levels of the second cell; against (the variant of the first); n (pairs), unpaired; median, low, high,
    interval: of the ratios of the second to the first, paired by boot and round; floor_low, floor_high: the band that
    the interval and its reciprocal span, since either side could be higher; measured_in.
    """
    second, first = (values_of(run, valid_trials(run, kind)) for kind in (NOISE_FLOOR, "measure"))
    rows: list[dict[str, Any]] = []
    for key, values in second.items():
        against = held_against(key.variant, run.variants)
        ratio = paired_ratio(values, first.get(key.replaced(variant=str(against)), {}))
        if ratio is not None:
            low, high = ratio.interval.low, ratio.interval.high
            row = {**key.row(), "against": against, "n": ratio.n, "unpaired": ratio.unpaired}
            row |= bounds(ratio.median, ratio.interval)
            rows.append({**row, "floor_low": min(low, 1 / high), "floor_high": max(high, 1 / low)})
    rows.sort(key=lambda row: Cell.of(row).place)
    return pd.DataFrame(rows, columns=[*run.levels, *_COLUMNS]).assign(measured_in=run.measured_in)


def floor_remark(run: Run, key: Cell, effects: Sequence[tuple[str, float]]) -> str:
    """Return the noise floor at the place of a cell and the effects there that lie within it; empty if it was not
    measured. An effect is a named ratio of two variants."""
    rows = [row for row in noise_floor(run).to_dict("records") if Cell.of(row).place == key.place]
    if not rows:
        return ""
    row = rows[0]
    said = f"Noise floor: {in_words(row)}"
    if not effects or row["n"] == 1:  # one pair spans no band
        return f"{said}."
    band = f"{row['floor_low']:.2f} to {row['floor_high']:.2f}"
    inside = [name for name, ratio in effects if row["floor_low"] <= ratio <= row["floor_high"]]
    if inside:
        return f"{said}; within {band}, so no more than noise: {', '.join(inside)}."
    return f"{said}; every ratio here is beyond {band}."


def in_words(row: Mapping[Any, Any]) -> str:
    """Return a row of `noise_floor` in words: vanilla carried 1.02 times as much as itself (range 0.97 to 1.05, n = 5
    pairs)."""
    other = "itself" if row["variant"] == row["against"] else row["against"]
    spread = f"{row['interval']} {row['low']:.2f} to {row['high']:.2f}, " if row["n"] > 1 else ""
    pairs = f"n = {row['n']} pair{'s' * (row['n'] != 1)}"
    return f"{row['variant']} carried {row['median']:.2f} times as much as {other} ({spread}{pairs})"
