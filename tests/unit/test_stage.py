# SPDX-License-Identifier: Apache-2.0
"""A long stage without a terminal: a line from time to time, and an estimate that corrects itself."""

import io
import os
from threading import Event

import pytest

from orchestrator.cli import display, stage
from orchestrator.cli.display import LineDisplay
from orchestrator.cli.stage import Heartbeat, Stage


class Clock:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the load of a computer with two cores, as a list of one number."""
    found = [0.5]
    monkeypatch.setattr(os, "getloadavg", lambda: (found[0], 0.0, 0.0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    return found


def test_the_estimate_is_corrected_by_what_is_done(load: list[float]) -> None:
    clock = Clock()
    build = Stage("Building", 480.0, clock)
    clock.s = 60.0
    assert build.words() == "Building: 1:00 so far, about 7 min left"
    build.advance("3 files", 0.01)  # too little to extrapolate
    assert build.whole_s == 480.0
    build.advance("100 files", 0.10)
    assert build.words() == "Building: 1:00 so far, about 9 min left; 100 files"
    clock.s = 300.0
    build.advance("250 files", 0.25)
    assert build.whole_s == 1200.0


def test_a_stage_that_takes_longer_than_expected_says_so_and_what_slows_it_down(load: list[float]) -> None:
    clock = Clock()
    build = Stage("Building", 60.0, clock)
    clock.s = 61.0
    load[0] = 4.2
    assert (
        build.words()
        == "Building: 1:01 so far, longer than estimated; other programs slow this down (load 4.2 on 2 cores)"
    )
    unknown = Stage("Waiting", None, clock)
    load[0] = 2.9
    assert unknown.words() == "Waiting: 0:00 so far"


def test_lines_come_while_a_stage_lasts_and_end_with_it(monkeypatch: pytest.MonkeyPatch, load: list[float]) -> None:
    assert stage.BEAT_S == 30.0
    beats: list[Heartbeat] = []

    def heartbeat(tell: object) -> Heartbeat:
        assert callable(tell)
        beats.append(Heartbeat(tell, 0.001))
        return beats[-1]

    monkeypatch.setattr(display, "Heartbeat", heartbeat)
    told = Event()

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            if "12 files" in text:
                told.set()
            return super().write(text)

    stream = Stream()
    with LineDisplay("uml", stream) as lines:
        lines.stage("Building the lab kernel", 400.0)
        lines.detail("12 files", 0.5)
        assert told.wait(10)
        lines.stage("Booting")
        assert beats[0].ended
        assert not beats[1].ended
    assert beats[1].ended
    said = stream.getvalue().splitlines()
    assert said[0].endswith("Building the lab kernel (about 7 min)")
    assert any("Building the lab kernel: 0:00 so far" in line for line in said)
