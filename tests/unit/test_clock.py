# SPDX-License-Identifier: Apache-2.0
"""Virtual time: everything derived from such a run says so, and nothing takes it for real time. Nothing is measured."""

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from orchestrator.analysis import figures, latency, packets, polls, rekeys
from orchestrator.analysis.claims import NOT_TESTABLE, statuses_of, verify
from orchestrator.analysis.comparing import CANNOT_TELL, DIFFERS, SAME
from orchestrator.analysis.dataset import Run, load
from orchestrator.analysis.headline import headline
from orchestrator.analysis.page import render
from orchestrator.analysis.virtual import controls, summary
from orchestrator.cli.app import run_command
from orchestrator.cli.summary import print_summary
from orchestrator.errors import UserError
from orchestrator.publish import crate
from orchestrator.spec import ROLES
from orchestrator.store import clock
from orchestrator.store.changes import changes_between
from tests.unit.synthetic_run import OWN_CPUS, VIRTUAL, invented_bps, write_run
from tests.unit.test_claims import VARIANTS, as_published, slower

Output = pytest.CaptureFixture[str]
LABEL = "virtual time, 32 virtual CPUs on 2 cores"
# The testbed's entry in runs from before the client and the server had as many CPUs as a gateway.
EARLIER_OWN_CPUS = {key: said for key, said in OWN_CPUS.items() if key != "ends"}
EVERY: dict[str, Any] = {"variants": VARIANTS, "cores": (1, 2, 4, 8, 16, 32), "tunnels": (1, 0), "rounds": 6}


