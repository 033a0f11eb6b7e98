# SPDX-License-Identifier: Apache-2.0
"""A campaign on a terminal: finished trials are lines that stay, and the lines below them show what runs now."""

import sys
import textwrap
import time
from collections.abc import Sequence
from types import TracebackType

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.prompt import Prompt
from rich.table import Table
from rich.text import Text

from orchestrator.cli.stage import Heartbeat, Stage, about, clock
from orchestrator.cli.tracking import Tracker, Work, cell, not_needed, rate
from orchestrator.measure.attempt import Outcome
from orchestrator.plan import Block, Plan, Trial
from orchestrator.spec import SHARED_CPUS, RoleCpus

_DRAWN_EVERY_S = 0.25
_BAR, _SHORTEST_BAR = 24, 6  # characters
_CELL, _RATE = 50, 14  # characters: the columns of finished trials where the terminal is wide enough
_INDENT = "    "
_MARKS = {"ok": ("✓", "green"), "invalid": ("!", "yellow"), "failed": ("✗", "red")}


class LiveDisplay:
    """The display on a terminal. Each finished stage, block and trial becomes a line that stays; the lines below show
    the current stage, or the current trial and the estimated end.

    ``slots``, ``role_cpus``: those of a testbed in virtual time.
    """

    def __init__(
        self, provider: str, console: Console, slots: int | None = None, role_cpus: RoleCpus = SHARED_CPUS
    ) -> None:
        self._console = console
        self._tracker = Tracker(provider, slots, role_cpus)
        self._stage = Stage()
        self._measuring = False
        self._still = False  # whether nothing is drawn: traffic runs, or a question is asked
        self._live = Live(self, console=console, auto_refresh=False, transient=True)
        self._heartbeat: Heartbeat | None = None

    def __enter__(self) -> "LiveDisplay":
        self._live.__enter__()
        self._heartbeat = Heartbeat(self._draw, _DRAWN_EVERY_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._still = True
        if self._heartbeat:
            self._heartbeat.stop()
        self._live.__exit__(kind, error, trace)

    def _draw(self) -> None:
        if not self._still:
            self._live.refresh()

    def _keep(self, *lines: Text) -> None:
        """Print lines above what is drawn. They stay."""
        self._console.print(*lines, sep="\n")

    # --- what happens ---

    def stage(self, title: str, estimate_s: float | None = None) -> None:
        if self._stage.title and not self._measuring:
            ended = Text.assemble(("✓ ", "green"), self._stage.title, (f" {clock(self._stage.spent_s)}", "dim"))
            self._keep(ended)
        self._stage = Stage(title, estimate_s)
        self._measuring = False

    def detail(self, text: str, share: float | None = None) -> None:
        self._stage.advance(text, share)

    def message(self, text: str) -> None:
        self._keep(Text(text, style="yellow"))

    def ask(self, lines: Sequence[str], question: str, choices: Sequence[str]) -> str:
        """Return the user's choice, or the last of ``choices`` if nobody can answer."""
        if not sys.stdin.isatty():
            return choices[-1]
        before, self._still = self._still, True
        self._live.stop()
        try:
            self._keep(*map(Text, lines))
            return Prompt.ask(question, choices=list(choices), default=choices[-1], console=self._console)
        except EOFError:
            return choices[-1]
        finally:
            self._live.start()
            self._still = before

    def plan(self, plan: Plan, finished: Sequence[Trial], testbeds: int = 1) -> None:
        self.stage("")
        self._tracker.start(plan, finished, testbeds)

    def skipped(self, trials: Sequence[Trial]) -> None:
        self._tracker.skipped(trials)
        if trials:
            self._keep(Text(not_needed(trials), style="dim"))

    def block(self, block: Block, testbed: str = "") -> None:
        self._tracker.begin(block, testbed)
        self._measuring = True
        self._keep(Text(self._tracker.words_of(block, testbed), style="dim"))

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
        self._still = True

    def bounds(self, trial: Trial, text: str) -> None:
        self._tracker.of(trial)[1].bounds = text
        self._live.refresh()  # between two loads

    def result(self, trial: Trial, attempt: int, outcome: Outcome) -> None:
        testbed, work = self._tracker.of(trial)
        work.traffic = False
        self._still = any(work.traffic for work in self._tracker.works.values())
        self._tracker.finished(trial)
        mark, style = _MARKS[outcome.status]
        line = Text.assemble((f"{mark} ", style))
        if self._tracker.testbeds > 1:
            line.append(f"{testbed}  ", style="dim")
        name, number = cell(trial), rate(outcome)
        wanted = max(_CELL + _RATE, len(name) + 1 + len(number))
        columns = min(wanted, self._console.width - line.cell_len)
        fits = len(name) + len(number) < columns
        line.append(name).append(number.rjust(columns - len(name)) if fits else "", style="bold")
        said = [(number, "bold")] if number and not fits else []
        said += [(f"{outcome.status}: {'; '.join(outcome.reasons)}", style)] if outcome.reasons else []
        said += [(f"marked: {'; '.join(outcome.marks)}", "yellow")] if outcome.marks else []
        width = max(20, self._console.width - len(_INDENT))
        below = [Text(_INDENT + part, how) for text, how in said for part in textwrap.wrap(text, width)]
        self._keep(line, *below)

    # --- how it looks ---

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._tracker.plan is None or (self._stage.title and not self._measuring):
            yield from self._stage_lines(options.max_width)
        else:
            yield from self._campaign_lines(options.max_width)

    def _stage_lines(self, width: int) -> RenderResult:
        stage = self._stage
        spent, whole = stage.spent_s, stage.whole_s
        time_of = clock(spent) + (f" of {about(whole)}" if whole else "")
        yield _row(width, stage.title, min(0.99, spent / whole) if whole else None, time_of)
        if stage.detail:
            yield _fitting(f"  {stage.detail}")

    def _campaign_lines(self, width: int) -> RenderResult:
        tracker = self._tracker
        left = tracker.remaining_s
        ends = time.strftime("%H:%M", time.localtime(time.time() + left))
        ended = f"{len(tracker.done)}/{tracker.total} trials, ends about {ends} (in {clock(left)})"
        yield _row(width, "", len(tracker.done) / max(1, tracker.total), ended)
        if tracker.testbeds == 1:
            alone = next(iter(tracker.works.values()), Work())
            words = ": ".join(filter(None, (self._place_of(alone), alone.words or self._stage.detail)))
            yield _fitting(f"  {words}")
            return
        works = Table.grid(padding=(0, 2, 0, 0))
        for testbed, work in list(tracker.works.items()):  # another thread may add one
            works.add_row(Text(f"  {testbed}", no_wrap=True), _fitting(f"{self._place_of(work)}  {work.words}"))
        yield works

    def _place_of(self, work: Work) -> str:
        """Return the block, boot and round of a testbed's work."""
        if work.block is None:
            return ""
        boot = f"boot {work.block.boot}/{self._tracker.boots}" if self._tracker.boots > 1 else ""
        return ", ".join(filter(None, (f"block {work.block.index}/{self._tracker.blocks}", boot, work.place)))


def _fitting(text: str) -> Text:
    """Return a dim text of one line, which is cut off where there is no room for it."""
    return Text(text, style="dim", no_wrap=True, overflow="ellipsis")


def _row(width: int, title: str, share: float | None, ending: str) -> Text:
    """Return one line: a title, a bar of a share (0 to 1) as long as there is room, and an ending."""
    row = Text("● ", style="cyan", no_wrap=True, overflow="ellipsis")
    if title:
        shown = Text(title, style="default")
        shown.truncate(max(8, width - cell_len(ending) - 3), overflow="ellipsis")
        row.append_text(shown).append(" ")
    room = width - row.cell_len - cell_len(ending) - 1
    if share is not None and room >= _SHORTEST_BAR:
        length = min(_BAR, room)
        done = round(length * share)
        row.append("━" * done).append("─" * (length - done), style="dim").append(" ")
    return row.append(ending, style="default dim")
