# SPDX-License-Identifier: Apache-2.0
"""How a campaign tells a person what it does."""

from collections.abc import Sequence
from typing import Protocol

from orchestrator.measure.attempt import Outcome
from orchestrator.plan import Block, Plan, Trial
from orchestrator.progress import Progress


class CampaignProgress(Progress, Protocol):
    """What the display of a campaign is told beyond a Progress."""

    def plan(self, plan: Plan, finished: Sequence[Trial], testbeds: int) -> None:
        """What is to be done, on how many testbeds at the same time, and what of it is done already."""

    def block(self, block: Block, testbed: str) -> None:
        """A testbed has a block from now on."""

    def doing(self, testbed: str, text: str) -> None:
        """What a testbed is doing now; the next text, or attempt, replaces it."""

    def attempt(self, trial: Trial, attempt: int) -> None: ...

    def traffic(self, trial: Trial) -> None: ...

    def bounds(self, trial: Trial, text: str) -> None: ...

    def result(self, trial: Trial, attempt: int, outcome: Outcome) -> None: ...

    def skipped(self, trials: Sequence[Trial]) -> None: ...


class Named:
    """What is told about one testbed of a pool, with its name."""

    def __init__(self, progress: CampaignProgress, testbed: str) -> None:
        self._progress, self._testbed = progress, testbed

    def stage(self, title: str, estimate_s: float | None = None) -> None:
        self._progress.stage(f"{self._testbed}: {title}" if title else "", estimate_s)

    def detail(self, text: str, share: float | None = None) -> None:
        self._progress.doing(self._testbed, text)

    def message(self, text: str) -> None:
        self._progress.message(f"{self._testbed}: {text}")
