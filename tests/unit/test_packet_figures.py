# SPDX-License-Identifier: Apache-2.0
"""Packet rates of synthetic runs: numbers by cell, the figure and the page, separate from throughput."""

import html
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import orchestrator as orch
from orchestrator.analysis import figures, make_report
from orchestrator.analysis.figures.numbers import SVG
from orchestrator.analysis.headline import headline
from orchestrator.analysis.latency import latencies, latency_cells, too_few_answers
from orchestrator.analysis.limits import LETTERS, limit_of
from orchestrator.analysis.packets import CLOSED_LOOP_NOTE, goals, packet_cells, search_note
from orchestrator.analysis.page import render
from orchestrator.cli.summary import print_summary
from orchestrator.spec import Cell
from tests.unit.synthetic_run import write_run

SIZES = (64, 1420, "imix")
WITH_INLINE = ("vanilla", "threaded", "inline")


def edited(path: Path, change: Callable[[dict[str, Any], str], None]) -> Path:
    """Return a run with the measurements of every attempt changed: ``change`` is given them and the variant."""
    for file in path.glob("trials/*/*/attempt.json"):
        attempt = json.loads(file.read_text())
        change(attempt["measurements"], attempt["levels"]["variant"])
        file.write_text(json.dumps(attempt))
    return path


def flat(variant: str, *rest: Any) -> float:
    return {"none": 6e9, "vanilla": 1.5e9}.get(variant, 3e9)


def test_a_cell_has_its_bounds_the_rate_a_core_and_its_share_of_the_baseline(tmp_path: Path) -> None:
    run = orch.load(write_run(tmp_path, packet_sizes=SIZES, speed=flat, tunnels=(0,)))
    assert goals(run) == ["pdr", "ndr"]
    found = packet_cells(run).set_index(["goal", "variant", "cores", "packet_size"])
    assert len(found) == 2 * 2 * 2 * 3
    one = found.loc[("pdr", "vanilla", 2, "64")]
    assert one["median_pps"] == pytest.approx(2e8 / 1064)
    assert one["upper_pps"] == pytest.approx(1.02 * one["median_pps"])
    assert one["per_core_pps"] == pytest.approx(one["median_pps"] / 2)
    assert one["of_baseline"] == pytest.approx(0.25)
    assert (one["n"], bool(one["generator_bound"])) == (3, False)
    assert found.loc[("ndr", "vanilla", 2, "64")]["median_pps"] < one["median_pps"]


def test_what_bounds_a_rate_is_told_and_two_kinds_are_never_ranked(tmp_path: Path) -> None:
    def unbounded(found: dict[str, Any], variant: str) -> None:
        if variant in ("inline", "none"):  # nothing was lost at the highest load
            found["pdr_upper_pps"] = found["ndr_upper_pps"] = None

    run = orch.load(edited(write_run(tmp_path, packet_sizes=(64,), speed=flat, variants=WITH_INLINE), unbounded))
    kinds = packet_cells(run).groupby("variant")["bounded_by"].unique()
    assert {name: list(found) for name, found in kinds.items()} == {
        "vanilla": ["losses"],
        "threaded": ["losses"],
        "inline": ["closed loop"],  # at half of what the generator sends without a tunnel: it waits
    }
    assert not packet_cells(run)["generator_bound"].any()
    found = headline(run)
    assert found.verdict == (
        "With 2 tunnels on 2 cores and packets of 64 bytes, kpps in the median: threaded 376 and vanilla 188, bounded "
        "by losses; inline 376, in a closed loop."
    )
    assert CLOSED_LOOP_NOTE in found.remarks
    assert CLOSED_LOOP_NOTE[1:] in figures.packet_rate(run).caption

    compared = run.compare(run)
    assert set(compared.cells["variant"]) == set(WITH_INLINE)
    assert set(compared.speed_ups["variant"]) == {"threaded"}  # there is no ratio of inline to vanilla

    def as_fast_as_without(variant: str, *rest: Any) -> float:
        return 6e9 if variant in ("inline", "none") else 1.5e9

    path = write_run(tmp_path / "near", packet_sizes=(64,), speed=as_fast_as_without, variants=WITH_INLINE)
    near = packet_cells(orch.load(edited(path, unbounded)))
    assert set(near.loc[near["variant"] == "inline", "bounded_by"]) == {"generator"}
    assert near.loc[near["variant"] == "inline", "generator_bound"].all()


def test_a_rate_at_the_highest_load_that_the_spec_allows_is_bounded_by_that_load(tmp_path: Path) -> None:
    def unbounded(found: dict[str, Any], variant: str) -> None:
        found["pdr_upper_pps"] = found["ndr_upper_pps"] = None

    def all_alike(variant: str, *rest: Any) -> float:
        return 1.5e9

    run = orch.load(edited(write_run(tmp_path, packet_sizes=(64,), speed=all_alike), unbounded))
    assert set(packet_cells(run)["bounded_by"]) == {"generator"}
    rate = float(packet_cells(run)["median_pps"].min())
    for block in run.meta["plan"]["blocks"]:
        for trial in block["trials"]:
            trial["traffic"]["search"] = {"max_rate_pps": rate}
    assert set(packet_cells(run)["bounded_by"]) == {"highest load"}
    assert not packet_cells(run)["generator_bound"].any()


