# SPDX-License-Identifier: Apache-2.0
"""From synthetic attempts to frames, figures and a report: they show what was written, and nothing is lost."""

import dataclasses
import itertools
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from orchestrator.analysis import figures, make_report
from orchestrator.analysis.cells import cells, efficiencies, ratios
from orchestrator.analysis.dataset import Run, load
from orchestrator.analysis.figures import numbers
from orchestrator.analysis.figures.numbers import SVG, for_page
from orchestrator.analysis.notebooks import pair
from orchestrator.analysis.page import render
from orchestrator.errors import UserError
from orchestrator.paths import NOTEBOOKS, RESULTS
from tests.unit.synthetic_run import invented_bps, write_run

FIGURES = (
    figures.one_tunnel,
    figures.throughput_tunnels,
    figures.one_tunnel_a_core,
    figures.per_core_load,
    figures.speed_ups,
    figures.published,
    figures.scheduling,
    figures.where_polls_ran,
)


def exact(variant: str, cores: int, tunnels: int, rng: Any) -> float:
    """Return numbers that a test can compute: threaded is twice vanilla, and one tunnel per core scales linearly."""
    per_core = {"none": 8e9, "vanilla": 1e9, "threaded": 2e9}[variant]
    return float(per_core * min(cores, tunnels))


def second_attempt_counts(trial: dict[str, Any]) -> list[str]:
    if trial["order"] == 3:
        return ["invalid", "ok"]
    if trial["order"] == 4:
        return ["failed", "failed", "failed"]
    return [] if trial["order"] == 5 else ["ok"]


def test_cells_ratios_and_efficiency_of_numbers_that_are_known(tmp_path: Path) -> None:
    run = load(write_run(tmp_path, speed=exact, cores=(1, 2, 4), tunnels=(1, 0)))
    table = cells(run).set_index(["variant", "cores", "tunnels"])
    assert table.loc[("threaded", 4, 4), "median_bps"] == 8e9
    assert table.loc[("vanilla", 4, 1), "of_baseline"] == pytest.approx(1 / 32)
    assert set(ratios(run)["median"]) == {2.0}
    assert set(efficiencies(run)["median"]) == {1.0}
    assert not table["generator_bound"].any()


def test_nothing_is_lost_and_only_valid_trials_are_in_medians(tmp_path: Path) -> None:
    run = load(write_run(tmp_path, fate=second_attempt_counts, speed=exact))
    assert run.counts() == {"ok": 24, "failed": 1, "invalid": 0, "missing": 1}
    assert len(run.attempts) == 24 + 1 + 3
    table = cells(run)
    assert table["n"].sum() == len(run.measured)
    assert (table["failed"].sum(), table["missing"].sum(), table["invalid_attempts"].sum()) == (1, 1, 1)
    assert set(run.measured["throughput_bps"]) <= {1e9, 2e9, 4e9}  # the invalid one had 0.6 of its throughput


def test_shares_of_a_cpus_time_are_whole(tmp_path: Path) -> None:
    frame = load(write_run(tmp_path)).per_core
    kinds = ["user", "system", "softirq", "irq", "steal", "iowait", "idle"]
    assert frame[kinds].sum(axis=1).round(9).eq(1).all()
    assert set(frame.loc[frame["cores"] == 2, "cpu"]) == {0, 1}


SHAPES: list[dict[str, Any]] = [
    {},
    {"variants": ["vanilla", "inline", "one", "two", "three", "four", "five"], "cores": (1, 3, 16), "rounds": 1},
    {"fate": lambda trial: []},
    {"fate": lambda trial: ["invalid"]},
    {"fate": lambda trial: ["failed"], "rounds": 1},
    {"cores": (4,), "tunnels": (1024,), "rounds": 7},
    {"cores": (2,), "tunnels": (0,), "variants": ["vanilla"]},
    {"fate": second_attempt_counts, "emulated": True, "provider": "qemu", "realtime": False},
]


@pytest.fixture(scope="module", params=SHAPES)
def shaped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, Any]]:
    """Return a run and its shape, once for all figures of it."""
    return load(write_run(tmp_path_factory.mktemp("shaped"), **request.param)), request.param


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_is_drawn_of_whatever_there_is(shaped: tuple[Run, dict[str, Any]], figure: Any) -> None:
    run, shape = shaped
    drawing = figure(run)
    svg = drawing.rendered("svg")
    ids = re.findall(r'\bid="([^"]+)"', for_page(svg, "one")[0] + for_page(svg, "two")[0])
    assert len(ids) == len(set(ids))  # on a page, no figure refers to parts of another
    assert run.topology.lower() in drawing.caption.lower()
    assert ("Emulated" in drawing.caption) == bool(shape.get("emulated"))