def described(most: int = 16, members: tuple[dict[str, Any], ...] = (), **testbed: Any) -> dict[str, Any]:
    """Return the entries of run.json from which the words are made."""
    of_pool = {"members": {f"lab-{number}": member for number, member in enumerate(members)}} if members else {}
    return {"plan": {"blocks": [{"cores": 1}, {"cores": most}]}, "testbed": {"name": "lab", **testbed, **of_pool}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run in virtual time with every core count of the experiment."""
    return load(write_run(tmp_path_factory.mktemp("virtual"), virtual=VIRTUAL, **EVERY))


@pytest.mark.parametrize(
    ("meta", "label"),
    [
        (described(**VIRTUAL), "virtual time, 16 virtual CPUs on 2 cores"),
        (described(most=1, **{**VIRTUAL, "slots": 1}), "virtual time, 1 virtual CPU on 1 core"),
        (described(**{**OWN_CPUS, "ends": "half"}), "virtual time, 48 virtual CPUs on 2 cores"),
        (
            described(**EARLIER_OWN_CPUS),
            "virtual time, 48 virtual CPUs on 2 cores",
        ),
        (described(**OWN_CPUS), "virtual time, 64 virtual CPUs on 2 cores"),
        (described(members=(OWN_CPUS, OWN_CPUS)), "virtual time, 64 virtual CPUs on 2 cores"),
        (described(members=(VIRTUAL, VIRTUAL)), "virtual time, 16 virtual CPUs on 2 cores"),
        (described(members=(VIRTUAL, {**VIRTUAL, "slots": 1})), "virtual time, 16 virtual CPUs on 1 or 2 cores"),
        (described(clock="virtual"), "virtual time, 16 virtual CPUs on an unknown number of cores"),
        (described(clock="real"), "real time"),
        (described(), "real time"),
        ({}, "real time"),
    ],
)
def test_the_label_has_the_most_virtual_cpus_and_the_slots(meta: dict[str, Any], label: str) -> None:
    found = clock.virtual_time(meta)
    assert clock.label_of(found) == label
    assert (found is None) == (label == "real time")
    assert clock.in_its_time(found, "Gbit/s") == ("Gbit/s of virtual time" if found else "Gbit/s")


@given(st.integers(1, 999))
def test_short_durations_have_the_unit_that_fits(number: int) -> None:
    units = [clock.duration(number * scale) for scale in (1e-9, 1e-6, 1e-3, 1.0)]
    assert units == [f"{number} {unit}" for unit in ("ns", "µs", "ms", "s")]
    assert [clock.duration(seconds) for seconds in (4.9903e-5, 0.0009996, 1234.5)] == ["49.9 µs", "1 ms", "1230 s"]


def test_a_run_from_before_there_was_virtual_time_is_in_real_time(tmp_path: Path) -> None:
    old = load(write_run(tmp_path))
    assert (old.clock, old.virtual_time, old.measured_in) == ("real", None, "real time")
    assert set(old.trials["clock"]) == {"real"}
    assert "virtual" not in old.title
    assert summary(old) is None


def test_a_run_says_it_in_its_name_and_in_every_table(run: Run) -> None:
    assert run.clock == "virtual"
    assert LABEL in repr(run)
    html = run._repr_html_()
    assert LABEL in html
    assert "Gbit/s of virtual time" in html
    assert clock.NOT_MODELLED in html
    for table in (run.cells(), run.ratios(), run.efficiencies(), run.fits(), run.per_core):
        assert set(table["measured_in"]) == {LABEL}
        assert LABEL in repr(table[["measured_in"]])
    assert set(run.trials["clock"]) == {"virtual"}


def test_other_tables_say_it_too(tmp_path: Path) -> None:
    sent = load(write_run(tmp_path / "a", virtual=VIRTUAL, packet_sizes=(64, 1420)))
    traced = load(write_run(tmp_path / "b", virtual=VIRTUAL, traced=True))
    found = (packets.packet_cells(sent), latency.latency_cells(sent), polls.polls(traced))
    for table in (*found, polls.spread(found[-1])):
        assert set(table["measured_in"]) == {traced.measured_in}
    assert "measured_in" in rekeys.cost(traced)
    assert "kpps of virtual time in the median" in headline(sent).verdict
    assert headline(sent).verdict.endswith(f"({sent.measured_in}).")


DRAWN = (
    *(figures.one_tunnel, figures.one_tunnel_a_core, figures.throughput_tunnels, figures.per_core_load),
    *(figures.speed_ups, figures.published, figures.scheduling),
)


@pytest.mark.parametrize("draw", [*DRAWN, figures.where_polls_ran, figures.packet_rate, figures.rekey])
def test_a_figure_says_it_on_its_face_and_in_its_caption(run: Run, draw: Any) -> None:
    drawing = draw(run)  # the last three have nothing to draw for this run, and say so
    assert f"V{LABEL[1:]}" in [text.get_text() for text in drawing.figure.texts]
    assert f"V{LABEL[1:]}." in drawing.caption
    assert clock.NOT_MODELLED in drawing.caption
    rates = [text for axes in drawing.figure.axes for text in (axes.get_xlabel(), axes.get_ylabel()) if "bit/s" in text]
    assert all(text.endswith("of virtual time") for text in rates)


def test_the_head_of_a_figure_stays_on_the_page_and_its_legend_clear_of_it(run: Run) -> None:
    drawing = figures.throughput_tunnels(run)
    drawing.rendered("png")
    drawing.figure.draw_without_rendering()
    head = next(text for text in drawing.figure.texts if text.get_text() == f"V{LABEL[1:]}")
    boxes = [head.get_window_extent(), *(legend.get_window_extent() for legend in drawing.figure.legends)]
    boxes += [axes.title.get_window_extent() for axes in drawing.figure.axes]
    assert not any(one.overlaps(other) for one in boxes[:2] for other in boxes if one is not other)


def test_where_roles_have_their_own_cpus_tables_and_figures_show_the_gateways(tmp_path: Path) -> None:
    own = load(write_run(tmp_path, cores=(1, 16), tunnels=(1, 0), traced=True, virtual=OWN_CPUS))
    whose = "Each of the four roles has 16 of them."
    assert own.measured_in == "virtual time, 64 virtual CPUs on 2 cores"
    rows = own.per_core[own.per_core["cores"] == 16]
    for role, many in ((role, 16) for role in ROLES):
        assert sorted(set(rows.loc[rows["role"] == role, "cpu"])) == list(range(many))
    (first, *_) = (row for row in own.trials.to_dict("records") if row["kind"] == "measure" and row["cores"] == 16)
    mine = rows[(rows["trial_id"] == first["trial_id"]) & rows["role"].isin(["gateway-a", "gateway-b"])]
    assert first["cpu_busy"] == pytest.approx((1 - mine["idle"] - mine["iowait"]).mean(), abs=1e-3)
    traced = polls.polls(own)
    assert set(traced.loc[traced["cores"] == 16, "cpu"]) <= set(range(16))
    for drawing, which in ((figures.per_core_load(own), "gateway-a"), (figures.where_polls_ran(own), "gateway-b")):
        assert whose in drawing.caption
        assert which in drawing.caption
        assert "take its CPUs in turn" in drawing.caption
        assert "there is no RSS" not in drawing.caption
        labels = {text.get_text() for axes in drawing.figure.axes for text in axes.get_xticklabels()}
        assert "64" not in labels
    page = render(own, own.path / "figures", [])
    assert whose in page
    assert "take its CPUs in turn" in page


def test_a_poll_on_another_roles_cpu_is_told_from_the_gateways(tmp_path: Path) -> None:
    path = write_run(tmp_path, cores=(2,), tunnels=(2,), traced=True, virtual=OWN_CPUS)
    for file in path.glob("trials/*/*/polls.json"):
        content = json.loads(file.read_text())
        content["rows"] = [[*row[:4], 0, *row[5:]] for row in content["rows"]]  # the client's
        file.write_text(json.dumps(content))
    drawing = figures.where_polls_ran(load(path))
    names = [text.get_text() for legend in drawing.figure.legends for text in legend.get_texts()]
    assert "another role's CPU" in names


@pytest.mark.parametrize(
    ("links", "said"),
    [(None, "there is no RSS"), ("veth", "there is no RSS"), ("rss", "hash of their outer"), ("steered", "in turn")],
)
def test_it_is_said_how_links_were_steered(links: str | None, said: str) -> None:
    assert said in clock.links_note({"provider": "uml", **({"links": links} if links else {})})


@pytest.mark.parametrize("draw", [figures.one_tunnel, figures.one_tunnel_a_core])
def test_core_counts_that_double_are_all_named_at_equal_distances(run: Run, draw: Any) -> None:
    drawing = draw(run)
    axes = drawing.figure.axes[-1]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "4", "8", "16", "32"]
    assert list(axes.get_xticks()) == [0, 1, 2, 3, 4, 5]
    assert "logarithmic" in drawing.caption


def test_core_counts_in_equal_steps_lie_at_their_numbers(tmp_path: Path) -> None:
    few = load(write_run(tmp_path, cores=(1, 2, 3, 4, 5, 6, 7, 8), tunnels=(1, 0)))
    for draw in (figures.one_tunnel, figures.one_tunnel_a_core):
        drawing = draw(few)
        assert list(drawing.figure.axes[-1].get_xticks()) == list(range(1, 9))
        assert drawing.figure.axes[0].get_yscale() == "linear"
        assert "logarithmic" not in drawing.caption


def test_the_ideal_line_is_ideal_on_logarithmic_axes(tmp_path: Path) -> None:
    def linear(variant: str, cores: int, tunnels: int, rng: random.Random) -> float:
        return 1e9 * min(cores, tunnels or cores)

    drawing = figures.one_tunnel_a_core(load(write_run(tmp_path, speed=linear, **{**EVERY, "variants": ["vanilla"]})))
    axes = drawing.figure.axes[0]
    ideal, median = axes.lines[0], next(line for line in axes.lines if line.get_label() == "vanilla")
    assert (ideal.get_ydata()[0], ideal.get_ydata()[-1]) == pytest.approx((1, 32))
    assert list(median.get_ydata()) == pytest.approx([1, 2, 4, 8, 16, 32])
    assert list(ideal.get_xdata()[[0, -1]]) == pytest.approx([0, 5])


def test_nobody_wins_in_virtual_time_without_the_label(tmp_path: Path, run: Run) -> None:
    assert headline(run).verdict.endswith(f" ({LABEL}).")
    assert headline(run).remarks[-2:] == [clock.MEANING, clock.NOT_MODELLED]
    alone = load(write_run(tmp_path, variants=["vanilla"], virtual=VIRTUAL))
    assert "Gbit/s of virtual time with" in headline(alone).verdict
    nothing = load(write_run(tmp_path / "b", virtual=VIRTUAL, fate=lambda trial: ["failed"]))
    assert headline(nothing).verdict.startswith("No valid results")


def test_the_terminal_and_the_archive_say_it(run: Run) -> None:
    console = Console(file=io.StringIO(), width=120)
    print_summary(run.path, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"Throughput in Gbit/s, {LABEL}:" in said
    assert "in virtual time: C" in said
    description = crate.metadata(run.meta, {}, [])["@graph"][1]["description"]
    for text in (description, crate.readme(run.meta, [], [])):
        assert f"V{LABEL[1:]}." in text
        assert clock.NOT_MODELLED in text


def test_the_page_has_a_box_and_every_attempt(run: Run) -> None:
    page = render(run, run.path / "figures", verify(run))
    found = summary(run)
    assert found is not None
    assert found.dilation is not None
    assert found.dilation.low <= found.dilation.median <= found.dilation.high
    assert found.attempts == len(run.attempts)
    assert page.count(LABEL[1:]) > 6
    assert f"{found.dilation.high:.1f}" in page
    assert ">20 µs</td>" in page
    assert 'id="virtual-attempts"' in page
    assert page.count("<td>virtual</td>") == len(run.attempts)
    assert clock.NOT_MODELLED in page


def test_the_controls_are_read_from_the_journal(run: Run, tmp_path: Path) -> None:
    table = controls(run)
    assert list(table["cpus"]) == [1, 2, 4, 8, 16, 32]
    assert list(table["off"]) == pytest.approx(list(table["times_one"] / table["cpus"] - 1))
    assert "32 loops did 3" in render(run, run.path / "figures", [])
    path = write_run(tmp_path, virtual=VIRTUAL)
    for text in ('{"event": "run-started"}\n{"event": "prepa', "[]\n"):
        (path / "journal.jsonl").write_text(text)
        assert controls(load(path)).empty
    (path / "journal.jsonl").unlink()
    assert "not recorded" in render(load(path), path, [])
    (path / "journal.jsonl").mkdir()
    with pytest.raises(UserError, match=r"journal\.jsonl cannot be read \(Is a directory\)"):
        controls(load(path))


def test_a_line_of_the_journal_ends_only_at_its_newline(tmp_path: Path) -> None:
    path = write_run(tmp_path, virtual=VIRTUAL)
    expected = len(controls(load(path)))
    events = [json.loads(line) for line in (path / "journal.jsonl").read_text().splitlines()]
    lines = [json.dumps({**event, "said": "a\u2028b\u0085c\x0b"}, ensure_ascii=False) for event in events]
    (path / "journal.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert len(controls(load(path))) == expected > 0


def test_the_page_of_a_run_in_real_time_has_neither(tmp_path: Path) -> None:
    real = load(write_run(tmp_path))
    page = render(real, real.path / "figures", verify(real))
    assert "irtual time" not in page
    assert "virtual-attempts" not in page


MADE: dict[str, Any] = {"variants": VARIANTS, "cores": (1, 2, 16), "tunnels": (1, 16, 0), "rounds": 3, "boots": 3}


def test_claims_in_virtual_time_have_statuses_and_exit_statuses_of_their_own(tmp_path: Path, capsys: Output) -> None:
    kinds = {"good": as_published, "bad": slower("inline", 0.6)}
    runs = [write_run(tmp_path / name, speed=speed, virtual=VIRTUAL, **MADE) for name, speed in kinds.items()]
    few = write_run(tmp_path / "few", speed=as_published, virtual=VIRTUAL, **{**MADE, "rounds": 2, "boots": 1})
    assert [run_command(["verify", str(path)]) for path in (*runs, few)] == [5, 6, 4]
    said = capsys.readouterr().out
    assert "C4  reproduced in virtual time: " in said
    assert "C4  not reproduced in virtual time: " in said
    counted = (
        "6 claims: 6 reproduced in virtual time, 0 not reproduced in virtual time, 0 undecided in virtual time, "
        "0 not testable here."
    )
    assert counted in " ".join(said.split())
    stored = json.loads((runs[0] / "claims.json").read_text())
    assert (stored["clock"], stored["measured_in"]) == ("virtual", "virtual time, 16 virtual CPUs on 2 cores")
    for one in stored["verdicts"]:
        assert (one["verdict"], one["clock"], one["agrees"]) == ("reproduced in virtual time", "virtual", True)
    assert run_command(["verify", str(runs[1]), "--claim", "C3", "--json"]) == 5
    found = json.loads(capsys.readouterr().out)
    assert (found["clock"], found["verdicts"][0]["verdict"]) == ("virtual", "reproduced in virtual time")


def test_in_virtual_time_nothing_is_plainly_reproduced(tmp_path: Path) -> None:
    plain = set(statuses_of("real")) - {NOT_TESTABLE}
    for name, rounds in (("all", 8), ("few", 2)):
        made = load(write_run(tmp_path / name, speed=as_published, virtual=VIRTUAL, **{**MADE, "rounds": rounds}))
        assert not plain & {verdict.verdict for verdict in verify(made)}
        page = render(made, made.path / "figures", verify(made))
        assert not any(f">{status}</span>" in page for status in plain)


def test_virtual_cpus_meet_the_cores_that_a_claim_needs(tmp_path: Path) -> None:
    made = load(write_run(tmp_path, speed=as_published, virtual={**VIRTUAL, "slots": 1}, **MADE))
    assert {verdict.agrees for verdict in verify(made)} == {True}


def test_of_different_clocks_only_ratios_are_compared(tmp_path: Path, capsys: Output) -> None:
    runs = {
        "real": write_run(tmp_path / "real", rounds=7),
        "virtual": write_run(tmp_path / "virtual", rounds=7, virtual=VIRTUAL),
        "other": write_run(tmp_path / "other", rounds=7, virtual=VIRTUAL, speed=threaded_is_faster),
    }
    found = load(runs["real"]).compare(runs["virtual"])
    assert set(found.cells["outcome"]) == {CANNOT_TELL}
    assert found.cells["ratio"].isna().all()
    assert found.cells["median_a_bps"].notna().all()
    assert set(found.cells["reason"]) == {"different clocks: a rate in virtual time is not one in real time"}
    assert set(found.speed_ups["outcome"]) == {SAME}
    assert found.sentence.startswith("0 of 4 speed-ups differ by more than noise. Throughput is not compared")
    content = found.to_json()
    assert content["clocks"] == {"a": "real", "b": "virtual"}
    assert "not compared" in found._repr_html_().split("<table")[0]
    pairs = [("real", "virtual"), ("real", "other"), ("virtual", "virtual")]
    assert [run_command(["compare", str(runs[a]), str(runs[b])]) for a, b in pairs] == [0, 1, 0]
    first, _, last = capsys.readouterr().out.split("Differences, A -> B:")
    assert first.index("different clocks") < first.index("Speed-up over vanilla")
    assert "Throughput, median in Gbit/s" not in first
    assert "clock: real -> virtual" in last
    assert "Throughput, median in Gbit/s of virtual time" in last
    assert set(load(runs["real"]).compare(runs["other"]).speed_ups["outcome"]) == {DIFFERS}


def threaded_is_faster(variant: str, cores: int, tunnels: int, rng: random.Random) -> float:
    return invented_bps(variant, cores, tunnels, rng) * (1.3 if variant == "threaded" else 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"slots": 1}, "The number of slots differs"),
        ({"quantum_s": 5e-5}, "The quantum differs, 20 µs and 50 µs"),
        ({"role_cpus": "own"}, "in the other each role has its own"),
        ({}, ""),
    ],
)
def test_two_virtual_times_that_differ_are_said_to(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    one, other = (load(write_run(tmp_path / n, virtual={**VIRTUAL, **v})) for n, v in (("a", {}), ("b", change)))
    notes = " ".join(one.compare(other).clocks)
    assert notes.startswith("A: virtual time, 2 virtual CPUs on 2 cores; B: virtual time")
    assert (said in notes) if said else ("differs" not in notes)


def test_a_run_that_says_nothing_about_its_clock_has_not_changed_it() -> None:
    old, new = ({"testbed": {"name": "lab", **clock}} for clock in ({}, {"clock": "real"}))
    assert changes_between(old, new) == []
    before = {"testbed": {"name": "lab", **VIRTUAL}}
    same = {"testbed": {"name": "lab", **VIRTUAL, "role_cpus": "shared", "links": "veth"}}
    assert changes_between(before, same) == []
    changed = changes_between(before, {"testbed": {"name": "lab", **OWN_CPUS}})
    assert {str(change) for change in changed} == {
        "testbed: role_cpus: shared -> own",
        "testbed: ends: nothing -> equal",
        "testbed: links: veth -> steered",
    }
    earlier = {"testbed": {"name": "lab", **EARLIER_OWN_CPUS}}
    (change,) = changes_between(earlier, {"testbed": {"name": "lab", **OWN_CPUS}})
    assert str(change) == "testbed: ends: half -> equal"
    pools = ({"testbed": {"members": {"a": side["testbed"]}}} for side in (old, new))
    assert changes_between(*pools) == []
    (change,) = changes_between(old, {"testbed": {"name": "lab", "clock": "virtual"}})
    assert (str(change), change.concerns) == ("testbed: clock: real -> virtual", None)
