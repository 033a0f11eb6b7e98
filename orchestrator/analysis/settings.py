# SPDX-License-Identifier: Apache-2.0
"""Settings of a run: the combinations of levels of further factors (keys of the spec by path) that its cells have.

Figures whose axes are cores, tunnels and variants show one setting; they say which, and how many others there are.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from orchestrator.analysis.dataset import Run
from orchestrator.spec import Cell, Level
from orchestrator.spec.cells import more_words

D = TypeVar("D")


def settings(run: Run) -> list[dict[str, Level]]:
    """Return the settings of the planned cells: by the first factor (by name), in the order in which the spec lists its
    levels, then by the second, and so on. Levels that it does not list come last, in the plan's order.

    A single empty setting is returned if there is no further factor.
    """
    rows = run.planned[run.levels].drop_duplicates().to_dict("records")
    found = {tuple(cell.more.items()): cell.more for cell in map(Cell.of, rows)}
    listed: Mapping[str, Any] = (run.meta.get("spec") or {}).get("factors") or {}
    places = {path: {level: place for place, level in enumerate(levels or ())} for path, levels in listed.items()}

    def in_spec(setting: Mapping[str, Level]) -> list[float]:
        return [places[path].get(setting[path], math.inf) for path in places if path in setting]

    return sorted(found.values(), key=in_spec)


def in_setting(run: Run, setting: Mapping[str, Level], note: str = "") -> Run:
    """Return the part of a run in a setting, with the baselines that have the same levels or none. ``note``: for
    figures."""
    trials, attempts = run.trials, run.attempts
    for path, level in setting.items():
        trials, attempts = (frame[frame[path].isna() | (frame[path] == level)] for frame in (trials, attempts))
    return dataclasses.replace(run, trials=trials, attempts=attempts, note=note, whole=run.whole or run)


def of_first_setting(figure: Callable[[Run], D]) -> Callable[[Run], D]:
    """Decorate a figure so that it shows the first setting of a run, and says so if there are further factors."""

    @functools.wraps(figure)
    def drawn(run: Run) -> D:
        if not run.further_factors:
            return figure(run)
        found = settings(run)
        if not found or not found[0]:
            return figure(run)
        others = len(found) - 1
        rest = f"; {others} other setting{'s' * (others != 1)} in the tables" if others else ""
        return figure(in_setting(run, found[0], f"Here: {', '.join(more_words(found[0]))}{rest}."))

    return drawn