def test_every_trial_is_a_point(tmp_path: Path) -> None:
    run = load(write_run(tmp_path, rounds=4))
    figures.throughput_tunnels(run).save(tmp_path)
    svg = (tmp_path / "f2-throughput-tunnels.svg").read_text(encoding="utf-8")
    titles = [title.text or "" for title in ElementTree.fromstring(svg).iter(f"{{{SVG}}}title")]
    for trial in run.measured.to_dict("records"):
        (mine,) = (title for title in titles if trial["trial_id"] in title)
        assert f"{trial['throughput_bps'] / 1e9:.3g} Gbit/s" in mine
    assert sum("median" in title for title in titles) == len(cells(run))


def pooled(path: Path) -> Path:
    """Return a run as if measured by a pool: cells with 4 cores or more, or 4 tunnels, on another testbed."""
    for file in path.glob("trials/*/*/attempt.json"):
        attempt = json.loads(file.read_text())
        if max(attempt["levels"]["cores"], attempt["levels"]["tunnels"]) >= 4:
            file.write_text(json.dumps({**attempt, "testbed": "lab-two"}))
    return path


def segments(line: Any) -> list[tuple[float, float]]:
    """Return the pairs of adjacent places that a line joins."""
    points = list(zip(line.get_xdata(), line.get_ydata(), strict=True))
    return [(a[0], b[0]) for a, b in itertools.pairwise(points) if not any(map(math.isnan, (*a, *b)))]


def test_testbeds_of_a_pool_are_never_joined_by_a_line(tmp_path: Path) -> None:
    run = load(pooled(write_run(tmp_path, cores=(1, 2, 4), tunnels=(1, 2, 4, 0), speed=exact)))
    drawn = 0
    for figure in (figures.one_tunnel(run), figures.one_tunnel_a_core(run)):
        assert "each line joins results of one testbed only" in figure.caption
        for line in figure.figure.axes[0].lines:
            assert all(b < 3.5 for _, b in segments(line))  # 4 cores are on another testbed: no ideal line leads there
            drawn += len(segments(line))
    for figure in (figures.throughput_tunnels(run), figures.speed_ups(run)):
        for axes in figure.figure.axes[:2]:  # of 1 and of 2 cores
            for line in (line for line in axes.lines if len(line.get_xdata()) > 2):
                assert all(b < 1.5 for _, b in segments(line))  # the logarithm of 4 is 2
                drawn += len(segments(line))
    assert drawn >= 4 * 3
    alone = load(write_run(tmp_path / "alone", cores=(1, 2, 4), tunnels=(1, 2, 4, 0), speed=exact))
    assert any(b > 3.5 for line in figures.one_tunnel(alone).figure.axes[0].lines for _, b in segments(line))


def test_tunnels_lie_at_the_logarithm_of_their_number(tmp_path: Path) -> None:
    run = load(write_run(tmp_path, cores=(1,), tunnels=(1, 2, 4, 32), variants=["vanilla"], speed=exact))
    for figure in (figures.throughput_tunnels(run), figures.speed_ups(load(write_run(tmp_path / "two")))):
        axes = figure.figure.axes[0]
        ticks = dict(zip((t.get_text() for t in axes.get_xticklabels()), axes.get_xticks(), strict=True))
        assert ticks == {name: pytest.approx(math.log2(int(name))) for name in ticks}
        assert "logarithmic" in axes.get_xlabel()


@pytest.mark.parametrize("cores", [(1, 2, 36), (1, 2, 3, 64), tuple(range(1, 33)), (1, 2, 4, 8, 16, 32, 48, 64)])
def test_labels_of_an_axis_never_touch(tmp_path: Path, cores: tuple[int, ...]) -> None:
    run = load(write_run(tmp_path, cores=cores, tunnels=(1, 0), rounds=1, variants=["vanilla"], speed=exact))
    for drawing in (figures.one_tunnel(run), figures.one_tunnel_a_core(run)):
        drawing.rendered("svg")
        (*_, axes) = drawing.figure.axes
        boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_visible()]
        assert len(boxes) >= 2
        assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))
        assert axes.get_xticklabels()[-1].get_visible()


