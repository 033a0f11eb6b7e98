# SPDX-License-Identifier: Apache-2.0
"""What a person sees while a campaign runs: a live display on a terminal, plain lines elsewhere."""

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

from orchestrator.cli.lessons import lessons
from orchestrator.plan import Block, Plan, Trial, traffic_seconds
from orchestrator.run.scene import Outcome
from orchestrator.store import headline

_MARKS = {"ok": ("✓", "green"), "invalid": ("!", "yellow"), "failed": ("✗", "red")}


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def about(seconds: float) -> str:
    """A duration in words, as an estimate: 'about 8 min'."""
    return f"about {round(seconds)} s" if seconds < 90 else f"about {round(seconds / 60)} min"


def rate(outcome: Outcome) -> str:
    """What an attempt carried, for reading."""
    return str(headline(outcome.measurements) or "-")


def cell(trial: Trial) -> str:
    """A trial's cell in a few words."""
    levels = trial.levels
    cores = f"{levels.cores} core{'s' * (levels.cores != 1)}"
    if levels.packet_size is not None:
        cores += f", {levels.packet_size}" + " B" * isinstance(levels.packet_size, int)
    if trial.kind == "baseline":
        return f"baseline, no tunnel, {cores}, {levels.tunnels} stream group{'s' * (levels.tunnels != 1)}"
    what = "trace of polls, " if trial.kind == "trace" else ""
    return f"{what}{levels.variant}, {cores}, {levels.tunnels} tunnel{'s' * (levels.tunnels != 1)}"


class Tracker:
    """How far a campaign is and when it should end."""

    def __init__(self, provider: str) -> None:
        self._lessons = lessons(provider)
        self.plan: Plan | None = None
        self.block: Block | None = None
        self.done: set[str] = set()
        self.total = 0
        self._remaining_s = 0.0

    def start(self, plan: Plan, finished: Sequence[Trial]) -> None:
        self.plan = plan
        self.total = sum(1 for _ in plan.iterate())
        self._remaining_s = sum(map(self._seconds, plan.iterate())) + self._lessons.prepare_s * len(plan.blocks)
        for trial in finished:
            self.finished(trial)

    def skipped(self, trials: Sequence[Trial]) -> None:
        """Trials that the stopping rule made unnecessary."""
        for trial in trials:
            if trial.trial_id not in self.done:
                self.total -= 1
                self._remaining_s -= self._seconds(trial)

    def _seconds(self, trial: Trial) -> float:
        return traffic_seconds(trial.traffic) + self._lessons.overhead_s

    def prepared(self) -> None:
        self._remaining_s -= self._lessons.prepare_s

    def finished(self, trial: Trial) -> None:
        if trial.trial_id not in self.done:
            self.done.add(trial.trial_id)
            self._remaining_s -= self._seconds(trial)

    @property
    def remaining_s(self) -> float:
        return max(0.0, self._remaining_s)

    @property
    def rounds(self) -> int:
        return max((trial.round for trial in self.block.trials), default=0) if self.block else 0

    @property
    def blocks(self) -> int:
        return len(self.plan.blocks) if self.plan else 0