def test_the_figure_draws_what_the_data_has_and_its_legend_only_what_is_drawn(tmp_path: Path) -> None:
    def unbounded(found: dict[str, Any], variant: str) -> None:
        if variant in ("inline", "none"):
            found["pdr_upper_pps"] = found["ndr_upper_pps"] = None

    for far, speed in ((True, 60e9), (False, 3.3e9)):

        def fast(variant: str, *rest: Any, plain: float = speed) -> float:
            return {"none": plain, "vanilla": 1.5e9}.get(variant, 2.5e9)

        path = write_run(tmp_path / str(far), packet_sizes=SIZES, speed=fast, variants=WITH_INLINE)
        run = orch.load(edited(path, unbounded))
        drawing = figures.packet_rate(run)
        svg = ElementTree.fromstring(drawing.rendered("svg"))
        titles = [title.text or "" for title in svg.iter(f"{{{SVG}}}title")]
        cells = packet_cells(run)
        for row in cells[(cells["goal"] == "pdr") & (cells["tunnels"] == cells["cores"])].to_dict("records"):
            upper = "no upper bound" if math.isnan(row["upper_pps"]) else f"to {row['upper_pps'] / 1e3:.4g} kpps"
            mine = [t for t in titles if t.startswith(f"{Cell.of(row)}\nmedian {row['median_pps'] / 1e3:.4g} ")]
            assert len(mine) == 2  # above, and below as a rate a core
            assert all(upper in title for title in mine)
            words = {"losses": "bounded by losses"}.get(row["bounded_by"], row["bounded_by"])
            assert all(title.endswith(words) for title in mine)
        (legend,) = drawing.figure.legends
        names = [text.get_text() for text in legend.get_texts()]
        dotted = sum(c.get_linestyle()[0][1] is not None for a in drawing.figure.axes for c in a.collections)
        assert ("no tunnel" in names) == bool(dotted) == (not far)
        assert ("beyond the axes: " in drawing.caption) == far
        assert "closed loop: another quantity" in names
        box = legend.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= drawing.figure.bbox.x1


@pytest.mark.parametrize(
    ("search", "said"), [({}, "5 s (RFC 2544 asks for 60 s)."), ({"final_duration_s": 60}, "60 s.")]
)
def test_how_long_the_loads_were_that_decide_is_said(tmp_path: Path, search: dict[str, Any], said: str) -> None:
    run = orch.load(write_run(tmp_path, packet_sizes=(64,)))
    assert search_note(run) == ""  # no search in its plan
    for block in run.meta["plan"]["blocks"]:
        for trial in block["trials"]:
            trial["traffic"] = {"tool": "pktgen", "search": {"goals": ["pdr"], **search}, "duration_s": 5.0}
    assert search_note(run) == f"Loads that decide: {said}"
    assert search_note(run) in figures.packet_rate(run).caption


def test_how_near_to_the_baseline_is_too_near_stands_in_the_spec(tmp_path: Path) -> None:
    path = write_run(tmp_path, packet_sizes=(64,), speed=lambda variant, *rest: 6e9 if variant == "none" else 5e9)
    assert not packet_cells(orch.load(path))["generator_bound"].any()
    meta = json.loads((path / "run.json").read_text())
    meta["spec"]["limits"] = {"headroom": 0.3}
    (path / "run.json").write_text(json.dumps(meta))
    assert packet_cells(orch.load(path))["generator_bound"].all()


def test_what_arrived_of_a_given_rate_is_no_bound(tmp_path: Path) -> None:
    run = orch.load(write_run(tmp_path, packet_sizes=SIZES, searched=False))
    assert goals(run) == ["received"]
    found = packet_cells(run)
    assert set(found["goal"]) == {"received"}
    assert (found["median_pps"] <= found["upper_pps"] * 1.2).all()
    assert found["loss_ratio"].to_list() == pytest.approx([0.3 / 1.3] * len(found))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({}, "from the lower to the upper bound of each search"),
        ({"searched": False, "rounds": 1}, "what arrived of the rate that was sent"),
        ({"cores": (1, 2, 4, 8, 16), "tunnels": (0,), "variants": ("vanilla", "threaded", "inline")}, "7 of 64"),
        ({"packet_sizes": (512,), "cores": (1,), "rounds": 7}, "95 % interval"),
        ({"fate": lambda trial: ["failed"]}, "no trial with a tunnel gave a packet rate"),
        ({"fate": lambda trial: ["invalid"] if trial["levels"]["variant"] == "vanilla" else ["ok"]}, "stayed invalid"),
        ({"packet_sizes": ()}, "Nothing to draw"),
    ],
)
def test_the_figure_is_drawn_of_whatever_there_is(tmp_path: Path, shape: dict[str, Any], words: str) -> None:
    drawing = figures.packet_rate(orch.load(write_run(tmp_path, **{"packet_sizes": SIZES, **shape})))
    assert words in drawing.caption
    drawing.save(tmp_path / "figures")