def test_whiskers_are_called_what_they_are(tmp_path: Path) -> None:
    def enough(rounds: int, name: str) -> str:
        shape: dict[str, Any] = {"cores": (1, 2, 4), "tunnels": (0,), "rounds": rounds, "speed": invented_bps}
        return figures.one_tunnel_a_core(load(write_run(tmp_path / name, **shape))).caption

    six, seven, three = enough(6, "six"), enough(7, "seven"), enough(3, "three")
    # Two medians need 97.5 % each, which 6 trials do not give.
    assert "Whiskers: 95 % interval within one boot. " in six
    assert "Whiskers of efficiencies: range." in six
    assert "Whiskers of efficiencies: 95 % interval within one boot." in seven
    assert "Whiskers: range. " in three

    def uneven(trial: dict[str, Any]) -> list[str]:
        return ["failed"] if trial["levels"]["cores"] == 2 and trial["round"] > 4 else ["ok"]

    run = load(write_run(tmp_path / "uneven", cores=(1, 2), tunnels=(0,), rounds=7, fate=uneven))
    assert (
        "Whiskers: 95 % interval within one boot or range, where fewer than 6" in figures.one_tunnel_a_core(run).caption
    )
    table = efficiencies(run)
    assert set(table["n"]) == {4}  # that of the smaller side


@pytest.mark.parametrize(("noise", "said"), [(0.3, False), (0.0, True)])
def test_why_it_is_above_ideal_is_said_only_where_it_is(tmp_path: Path, noise: float, said: bool) -> None:
    def superlinear(variant: str, cores: int, tunnels: int, rng: Any) -> float:
        return float(1e9 * cores ** (1.0 if noise else 1.3) * (1 + noise * (rng.random() - 0.5) + 0.001 * rng.random()))

    path = write_run(tmp_path, cores=(1, 2, 4), tunnels=(0,), rounds=9, speed=superlinear)
    assert "Above ideal (" not in figures.one_tunnel_a_core(load(path)).caption  # one boot says nothing about another
    run = load(path)
    boots = dataclasses.replace(
        run, trials=run.trials.assign(boot=run.trials["boot"] + (run.trials["round"] % 3).astype(str))
    )
    assert ("Above ideal (vanilla, threaded)" in figures.one_tunnel_a_core(boots).caption) == said


def test_what_the_lab_does_not_account_is_said(tmp_path: Path) -> None:
    path = write_run(tmp_path)
    assert "User time is 0" not in figures.per_core_load(load(path)).caption
    for file in path.glob("trials/*/*/attempt.json"):
        attempt = json.loads(file.read_text())
        for cpu in attempt["probes"]["per_cpu"]:
            cpu["user_s"] = 0.0
        file.write_text(json.dumps(attempt))
    assert (
        "User time is 0 in every sample: the lab's kernel does not account for it separately"
        in figures.per_core_load(load(path)).caption
    )


def test_a_page_numbers_its_figures_and_shows_no_empty_one(tmp_path: Path) -> None:
    run = load(write_run(tmp_path, variants=["vanilla"], speed=exact))
    for drawing in (figures.throughput_tunnels(run), figures.speed_ups(run), figures.per_core_load(run)):
        drawing.save(tmp_path / "figures")
    text = render(run, tmp_path / "figures", [])
    assert ">F2: Throughput against the number of tunnels, at fixed cores.<" in text
    assert ">How each CPU spent its time.<" in text
    assert 'id="f5-speed-ups"' not in text
    assert "F5: Speed-up over vanilla, at the same cores and tunnels (the plan has one variant)." in text


def test_figures_with_the_same_number_have_letters(tmp_path: Path) -> None:
    run = load(write_run(tmp_path))
    for drawing in (figures.throughput_tunnels(run), figures.speed_ups(run), figures.published(run)):
        drawing.save(tmp_path / "figures")
    text = render(run, tmp_path / "figures", [])
    assert [text.count(f"{label}: ") for label in ("F2", "F5", "F5a", "F5b")] == [1, 0, 1, 1]


