# SPDX-License-Identifier: Apache-2.0
"""Tables of runs that boot each core count several times: the boot is the sample, and they say so."""

import json
from pathlib import Path

import pytest

from orchestrator.analysis.dataset import load
from orchestrator.analysis.packets import packet_cells
from orchestrator.analysis.page import render
from orchestrator.store.tables import write_tables
from tests.unit.synthetic_run import write_run
from tests.unit.test_claims import MADE, as_published


def test_every_table_counts_boots_and_names_its_intervals(tmp_path: Path) -> None:
    run = load(write_run(tmp_path, cores=(1, 2), tunnels=(0,), rounds=3, boots=3))
    cells, ratios, efficiencies = run.cells(), run.ratios(), run.efficiencies()
    for table, n in ((cells, 9), (ratios, 9), (efficiencies, 9)):
        assert set(table["n"]) == {n}
        assert set(table["boots"]) == {3}
        assert set(table["interval"]) == {"95 % interval over boots"}
    assert set(efficiencies["reference_cores"]) == {1}
    one = load(write_run(tmp_path / "one", cores=(1, 2), tunnels=(0,), rounds=6))
    assert set(one.cells()["interval"]) == {"95 % interval within one boot"}
    assert set(one.efficiencies()["interval"]) == {"range"}


@pytest.mark.parametrize(("restarted", "boots"), [(True, 3), (False, 1)])
def test_blocks_between_which_no_host_restarts_are_one_boot(tmp_path: Path, restarted: bool, boots: int) -> None:
    path = write_run(tmp_path, cores=(1, 2), tunnels=(0,), rounds=3, boots=3)
    for file in (path / "trials").glob("*/*/attempt.json"):
        attempt = json.loads(file.read_text())
        attempt["boot_id"] = f"boot {attempt['block']}" if restarted else "the same"
        file.write_text(json.dumps(attempt))
    write_tables(path)
    run = load(path)
    for table in (run.cells(), run.ratios(), run.efficiencies()):
        assert set(table["boots"]) == {boots}
        assert set(table["n"]) == {9}
    assert set(run.ratios()["unpaired"]) == {0}


def test_packet_rates_count_boots_as_well(tmp_path: Path) -> None:
    cells = packet_cells(load(write_run(tmp_path, cores=(1,), rounds=2, boots=2, packet_sizes=(64,), searched=True)))
    assert set(cells["boots"]) == {2}
    assert set(cells["n"]) == {4}
    assert set(cells["interval"]) == {"95 % interval over boots"}


def test_without_one_core_there_is_no_efficiency(tmp_path: Path) -> None:
    assert load(write_run(tmp_path, cores=(2, 4), tunnels=(0,), rounds=2)).efficiencies().empty


def test_the_page_has_scope_order_and_what_lies_beyond(tmp_path: Path) -> None:
    run = load(write_run(tmp_path, speed=as_published, **{**MADE, "cores": (1, 2, 16, 32), "rounds": 2}))
    verdicts = run.verify()
    page = render(run, tmp_path, verdicts)
    assert "agrees, judged at 16 to 20 cores, nearest to 18" in page
    assert "3 boots)" in page
    assert "inline is above threaded" in page
    (beyond,) = next(verdict for verdict in verdicts if verdict.claim == "C5").beyond
    assert beyond.median == pytest.approx(32 / 1.155, rel=0.02)
    assert "Outside the scope, not judged: many tunnels against one of vanilla, inline, 32 cores, 32 tunnels" in page
