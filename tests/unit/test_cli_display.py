# SPDX-License-Identifier: Apache-2.0
"""What the user sees of a campaign: its progress, earlier results, and the question after a change."""

import io
import re
import sys
import time

import pytest
from rich.console import Console

from orchestrator.cli import live as module
from orchestrator.cli.display import LineDisplay
from orchestrator.cli.live import LiveDisplay
from orchestrator.measure.attempt import Outcome
from orchestrator.plan import Plan, lab_capabilities, make_plan
from orchestrator.spec import Experiment

CHOICES = ("keep", "rerun", "abort")


def plan(width: str | None = None, boots: int = 1) -> Plan:
    content = {
        "experiment": "small",
        "factors": {"variant": ("vanilla", "inline"), "cores": (1,), "tunnels": (1,)},
        "traffic": {"duration": "1s"},
        "repetitions": {"min": 6, "max": 9, "width": width, "boots": boots} if width else 2,
    }
    return make_plan(Experiment.model_validate(content), lab_capabilities(1, ("vanilla", "inline")))


def outcome(*marks: str) -> Outcome:
    return Outcome(status="ok", measurements={"throughput_bps": 2e9}, marks=list(marks))


def test_lines_say_how_far_a_resumed_run_is_and_what_is_marked() -> None:
    stream = io.StringIO()
    display, planned = LineDisplay("uml", stream), plan()
    display.plan(planned, planned.trials[:2])
    display.block(planned.blocks[0])
    display.result(planned.trials[2], 1, outcome("generator-bound: 95% of it"))
    said = stream.getvalue()
    assert "5 trials in 1 block" in said
    assert "2 already ok" in said
    assert "3/5 round 1" in said
    assert "ok 2.00 Gbit/s [generator-bound: 95% of it]" in said


def test_rounds_that_are_not_needed_no_longer_count() -> None:
    stream = io.StringIO()
    display, planned = LineDisplay("uml", stream), plan("5%")
    display.plan(planned, [])
    display.block(planned.blocks[0])
    display.skipped([trial for trial in planned.trials if trial.round > 6])
    assert "at most 19 trials" in stream.getvalue()
    assert "6 trials are not needed" in stream.getvalue()
    display.result(planned.trials[0], 1, outcome())
    assert "1/13 round 0" in stream.getvalue()


def test_of_boots_it_is_shown_which() -> None:
    stream, planned = io.StringIO(), plan("5%", boots=2)
    display = LineDisplay("uml", stream)
    display.plan(planned, [])
    display.block(planned.blocks[1])
    assert "block 2 of 2: 1 core, boot 2 of 2, 19 trials" in stream.getvalue()
    with LiveDisplay("uml", Console(file=io.StringIO(), force_terminal=True, width=120)) as live:
        live.plan(planned, [])
        live.block(planned.blocks[1])
        shown = io.StringIO()
        Console(file=shown, width=120).print(live)
    assert "block 2/2, boot 2/2" in shown.getvalue()


def test_a_question_is_asked_where_somebody_can_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    with LiveDisplay("uml", Console(file=stream, force_terminal=True, width=120)) as display:
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("builtins.input", lambda *prompt: "keep")
        assert display.ask(["spec: seed: 1 -> 2"], "What now?", CHOICES) == "keep"
        assert "spec: seed: 1 -> 2" in stream.getvalue()
        monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
        assert display.ask([], "What now?", CHOICES) == "abort"
    assert LineDisplay("uml", stream).ask([], "What now?", CHOICES) == "abort"


def pool_plan() -> Plan:
    content = {
        "experiment": "small",
        "factors": {"variant": ("vanilla", "inline"), "cores": (1, 2), "tunnels": (1,)},
        "traffic": {"duration": "1s"},
        "repetitions": 1,
    }
    return make_plan(Experiment.model_validate(content), lab_capabilities(2, ("vanilla", "inline")))


def test_of_a_pool_it_is_shown_what_runs_where() -> None:
    stream, planned = io.StringIO(), pool_plan()
    lines = LineDisplay("uml", stream)
    lines.plan(planned, [], 2)
    for block, testbed in zip(planned.blocks, ("lab-a", "lab-b"), strict=True):
        lines.block(block, testbed)
    lines.result(planned.blocks[1].trials[1], 1, outcome())
    assert "6 trials in 2 blocks on 2 testbeds" in stream.getvalue()
    assert "block 2 of 2 on lab-b: 2 cores" in stream.getvalue()
    assert "5/6 round 1 lab-b: " in stream.getvalue()

    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with LiveDisplay("uml", console) as live:
        live.plan(planned, [], 2)
        for block, testbed in zip(planned.blocks, ("lab-a", "lab-b"), strict=True):
            live.block(block, testbed)
        live.attempt(planned.blocks[0].trials[0], 1)
        live.traffic(planned.blocks[0].trials[0])
        live.doing("lab-b", "starting the testbed with 2 cores")
        live.result(planned.blocks[1].trials[0], 1, outcome())
        shown = io.StringIO()
        Console(file=shown, width=120).print(live)
        rows = shown.getvalue().splitlines()
    assert any("lab-a  block 1/2, " in row and "traffic" in row for row in rows)
    assert any("lab-b  block 2/2" in row and "starting" in row for row in rows)

    # From then on, the block of a lost testbed belongs to another.
    live.block(planned.blocks[0], "lab-b")
    live.attempt(planned.blocks[0].trials[1], 1)
    shown = io.StringIO()
    Console(file=shown, width=120).print(live)
    (row,) = [row for row in shown.getvalue().splitlines() if "block 1/2" in row]
    assert row.split()[0] == "lab-b"