def test_a_line_has_a_gap_where_a_planned_cell_has_no_valid_trial(tmp_path: Path) -> None:
    def only_the_ends(trial: dict[str, Any]) -> list[str]:
        return ["failed"] if trial["levels"]["tunnels"] == 2 and trial["kind"] == "measure" else ["ok"]

    run = load(write_run(tmp_path, cores=(4,), tunnels=(1, 2, 4), fate=only_the_ends))
    for figure in (figures.throughput_tunnels(run), figures.speed_ups(run)):
        lines = [line for line in figure.figure.axes[0].lines if len(line.get_xdata()) == 3]
        assert lines
        assert all(math.isnan(line.get_ydata()[1]) for line in lines)


def test_speed_ups_are_paired_and_published_values_come_from_the_claims(tmp_path: Path) -> None:
    run = load(
        write_run(tmp_path, variants=["vanilla", "threaded", "inline"], speed=steady, cores=(4,), tunnels=(1, 0))
    )
    drawing = figures.published(run)
    svg = ElementTree.fromstring(drawing.rendered("svg"))
    titles = [title.text or "" for title in svg.iter(f"{{{SVG}}}title")]
    for verdict in run.verify():
        for one in verdict.evidence:
            if one.statistic == "ratio" and one.published_value:
                about = f"{verdict.claim}, {one.name}\n"
                shown = f"{verdict.claim}\npublished: {one.published}\n{verdict.source}"
                assert sum(t.startswith(shown) for t in titles) == 1
                assert any(t.startswith(f"{about}measured here: {one.median:.3g} times") for t in titles)
    assert "as published, for other hardware" in drawing.caption
    assert "Black" not in drawing.caption  # a dark page has other colours
    assert sum("published: almost 2 times" in title for title in titles) == 1  # of both rows of C4
    assert sum("accepted: " in title for title in titles) == sum("measured here: " in title for title in titles)
    axes = drawing.figure.axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    for verdict in run.verify():
        if any(one.statistic == "ratio" and one.median is not None for one in verdict.evidence):
            assert sum(row.startswith(f"{verdict.claim}: {verdict.verdict}\n") for row in rows) == 1
    # Less than 3 is an arrow that begins there and leads down, and no diamond.
    at = {
        path.get_offsets()[0][0]: path.get_paths()[0]
        for path in axes.collections
        if len(path.get_offsets()) == 1 and path.get_offsets()[0][1] == 0
    }
    assert 3.0 in at
    assert any(float(line.get_xdata()[0]) == 3.0 and float(line.get_xdata()[1]) < 3.0 for line in axes.lines)
    pairs = figures.speed_ups(run).figure.axes[0].collections
    assert {round(float(y), 6) for points in pairs for _, y in points.get_offsets()} >= {2.0, 3.0}


def steady(variant: str, cores: int, tunnels: int, rng: Any) -> float:
    """Return numbers in which threaded is twice vanilla and inline three times, at every place."""
    return {"none": 9e9, "vanilla": 1e9, "threaded": 2e9, "inline": 3e9}[variant]


def test_a_report_shows_what_failed_and_takes_nothing_as_markup(tmp_path: Path) -> None:
    path = write_run(tmp_path, fate=second_attempt_counts)
    meta = json.loads((path / "run.json").read_text())
    meta["description"] = "<script>alert(1)</script>"
    (path / "run.json").write_text(json.dumps(meta))
    run = load(path)
    page = render(run, path, run.verify())
    assert "alert(1)" in page
    assert page.count("<script") == 1  # its own
    assert "&lt;refused&gt; &amp; gone" in page
    assert "a new handshake fell into the trial" in page
    assert "this computer has 2 cores" in page
    assert not re.findall(r"(?:src|action|data)=[\"'](?!#)", page)  # nothing is loaded
    assert not re.findall(r"href=[\"'](?!#|trials/)", page)  # nothing leads out of the run


def test_a_run_that_was_cut_off_is_readable_and_says_so(tmp_path: Path) -> None:
    path = write_run(tmp_path)
    meta = json.loads((path / "run.json").read_text()) | {"state": "running", "ended_at": None}
    (path / "run.json").write_text(json.dumps(meta))
    (path / "trials" / "x" / ".1.tmp").mkdir(parents=True)
    for folder in sorted((path / "trials").iterdir())[:4]:
        shutil.rmtree(folder)
    run = load(path)
    assert run.counts()["missing"] in (3, 4)
    assert "ended from outside" in render(run, path, [])


