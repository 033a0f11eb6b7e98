# SPDX-License-Identifier: Apache-2.0
"""The example runs, made by earlier versions, stay valid: their plans, so that they could be resumed, and their
tables."""

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from orchestrator.paths import CHECKOUT
from orchestrator.plan import Plan, lab_capabilities, make_plan, virtual_lab_capabilities
from orchestrator.spec import load_experiment
from orchestrator.spec.catalog import known_variants
from orchestrator.store import read_run, tables

RUNS = sorted((CHECKOUT / "results").glob("example*"))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_the_spec_of_a_stored_run_still_makes_its_plan(path: Path, tmp_path: Path) -> None:
    meta = read_run(path)
    file = tmp_path / "stored.yaml"
    file.write_text(meta["spec_text"])
    spec = load_experiment(file, tier=meta["tier"], overrides=meta["overrides"])
    stored = Plan.from_json(meta["plan"])
    most = max(block.cores for block in stored.blocks)
    able = lab_capabilities(most, known_variants())
    if meta["testbed"].get("clock") == "virtual":
        able = virtual_lab_capabilities(most, meta["testbed"]["slots"], known_variants(), "own")
    plan = make_plan(spec, able, order=stored.order, testbed=stored.testbed)
    now, before = ([(trial.trial_id, trial.kind) for trial in one.iterate()] for one in (plan, stored))
    assert set(before) <= set(now)
    assert {kind for _, kind in set(now) - set(before)} <= {"baseline"}  # earlier versions had one of them in a block
    measured = ([one for one in trials if one[1] != "baseline"] for trials in (now, before))
    assert next(measured) == next(measured)


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_the_tables_of_a_stored_run_are_those_that_its_files_make_now(path: Path) -> None:
    for name, made in zip(("trials", "attempts"), tables(path), strict=True):
        stored = pq.read_table(path / f"{name}.parquet")
        assert set(stored.column_names) <= set(made.column_names)  # there may be new columns
        assert made.select(stored.column_names).to_pylist() == stored.to_pylist()


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_a_page_has_a_column_for_what_is_not_counted_only_where_there_is_any(path: Path) -> None:
    page = (path / "report.html").read_text(encoding="utf-8")
    tables_of_page = re.findall(r"<table>.*?</table>", page, re.DOTALL)
    assert tables_of_page
    for table in tables_of_page:
        assert ("<th>not counted</th>" in table) == ('<span class="bad">' in table)
        if ">of baseline</th>" in table:
            rows = {len(re.findall(r"<t[hd]\b", row)) for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)}
            assert len(rows) == 1  # as many cells in every row


def test_the_examples_are_runs() -> None:
    assert len(RUNS) >= 6
    assert all(json.loads((path / "run.json").read_text())["state"] == "finished" for path in RUNS)
