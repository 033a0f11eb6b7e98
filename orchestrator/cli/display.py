# SPDX-License-Identifier: Apache-2.0
"""The progress of a running campaign as plain lines, for logs and pipes; `orchestrator.cli.live` is for terminals."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TextIO

from orchestrator.cli.stage import Heartbeat, Stage, about, clock
from orchestrator.cli.tracking import Tracker, cell, not_needed, rate
from orchestrator.measure.attempt import Outcome
from orchestrator.plan import Block, Plan, Trial
from orchestrator.spec import SHARED_CPUS, RoleCpus

_ANSI = {"ok": "\x1b[32m", "invalid": "\x1b[33m", "failed": "\x1b[31m"}


class LineDisplay:
    """Prints one line per event, with the time since the start, for logs and pipes.

    ``slots``, ``role_cpus``: those of a testbed in virtual time. ``colours``: whether the colour of a line shows the
    outcome of its trial.
    """

    def __init__(
        self,
        provider: str,
        stream: TextIO | None = None,
        slots: int | None = None,
        role_cpus: RoleCpus = SHARED_CPUS,
        colours: bool = False,
    ) -> None:
        self._stream = stream or sys.stderr
        self._colours = colours
        self._began = time.monotonic()
        self._tracker = Tracker(provider, slots, role_cpus)
        self._stage = Stage()
        self._heartbeat: Heartbeat | None = None

    def __enter__(self) -> "LineDisplay":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stage("")

    def _say(self, text: str, like: str = "") -> None:
        if like and self._colours:
            text = f"{_ANSI[like]}{text}\x1b[0m"
        print(f"[{clock(time.monotonic() - self._began):>7}] {text}", file=self._stream, flush=True)

    def stage(self, title: str, estimate_s: float | None = None) -> None:
        if self._heartbeat:
            self._heartbeat.stop()
            self._heartbeat = None
        if title:
            self._say(title + (f" ({about(estimate_s)})" if estimate_s else ""))
            stage = self._stage = Stage(title, estimate_s)
            self._heartbeat = Heartbeat(lambda: self._say(f"  {stage.words()}"))

    def detail(self, text: str, share: float | None = None) -> None:
        self._stage.advance(text, share)

    def message(self, text: str) -> None:
        self._say(text, "invalid")

    def ask(self, lines: Sequence[str], question: str, choices: Sequence[str]) -> str:
        """Return the last of ``choices``, because nobody can answer."""
        return choices[-1]

    def plan(self, plan: Plan, finished: Sequence[Trial], testbeds: int = 1) -> None:
        self.stage("")
        tracker = self._tracker
        tracker.start(plan, finished, testbeds)
        already = f"; {len(tracker.done)} already ok" if finished else ""
        most = "at most " if plan.repetitions.width else ""
        beds = f" on {testbeds} testbeds" if testbeds > 1 else ""
        blocks = f"{len(plan.blocks)} block{'s' * (len(plan.blocks) != 1)}{beds}"
        self._say(f"{most}{tracker.total} trials in {blocks}, {about(tracker.remaining_s)}{already}")

    def skipped(self, trials: Sequence[Trial]) -> None:
        self._tracker.skipped(trials)
        if trials:
            self._say(f"  {not_needed(trials)}")

    def block(self, block: Block, testbed: str = "") -> None:
        self.stage("")
        self._tracker.begin(block, testbed)
        self._say(self._tracker.words_of(block, testbed))

    def doing(self, testbed: str, text: str) -> None: ...

    def attempt(self, trial: Trial, attempt: int) -> None:
        self.stage("")

    def traffic(self, trial: Trial) -> None: ...

    def bounds(self, trial: Trial, text: str) -> None:
        self._say(f"    {cell(trial)}: {text}")

    def result(self, trial: Trial, attempt: int, outcome: Outcome) -> None:
        self._tracker.finished(trial)
        where = f"{trial.order}/{self._tracker.total} round {trial.round}"
        if self._tracker.testbeds > 1:
            where += f" {self._tracker.of(trial)[0]}:"
        again = f", attempt {attempt}" if attempt > 1 else ""
        said = f": {'; '.join(outcome.reasons)}" if outcome.reasons else ""
        marked = f" [{'; '.join(outcome.marks)}]" if outcome.marks else ""
        value = rate(outcome)
        line = f"  {where} {cell(trial)}{again}: {outcome.status} {value}{said}{marked}"
        self._say(line, outcome.status)