def test_make_report_executes_the_notebook_and_leaves_one_self_contained_page(tmp_path: Path) -> None:
    path = write_run(tmp_path / "with space")
    page = make_report(path)
    assert page == path / "report.html"
    text = page.read_text()
    assert text.count("<svg ") == 8
    executed = json.loads((path / "notebooks" / "scaling.ipynb").read_text())
    outputs = [cell for cell in executed["cells"] if cell["cell_type"] == "code" and cell.get("outputs")]
    assert len(outputs) >= 7
    assert json.loads((path / "claims.json").read_text())["verdicts"][0]["claim"] == "C1"
    names = ["f1-throughput-one-tunnel", "f2-throughput-tunnels", "f3-throughput-cores", "per-core-load"]
    for name in (*names, "packet-cost", "f5-speed-ups", "f5-speed-ups-published", "value-against-round"):
        assert {file.suffix for file in (path / "figures").glob(f"{name}.*")} == {".png", ".svg", ".txt"}
    # The same run gives the same files, here as in the notebook's process.
    run = load(path)
    for figure in (figures.one_tunnel, figures.throughput_tunnels, figures.one_tunnel_a_core, figures.per_core_load):
        figure(run).save(tmp_path / "again")
    again = {file.name: file.read_bytes() for file in (tmp_path / "again").iterdir()}
    assert len(again) == 4 * 3
    assert {name: (path / "figures" / name).read_bytes() for name in again} == again


def test_a_drawing_has_a_pdf_only_where_one_is_asked_for_and_none_of_an_earlier_drawing(tmp_path: Path) -> None:
    drawing = figures.one_tunnel(load(write_run(tmp_path / "run", rounds=1)))
    drawing.save(tmp_path, pdf=True)
    assert (tmp_path / f"{drawing.name}.pdf").read_bytes().startswith(b"%PDF")
    drawing.save(tmp_path)
    assert {file.suffix for file in tmp_path.glob(f"{drawing.name}.*")} == {".png", ".svg", ".txt"}


def test_a_table_of_cells_is_the_callers_own() -> None:
    run = load(RESULTS / "example")
    first = run.cells()
    first["n"] = -1
    assert (run.cells()["n"] > 0).all()


def test_a_page_is_the_same_whether_its_compiled_template_can_be_kept_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = load(write_run(tmp_path / "run", rounds=1))
    (tmp_path / "file").touch()
    pages = []
    for cache in ("kept", "kept", "file/none"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / cache))
        pages.append(render(run, run.path, []))
    assert len(list((tmp_path / "kept" / "orch" / "templates").iterdir())) == 1
    assert pages[0] == pages[1] == pages[2]


def test_records_of_a_frame_are_those_of_pandas() -> None:
    run = load(RESULTS / "example")
    for frame in (run.trials, run.attempts.iloc[:1], run.cells(), run.trials.iloc[:0]):
        ours, theirs = numbers.records(frame), frame.to_dict("records")
        assert repr(ours) == repr(theirs)  # with the types of values, and what is missing


def test_what_is_no_run_gets_a_sentence(tmp_path: Path) -> None:
    for make in (make_report, load):
        with pytest.raises(UserError, match="is not a run directory"):
            make(tmp_path)


def test_a_notebook_that_is_not_there_gets_a_sentence(tmp_path: Path) -> None:
    path = write_run(tmp_path)
    meta = json.loads((path / "run.json").read_text())
    meta["spec"]["notebooks"] = ["../scaling"]
    (path / "run.json").write_text(json.dumps(meta))
    with pytest.raises(UserError, match=r"Known: .*scaling"):
        make_report(path)


@pytest.mark.parametrize("source", sorted(NOTEBOOKS.glob("*.py")), ids=lambda path: path.stem)
def test_a_notebook_and_its_text_pair_are_equal(source: Path) -> None:
    assert source.with_suffix(".ipynb").read_text(encoding="utf-8") == pair(source), (
        "make it again: python -c 'from pathlib import Path; from orchestrator.analysis.notebooks import write_pairs; "
        'write_pairs(Path("notebooks"))\''
    )


def test_the_example_run_can_be_drawn_without_a_testbed(tmp_path: Path) -> None:
    example = tmp_path / "example"
    shutil.copytree(RESULTS / "example", example, ignore=shutil.ignore_patterns("figures", "notebooks", "report.html"))
    for name in ("trials.parquet", "attempts.parquet"):
        (example / name).unlink()
    run = load(make_report(example).parent)
    assert {"vanilla", "threaded", "inline"} <= set(run.variants)
    assert run.counts()["ok"] == len(run.trials)
    assert not run.testbed["emulated"]
