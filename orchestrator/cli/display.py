# SPDX-License-Identifier: Apache-2.0
"""The progress of a running campaign: a live display on a terminal, plain lines elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.prompt import Prompt
from rich.table import Table
from rich.text import Text

from orchestrator.cli.stage import Heartbeat, Stage, about, clock
from orchestrator.cli.tracking import Tracker, Work, cell, rate
from orchestrator.measure.attempt import Outcome
from orchestrator.plan import Block, Plan, Trial
from orchestrator.spec import SHARED_CPUS, RoleCpus

_ANSI = {"green": "\x1b[32m", "yellow": "\x1b[33m", "red": "\x1b[31m"}
_MARKS = {"ok": ("✓", "green"), "invalid": ("!", "yellow"), "failed": ("✗", "red")}


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

    def _say(self, text: str, colour: str = "") -> None:
        if colour and self._colours:
            text = f"{_ANSI[colour]}{text}\x1b[0m"
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
        self._say(text, "yellow")

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
            self._say(f"  stopped early: the intervals are narrow enough; {len(trials)} trials are not needed")

    def block(self, block: Block, testbed: str = "") -> None:
        self.stage("")
        self._tracker.begin(block, testbed)
        cores = f"{block.cores} core{'s' * (block.cores != 1)}"
        settings = f", {block.settings_text}" if block.settings_text else ""
        where = f" on {testbed}" if self._tracker.testbeds > 1 else ""
        boot = f", boot {block.boot} of {self._tracker.boots}" if self._tracker.boots > 1 else ""
        self._say(
            f"block {block.index} of {self._tracker.blocks}{where}: {cores}{settings}{boot}, {len(block.trials)} trials"
        )

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
        self._say(line, _MARKS[outcome.status][1])


class LiveDisplay:
    """The display on a terminal: stage, block, round, trial, estimated end, and the latest results.

    ``slots``, ``role_cpus``: those of a testbed in virtual time.
    """

    def __init__(
        self, provider: str, console: Console, slots: int | None = None, role_cpus: RoleCpus = SHARED_CPUS
    ) -> None:
        self._console = console
        self._tracker = Tracker(provider, slots, role_cpus)
        self._stage = Stage()
        self._measuring = False
        self._recent: deque[Text] = deque(maxlen=8)
        self._live = Live(self, console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> "LiveDisplay":
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    # --- what happens ---

    def stage(self, title: str, estimate_s: float | None = None) -> None:
        if self._stage.title and not self._measuring:
            self._console.print(f"[green]✓[/] {escape(self._stage.title)} [dim]{clock(self._stage.spent_s)}[/]")
        self._stage = Stage(title, estimate_s)
        self._measuring = False

    def detail(self, text: str, share: float | None = None) -> None:
        self._stage.advance(text, share)

    def message(self, text: str) -> None:
        self._console.print(Text(text, style="yellow"))

    def ask(self, lines: Sequence[str], question: str, choices: Sequence[str]) -> str:
        """Return the user's choice, or the last of ``choices`` if nobody can answer."""
        if not sys.stdin.isatty():
            return choices[-1]
        self._live.stop()
        try:
            for line in lines:
                self._console.print(Text(line))
            return Prompt.ask(question, choices=list(choices), default=choices[-1], console=self._console)
        except EOFError:
            return choices[-1]
        finally:
            self._live.start()

    def plan(self, plan: Plan, finished: Sequence[Trial], testbeds: int = 1) -> None:
        self.stage("")
        self._tracker.start(plan, finished, testbeds)

    def skipped(self, trials: Sequence[Trial]) -> None:
        self._tracker.skipped(trials)

    def block(self, block: Block, testbed: str = "") -> None:
        self._tracker.begin(block, testbed)
        self._measuring = True

    def doing(self, testbed: str, text: str) -> None:
        work = self._tracker.works.get(testbed)
        if work is None:
            self.detail(f"{testbed}: {text}")
        else:
            work.trial, work.text = None, text

    def attempt(self, trial: Trial, attempt: int) -> None:
        _, work = self._tracker.of(trial)
        work.bounds = ""
        work.trial, work.text = trial, "setting up" + (f", attempt {attempt}" if attempt > 1 else "")

    def traffic(self, trial: Trial) -> None:
        self._tracker.of(trial)[1].traffic = True
        self._live.refresh()  # the last one before the traffic: drawing costs processor time that the lab needs
        self._live.auto_refresh = False

    def bounds(self, trial: Trial, text: str) -> None:
        self._tracker.of(trial)[1].bounds = text
        self._live.refresh()  # between two loads

    def result(self, trial: Trial, attempt: int, outcome: Outcome) -> None:
        testbed, work = self._tracker.of(trial)
        work.traffic = False
        self._live.auto_refresh = not any(work.traffic for work in self._tracker.works.values())
        self._tracker.finished(trial)
        mark, style = _MARKS[outcome.status]
        line = Text(f"{mark} ", style=style)
        if self._tracker.testbeds > 1:
            line.append(f"{testbed}  ", style="dim")
        line.append(f"{cell(trial):<42}", style="default")
        line.append(f"{rate(outcome):>14}", style="bold")
        if outcome.reasons:
            line.append(f"  {outcome.status}: {'; '.join(outcome.reasons)}", style=style)
        self._recent.append(line)

    # --- how it looks ---

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = list(self._recent)
        if self._tracker.plan is None or (self._stage.title and not self._measuring):
            parts.append(self._stage_line())
        else:
            parts.append(self._campaign_lines())
        return Group(*parts)

    def _stage_line(self) -> RenderableType:
        row = Table.grid(padding=(0, 1))
        stage = self._stage
        title, spent, whole = escape(stage.title), stage.spent_s, stage.whole_s
        if whole:
            share = min(0.99, spent / whole)
            row.add_row(
                "[cyan]●[/]", title, ProgressBar(100, share * 100, width=24), f"{clock(spent)} of {about(whole)}"
            )
        else:
            row.add_row("[cyan]●[/]", title, clock(spent))
        return Group(row, Text(f"  {stage.detail}", style="dim")) if stage.detail else row

    def _campaign_lines(self) -> RenderableType:
        tracker = self._tracker
        alone = next(iter(tracker.works.values()), Work()) if tracker.testbeds == 1 else None
        row = Table.grid(padding=(0, 1))
        left = tracker.remaining_s
        ends = time.strftime("%H:%M", time.localtime(time.time() + left))
        row.add_row(
            "[cyan]●[/]",
            ProgressBar(max(1, tracker.total), len(tracker.done), width=30),
            f"{len(tracker.done)}/{tracker.total} trials",
            self._block_of(alone) if alone else "",
            alone.place if alone else "",
            f"[dim]ends about {ends} (in {clock(left)})[/]",
        )
        if alone:
            return Group(row, Text(f"  {alone.words or self._stage.detail}", style="dim"))
        works = Table.grid(padding=(0, 2, 0, 0))
        for testbed, work in tracker.works.items():
            works.add_row(f"  {escape(testbed)}", self._block_of(work), work.place, Text(work.words, style="dim"))
        return Group(row, works)

    def _block_of(self, work: Work) -> str:
        if work.block is None:
            return ""
        boot = f", boot {work.block.boot}/{self._tracker.boots}" if self._tracker.boots > 1 else ""
        return f"block {work.block.index}/{self._tracker.blocks}{boot}"