class LineDisplay:
    """A line an event, with the time since the start: for logs and pipes."""

    def __init__(self, provider: str, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._began = time.monotonic()
        self._tracker = Tracker(provider)

    def __enter__(self) -> "LineDisplay":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def _say(self, text: str) -> None:
        print(f"[{clock(time.monotonic() - self._began):>7}] {text}", file=self._stream, flush=True)

    def stage(self, title: str, estimate_s: float | None = None) -> None:
        if title:
            self._say(title + (f" ({about(estimate_s)})" if estimate_s else ""))

    def detail(self, text: str) -> None: ...

    def message(self, text: str) -> None:
        self._say(text)

    def ask(self, lines: Sequence[str], question: str, choices: Sequence[str]) -> str:
        """The last of ``choices``: nobody is there to answer."""
        return choices[-1]

    def plan(self, plan: Plan, finished: Sequence[Trial]) -> None:
        tracker = self._tracker
        tracker.start(plan, finished)
        already = f"; {len(tracker.done)} are ok already" if finished else ""
        most = "at most " if plan.repetitions.width else ""
        self._say(f"{most}{tracker.total} trials in {len(plan.blocks)} blocks, {about(tracker.remaining_s)}{already}")

    def skipped(self, trials: Sequence[Trial]) -> None:
        self._tracker.skipped(trials)
        if trials:
            self._say(f"  enough: the intervals are narrow; {len(trials)} trials are not needed")

    def block(self, block: Block) -> None:
        self._tracker.block = block
        self._tracker.prepared()
        cores = f"{block.cores} core{'s' * (block.cores != 1)}"
        self._say(f"block {block.index} of {self._tracker.blocks}: {cores}, {len(block.trials)} trials")

    def attempt(self, trial: Trial, attempt: int) -> None: ...

    def traffic(self, trial: Trial) -> None: ...

    def bounds(self, trial: Trial, text: str) -> None:
        self._say(f"    {cell(trial)}: {text}")

    def result(self, trial: Trial, attempt: int, outcome: Outcome) -> None:
        self._tracker.finished(trial)
        where = f"{trial.order}/{self._tracker.total} round {trial.round}"
        again = f", attempt {attempt}" if attempt > 1 else ""
        said = f": {'; '.join(outcome.reasons)}" if outcome.reasons else ""
        marked = f" [{'; '.join(outcome.marks)}]" if outcome.marks else ""
        value = rate(outcome)
        self._say(f"  {where} {cell(trial)}{again}: {outcome.status} {value}{said}{marked}")


class LiveDisplay:
    """The display on a terminal: stage, block, round, trial, estimated end, and the latest results."""

    def __init__(self, provider: str, console: Console) -> None:
        self._console = console
        self._tracker = Tracker(provider)
        self._began = time.monotonic()
        self._stage = ""
        self._stage_began = self._began
        self._estimate_s: float | None = None
        self._detail = ""
        self._trial: Trial | None = None
        self._traffic_began: float | None = None
        self._bounds = ""
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
        if self._stage and self._trial is None:
            self._console.print(f"[green]✓[/] {escape(self._stage)} [dim]{clock(self._stage_s)}[/]")
        self._stage, self._estimate_s, self._detail = title, estimate_s, ""
        self._stage_began = time.monotonic()
        self._trial = None

    def detail(self, text: str) -> None:
        self._detail = text

    def message(self, text: str) -> None:
        self._console.print(Text(text, style="yellow"))

    def ask(self, lines: Sequence[str], question: str, choices: Sequence[str]) -> str:
        """What the user chooses; the last of ``choices`` where nobody can answer."""
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

    def plan(self, plan: Plan, finished: Sequence[Trial]) -> None:
        self.stage("")
        self._tracker.start(plan, finished)

    def skipped(self, trials: Sequence[Trial]) -> None:
        self._tracker.skipped(trials)

    def block(self, block: Block) -> None:
        self._tracker.block = block
        self._tracker.prepared()
        self._trial, self._traffic_began = None, None

    def attempt(self, trial: Trial, attempt: int) -> None:
        self._trial, self._traffic_began, self._bounds = trial, None, ""
        self._detail = "setting up" + (f", attempt {attempt}" if attempt > 1 else "")

    def traffic(self, trial: Trial) -> None:
        self._traffic_began = time.monotonic()
        self._live.refresh()  # the last one before the traffic: drawing costs processor time that the lab needs
        self._live.auto_refresh = False

    def bounds(self, trial: Trial, text: str) -> None:
        self._bounds = text
        self._live.refresh()  # between two loads

    def result(self, trial: Trial, attempt: int, outcome: Outcome) -> None:
        self._live.auto_refresh = True
        self._traffic_began = None
        self._tracker.finished(trial)
        mark, style = _MARKS[outcome.status]
        line = Text(f"{mark} ", style=style)
        line.append(f"{cell(trial):<42}", style="default")
        line.append(f"{rate(outcome):>14}", style="bold")
        if outcome.reasons:
            line.append(f"  {outcome.status}: {'; '.join(outcome.reasons)}", style=style)
        self._recent.append(line)

    # --- how it looks ---

    @property
    def _stage_s(self) -> float:
        return time.monotonic() - self._stage_began

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = list(self._recent)
        if self._tracker.plan is None or (self._stage and self._trial is None):
            parts.append(self._stage_line())
        else:
            parts.append(self._campaign_lines())
        return Group(*parts)

    def _stage_line(self) -> RenderableType:
        row = Table.grid(padding=(0, 1))
        spent = self._stage_s
        if self._estimate_s:
            share = min(0.99, spent / self._estimate_s)
            ends = f"{clock(spent)} of {about(self._estimate_s)}"
            row.add_row("[cyan]●[/]", escape(self._stage), ProgressBar(100, share * 100, width=24), ends)
        else:
            row.add_row("[cyan]●[/]", escape(self._stage), clock(spent))
        return Group(row, Text(f"  {self._detail}", style="dim")) if self._detail else row

    def _campaign_lines(self) -> RenderableType:
        tracker, trial = self._tracker, self._trial
        block = tracker.block
        row = Table.grid(padding=(0, 1))
        left = tracker.remaining_s
        ends = time.strftime("%H:%M", time.localtime(time.time() + left))
        row.add_row(
            "[cyan]●[/]",
            ProgressBar(max(1, tracker.total), len(tracker.done), width=30),
            f"{len(tracker.done)}/{tracker.total} trials",
            f"block {block.index}/{tracker.blocks}" if block else "",
            f"round {trial.round}/{tracker.rounds}" if trial and trial.round else "baseline" if trial else "",
            f"[dim]ends about {ends} (in {clock(left)})[/]",
        )
        what = self._detail
        if trial:
            state = (self._bounds or "traffic") if self._traffic_began else self._detail
            what = f"{cell(trial)}: {state}"
        return Group(row, Text(f"  {what}", style="dim"))
