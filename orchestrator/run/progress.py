# SPDX-License-Identifier: Apache-2.0
"""How a campaign reports its progress to a person."""

from collections.abc import Sequence
from typing import Protocol

from orchestrator.measure.attempt import Outcome
from orchestrator.plan import Block, Plan, Trial
from orchestrator.progress import Progress


class CampaignProgress(Progress, Protocol):
    """A Progress that can also display a campaign."""

    def plan(self, plan: Plan, finished: Sequence[Trial], testbeds: int) -> None:
        """Begin: show the plan, which trials are finished already, and the number of testbeds that work at the same
        time."""

    def block(self, block: Block, testbed: str) -> None:
        """Note that a testbed begins a block."""

    def doing(self, testbed: str, text: str) -> None:
        """Show what a testbed is doing, until the next text or attempt replaces it."""

    def attempt(self, trial: Trial, attempt: int) -> None: ...

    def traffic(self, trial: Trial) -> None: ...

    def bounds(self, trial: Trial, text: str) -> None: ...

    def result(self, trial: Trial, attempt: int, outcome: Outcome) -> None: ...

    def skipped(self, trials: Sequence[Trial]) -> None: ...


class MemberProgress:
    """A Progress for one testbed of a pool, which adds its name to what is shown."""

    def __init__(self, progress: CampaignProgress, testbed: str) -> None:
        self._progress, self._testbed = progress, testbed

    def stage(self, title: str, estimate_s: float | None = None) -> None:
        self._progress.stage(f"{self._testbed}: {title}" if title else "", estimate_s)

    def detail(self, text: str, share: float | None = None) -> None:
        self._progress.doing(self._testbed, text)

    def message(self, text: str) -> None:
        self._progress.message(f"{self._testbed}: {text}")
