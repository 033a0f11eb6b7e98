# SPDX-License-Identifier: Apache-2.0
"""How a campaign tells a person what it does."""

from collections.abc import Sequence
from typing import Protocol

from orchestrator.plan import Block, Plan, Trial
from orchestrator.progress import Progress
from orchestrator.run.scene import Outcome


class CampaignProgress(Progress, Protocol):
    """What the display of a campaign is told beyond a Progress."""

    def plan(self, plan: Plan, finished: Sequence[Trial]) -> None: ...

    def block(self, block: Block) -> None: ...

    def attempt(self, trial: Trial, attempt: int) -> None: ...

    def traffic(self, trial: Trial) -> None: ...

    def bounds(self, trial: Trial, text: str) -> None: ...

    def result(self, trial: Trial, attempt: int, outcome: Outcome) -> None: ...

    def skipped(self, trials: Sequence[Trial]) -> None: ...
