# SPDX-License-Identifier: Apache-2.0
"""The figures of the example runs draw what they drew: each line, bar, mark, text, axis and legend."""

import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from orchestrator.analysis.figures import Drawing
from tests.unit import drawn

RUNS = sorted(drawn.RESULTS.glob("example*"))
SLOW = {"example-virtual"}  # the figures of the others need less than 20 s together
CASES = [pytest.param(path, marks=[pytest.mark.full] if path.name in SLOW else []) for path in RUNS]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_the_figures_of_a_stored_run_draw_the_same(path: Path) -> None:
    golden = json.loads((drawn.GOLDEN / f"{path.name}.json").read_text(encoding="utf-8"))
    assert sorted(golden) == drawn.stored_figures(path)
    found = list(drawn.differences(golden, drawn.drawn_of(path), (path.name,)))
    hint = "If these changes are meant: .venv/bin/python -m tests.unit.drawn"
    assert not found, "\n".join([f"{len(found)} differences between figures, now and before.", *found[:20], hint])


def test_every_example_has_a_golden_file() -> None:
    assert len(RUNS) >= 6
    assert {path.stem for path in drawn.GOLDEN.glob("*.json")} == {path.name for path in RUNS}


def small(**changes: Any) -> dict[str, Any]:
    """Return what a small figure draws. ``changes``: of its y values, long series, label, bar, text or legend."""
    given: dict[str, Any] = {
        "y": [1.0, 2.0, 4.0],
        "long": [float(step**2 % 23) for step in range(40)],
        "label": "Throughput in Gbit/s",
        "bar": 0.5,
        "text": "A",
        "legend": "vanilla",
        "colour": "#0072B2",
        "scale": "linear",
    }
    given |= changes
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot([1, 2, 3], given["y"], label=given["legend"], color=given["colour"])
    axes.scatter(range(len(given["long"])), given["long"], label="trials")
    axes.bar([1], [given["bar"]])
    axes.text(1, 3, given["text"])
    axes.set_xlim(0, 50)
    axes.set_ylim(0.1, 30)
    axes.set_yscale(given["scale"])
    axes.set_ylabel(given["label"])
    axes.legend()
    found: dict[str, Any] = json.loads(drawn.as_text(drawn.drawn(Drawing("small", "Small", figure))))
    return found


SWAPPED = [float(step**2 % 23) for step in range(40)]
SWAPPED[3], SWAPPED[4] = SWAPPED[4], SWAPPED[3]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"y": [1.0, 2.001, 4.0]}, ["panel 1, line 1 (vanilla), y was [1.0, 2.0, 4.0] and is [1.0, 2.001, 4.0]."]),
        (
            {"y": [1.0, float("nan"), 4.0]},
            ["panel 1, line 1 (vanilla), y was [1.0, 2.0, 4.0] and is [1.0, None, 4.0]."],
        ),
        ({"label": "Gbit/s"}, ["panel 1, y axis, label was Throughput in Gbit/s and is Gbit/s."]),
        ({"scale": "log"}, ["panel 1, y axis, scale was linear and is log."]),
        ({"colour": "#D55E00"}, ["panel 1, line 1 (vanilla), colour was #0072b2 and is #d55e00."]),
        ({"text": "B"}, ["panel 1: text 1 (A) is no longer drawn.", "panel 1: text 1 (B) is new."]),
        ({}, []),
    ],
)
def test_a_change_is_a_sentence_on_the_part_that_changed(changes: dict[str, Any], said: list[str]) -> None:
    assert list(drawn.differences(small(), small(**changes))) == said


@pytest.mark.parametrize("changes", [{"long": SWAPPED}, {"long": SWAPPED[:-1]}, {"bar": 0.501}, {"legend": "inline"}])
def test_a_changed_bar_a_swap_in_a_long_series_and_a_legend_are_found(changes: dict[str, Any]) -> None:
    found = list(drawn.differences(small(), small(**changes)))
    part = {"long": "marks 1 (trials), points", "bar": "bar 1, corners", "legend": "legend was ['vanilla', 'trials']"}
    (changed,) = changes
    assert any(part[changed] in one for one in found), found


def test_the_last_digits_do_not_count() -> None:
    assert list(drawn.differences(small(), small(y=[1.0, 2.0000000004, 4.0]))) == []