def test_a_report_of_packets_has_no_throughput(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_run(tmp_path, packet_sizes=SIZES, rounds=2)
    text = make_report(path).read_text()
    drawn = {file.stem for file in (path / "figures").glob("*.svg")}
    assert {name for name in drawn if name.startswith("f")} == {"f6-packet-rate"}
    assert "With 2 tunnels on 2 cores and packets of 64 bytes, kpps in the median: " in text
    assert 'id="packet-rate"' in text
    assert 'id="throughput"' not in text
    print_summary(path)
    assert "Median packet rate in kpps" in capsys.readouterr().out


def test_round_trips_are_summarized_by_cell_and_load(tmp_path: Path) -> None:
    run = orch.load(write_run(tmp_path, packet_sizes=SIZES, speed=flat))
    cells = latency_cells(run).set_index(["variant", "cores", "tunnels", "packet_size", "at"])
    cell = cells.loc[("vanilla", 2, 2, "64", 0.5)]
    assert (cell["trials"], cell["answers"], cell["offered_pps"]) == (3, 297, 5e4)
    assert [cell[name] for name in ("p50_ms", "p90_ms", "p99_ms", "max_ms")] == pytest.approx([0.05, 0.1, 0.2, 0.5])
    without = orch.load(write_run(tmp_path / "other", searched=False, packet_sizes=SIZES))
    assert list(latencies(without)) == list(latencies(run))
    assert latency_cells(without).empty
    assert too_few_answers(without) == ""


def test_round_trips_beside_packets_have_a_panel_for_each_load(tmp_path: Path) -> None:
    run = orch.load(write_run(tmp_path, packet_sizes=SIZES, speed=flat))
    drawing = figures.round_trips(run)
    panels = drawing.figure.axes
    assert [axes.get_title() for axes in panels] == ["50% of its rate", "90% of its rate"]
    table = latency_cells(run).set_index(["variant", "cores", "tunnels", "packet_size", "at"])
    for axes, share in zip(panels, (0.5, 0.9), strict=True):
        for variant, line in zip(run.variants, axes.get_lines(), strict=True):
            cell = table.loc[(variant, 2, 2, "64", share)]
            assert list(line.get_ydata()) == pytest.approx([cell[name] for name in ("p50_ms", "p90_ms", "p99_ms")])
    assert "2 tunnels on 2 cores" in drawing.notes[0]
    assert "n = 3 trials per variant and load, each with 99 answers or more" in drawing.notes[0]
    assert "Medians in kpps: vanilla, 50 and 90;" in drawing.notes[1]


def test_the_page_has_round_trips_beside_packets_and_says_how_many_answers_p999_lacks(tmp_path: Path) -> None:
    path = write_run(tmp_path, packet_sizes=(64,), speed=flat)
    run = orch.load(path)
    assert too_few_answers(run).startswith("The loads here had 99 answers, too few for it")
    page = html.unescape(render(run, tmp_path, []))
    assert "during loads of packets" in page
    assert too_few_answers(run) in page
    for number, file in enumerate(sorted(path.glob("trials/*/*/attempt.json"))):
        attempt = json.loads(file.read_text())
        for row in attempt["measurements"].get("latency") or ():
            row |= {"n": 1200, "p999_s": 9e-4} if number else {"n": 999}
        file.write_text(json.dumps(attempt))
    found = orch.load(path)
    measured = len(latencies(found))
    assert too_few_answers(found).startswith(f"2 of {measured} loads had 999 answers")
    assert "0.900" in render(found, tmp_path, [])  # ms, of p99.9


def test_the_figure_and_the_page_name_the_limit_of_each_cell(tmp_path: Path) -> None:
    run = orch.load(write_run(tmp_path, packet_sizes=SIZES, cores=(1, 2), tunnels=(0,), variants=WITH_INLINE))
    assert {load.key for load in run.loads} == {Cell.of(row) for row in packet_cells(run).to_dict("records")}
    drawing = figures.packet_rate(run)
    texts = [text.get_text() for axes in drawing.figure.axes for text in axes.texts]
    letters = sorted(text for text in texts if text.rstrip("?") in {letter for letter, _ in LETTERS.values()})
    assert letters == sorted(limit_of(load).letter for load in run.loads)
    assert "Letters above: what limits each cell" in drawing.caption
    page = html.unescape(render(run, tmp_path, []))
    assert 'id="limited"' in page
    assert all(limit_of(load).why[0] in page for load in run.loads)
    said = [remark for remark in headline(run).remarks if "imit of" in remark or "saturated" in remark]
    assert len(said) == 1
