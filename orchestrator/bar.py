# SPDX-License-Identifier: Apache-2.0
"""Progress of a run: a bar in a notebook, and elsewhere one line per message and trial on standard error."""

import html
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from orchestrator.measure.attempt import Outcome
    from orchestrator.plan import Block, Plan, Trial


def _handle() -> Any:
    """Return IPython's handle for the bar's output; None outside a notebook."""
    if "ipykernel" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython
    from IPython.display import HTML, display

    return display(HTML(""), display_id=True) if get_ipython() is not None else None


class Bar:
    """The progress of a run, as a context manager."""

    def __init__(self) -> None:
        self._handle = _handle()
        self._total = self._done = 0
        self._counts: dict[str, int] = {}
        self._now = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._show("" if exception[0] is None else "broken off")

    def stage(self, title: str, estimate_s: float | None = None) -> None:
        if title:
            self.message(title)

    def detail(self, text: str, share: float | None = None) -> None:
        if self._handle is not None:
            self._show(text)

    def message(self, text: str) -> None:
        if self._handle is None:
            print(f"orch: {text}", file=sys.stderr, flush=True)
        self._show(text)

    def ask(self, lines: Sequence[str], question: str, choices: Sequence[str]) -> str:
        del lines, question
        return choices[-1]

    def plan(self, plan: "Plan", finished: "Sequence[Trial]", testbeds: int) -> None:
        self._total, self._done = sum(len(block.trials) for block in plan.blocks), len(finished)
        self._show("")

    def block(self, block: "Block", testbed: str) -> None:
        self._show(f"block {block.index}")

    def doing(self, testbed: str, text: str) -> None:
        self._show(text)

    def attempt(self, trial: "Trial", attempt: int) -> None:
        self._show(f"{'' if trial.kind == 'measure' else trial.kind + ': '}{trial.levels}")

    def traffic(self, trial: "Trial") -> None: ...

    def bounds(self, trial: "Trial", text: str) -> None: ...

    def result(self, trial: "Trial", attempt: int, outcome: "Outcome") -> None:
        self._counts[outcome.status] = self._counts.get(outcome.status, 0) + 1
        if outcome.status == "ok":
            self._done += 1
        if outcome.status != "ok":
            self.message(f"{trial.trial_id}: {outcome.status}: {'; '.join(outcome.reasons)}")
        self._show(self._now)

    def skipped(self, trials: "Sequence[Trial]") -> None:
        self._total -= len(trials)
        self._show(self._now)

    @property
    def text(self) -> str:
        """Return the progress in words."""
        bad = "".join(
            f", {count} attempt{'s' * (count != 1)} {name}"
            for name, count in sorted(self._counts.items())
            if name != "ok"
        )
        told = f"{self._done} of {self._total} trials ok{bad}" if self._total else ""
        return "; ".join(filter(None, (told, self._now)))

    def _show(self, now: str) -> None:
        self._now = now
        if self._handle is None:
            return
        from IPython.display import HTML

        bar = f'<progress value="{self._done}" max="{max(self._total, 1)}"></progress> '
        self._handle.update(HTML(bar + html.escape(self.text)))