def test_the_bounds_of_a_search_are_seen_to_close() -> None:
    stream = io.StringIO()
    display, planned = LineDisplay("uml", stream), plan()
    display.plan(planned, [])
    display.bounds(planned.trials[1], "ndr 290 kpps to 310 kpps; load 7: 290 kpps, 0.000% lost")
    assert "1 core, 1 tunnel: ndr 290 kpps to 310 kpps; load 7" in stream.getvalue()
    shown = io.StringIO()
    with LiveDisplay("uml", Console(file=shown, force_terminal=True, width=120)) as live:
        live.plan(planned, [])
        live.block(planned.blocks[0])
        live.attempt(planned.trials[1], 1)
        live.traffic(planned.trials[1])
        live.bounds(planned.trials[1], "ndr 290 kpps to 310 kpps")
        assert "ndr 290 kpps to 310 kpps" in shown.getvalue()
        live.result(planned.trials[1], 1, outcome())


def terminal(width: int = 80) -> tuple[io.StringIO, Console]:
    written = io.StringIO()
    return written, Console(file=written, force_terminal=True, width=width, color_system=None)


def drawn(display: LiveDisplay, width: int = 80) -> list[str]:
    shown = io.StringIO()
    Console(file=shown, width=width).print(display)
    return shown.getvalue().splitlines()


def test_on_a_terminal_each_trial_stays_with_its_reasons_and_marks() -> None:
    written, console = terminal()
    planned = plan()
    reason = "competing_load: other programs used 31 % of the processors that the lab ran on, and the limit is 10 %"
    with LiveDisplay("uml", console) as display:
        display.plan(planned, [])
        display.block(planned.blocks[0])
        for trial in planned.trials:
            display.attempt(trial, 1)
            display.result(trial, 1, outcome("generator-bound: 95 % of it"))
        display.result(planned.trials[1], 1, Outcome(status="invalid", reasons=[reason], measurements={}))
    rows = [row.rstrip() for row in written.getvalue().splitlines()]
    assert sum("✓ " in row and "2.00 Gbit/s" in row for row in rows) == len(planned.trials)
    assert sum("    marked: generator-bound: 95 % of it" in row for row in rows) == len(planned.trials)
    assert any("block 1 of 1: 1 core, 5 trials" in row for row in rows)
    first = next(number for number, row in enumerate(rows) if "    invalid: competing_load" in row)
    assert " ".join(" ".join(rows[first : first + 2]).split()) == f"invalid: {reason}"
    assert max(map(len, rows[first : first + 2])) <= 80


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_number_stays_with_its_unit_on_any_terminal(width: int) -> None:
    written, console = terminal(width)
    planned = plan()
    with LiveDisplay("uml", console) as display:
        display.plan(planned, [])
        display.block(planned.blocks[0])
        for trial in planned.trials:
            display.result(trial, 1, outcome())
    rows = [row.rstrip() for row in re.sub(r"\x1b\[[0-9?]*[a-zA-Z]", "", written.getvalue()).splitlines()]
    said = [row for row in rows if "2.00" in row]
    assert len(said) == len(planned.trials)
    assert all(row.endswith(" 2.00 Gbit/s") and len(row) <= width for row in said)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_what_is_drawn_fits_the_terminal(width: int) -> None:
    _, console = terminal(width)
    planned = plan("5%", boots=2)
    display = LiveDisplay("uml", console)
    display.stage("Downloading the kernel source (linux-source-7.2 7.2.13-1, 160 MB)", 480)
    display.detail("575 of about 1050 files compiled, now net/ipv6/netfilter/nf_defrag_ipv6_hooks.o", 0.5)
    assert [len(row) <= width for row in drawn(display, width)] == [True, True]
    assert "about 0 s" in drawn(display, width)[0]  # the time is there however long the title is
    display.plan(planned, [])
    display.block(planned.blocks[1])
    display.attempt(planned.trials[3], 2)
    assert [len(row) <= width for row in drawn(display, width)] == [True, True]
    assert "0/38 trials, ends about" in drawn(display, width)[0]


def test_while_traffic_runs_nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DRAWN_EVERY_S", 0.002)
    written, console = terminal()
    planned = plan()

    def draws() -> bool:
        """Return whether anything is drawn within many intervals."""
        before = written.tell()
        for _ in range(200):
            time.sleep(0.005)
            if written.tell() > before:
                return True
        return False

    with LiveDisplay("uml", console) as display:
        display.plan(planned, [])
        display.block(planned.blocks[0])
        display.attempt(planned.trials[0], 1)
        assert draws()
        display.traffic(planned.trials[0])
        time.sleep(0.1)  # a drawing that had begun ends
        assert not draws()
        display.result(planned.trials[0], 1, outcome())
        assert draws()
