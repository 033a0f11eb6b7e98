# SPDX-License-Identifier: Apache-2.0
"""Every notebook runs on any run. Its cells are executed here as they are, without a Jupyter kernel."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.analysis.dataset import load
from orchestrator.analysis.figures import Drawing
from orchestrator.analysis.report import notebooks_of
from orchestrator.paths import NOTEBOOKS, RESULTS
from tests.unit.synthetic_run import write_run

SOURCES = sorted(NOTEBOOKS.glob("*.py"))
PARAMETER = re.compile(r'^run_dir = "\.\./results/(example[a-z-]*)"$', re.MULTILINE)


def troubled(folder: Path) -> Path:
    fates = itertools.cycle([["ok"], ["invalid", "ok"], ["failed", "failed"], [], ["invalid"], ["ok"]])
    names = ["vanilla", "threaded", "inline", "another"]
    return write_run(folder, variants=names, cores=(1, 2, 4), fate=lambda trial: next(fates), traced=True)


RUNS: dict[str, Callable[[Path], Path]] = {
    "example": lambda folder: RESULTS / "example",
    "failed-invalid-missing": troubled,
    "one-cell": lambda folder: write_run(folder, variants=["inline"], cores=(2,), tunnels=(4,), rounds=6),
    "one-variant": lambda folder: write_run(folder, variants=["vanilla"], cores=(1, 2, 4), traced=True),
    "nothing-worked": lambda folder: write_run(folder, fate=lambda trial: ["failed"]),
    "nothing-measured": lambda folder: write_run(folder, fate=lambda trial: []),
}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
@pytest.mark.parametrize("which", ["its-own-example", *RUNS])
def test_a_notebook_runs_on_whatever_a_run_holds(tmp_path: Path, source: Path, which: str) -> None:
    text = source.read_text(encoding="utf-8")
    (own,) = PARAMETER.findall(text)
    run = RESULTS / own if which == "its-own-example" else RUNS[which](tmp_path)
    drawn: list[Drawing] = []
    text = PARAMETER.sub(f"run_dir = {str(run)!r}", text).replace("    return drawing", "    return kept(drawing)")

    def kept(drawing: Drawing) -> Drawing:
        drawn.append(drawing)
        return drawing

    names: dict[str, Any] = {"kept": kept}
    exec(compile(text, str(source), "exec"), names)
    assert drawn
    for drawing in drawn:
        assert "nan" not in drawing.caption.lower().replace("nanosec", "")
        if which.startswith("nothing"):
            assert "Nothing to draw" in drawing.caption
    if which == "its-own-example" and source.stem not in ("rekey", "soak"):  # of which no run is kept
        assert "Nothing to draw" not in drawn[0].caption


def test_which_notebooks_draw_a_run(tmp_path: Path) -> None:
    assert notebooks_of(load(RESULTS / "example")) == ["scaling", "speedups"]
    assert notebooks_of(load(RUNS["one-variant"](tmp_path))) == ["scaling"]
