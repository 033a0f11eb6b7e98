# SPDX-License-Identifier: Apache-2.0
"""Progress of a campaign: finished trials, the current work of each testbed, and the remaining time."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.cli.lessons import lessons
from orchestrator.measure.attempt import Outcome
from orchestrator.plan import PROFILE, Block, Plan, Trial, trial_seconds
from orchestrator.plan.noise_floor import NOISE_FLOOR
from orchestrator.spec import SHARED_CPUS, RoleCpus
from orchestrator.spec.cells import more_words
from orchestrator.store import headline


def rate(outcome: Outcome) -> str:
    """Return the rate of an attempt as text with a unit."""
    return str(headline(outcome.measurements, virtual="virtual_time" in outcome.probes) or "-")


def cell(trial: Trial) -> str:
    """Describe the cell of a trial in a few words."""
    levels = trial.levels
    cores = f"{levels.cores} core{'s' * (levels.cores != 1)}"
    if levels.packet_size is not None:
        cores += f", {levels.packet_size}" + " B" * isinstance(levels.packet_size, int)
    further = "".join(f", {word}" for word in more_words(levels.more))
    if trial.kind == "baseline":
        return f"baseline without tunnel, {cores}, {levels.tunnels} address pair{'s' * (levels.tunnels != 1)}{further}"
    what = {"trace": "poll trace, ", PROFILE: "profile, "}.get(trial.kind, "")
    again = " (noise floor)" if trial.kind == NOISE_FLOOR else ""
    return f"{what}{levels.variant}{again}, {cores}, {levels.tunnels} tunnel{'s' * (levels.tunnels != 1)}{further}"


def not_needed(trials: Sequence[Trial]) -> str:
    """Say that the stopping rule made trials unnecessary."""
    return f"stopped early: the intervals are narrow enough; {len(trials)} trials are not needed"


@dataclass
class Work:
    """The current work of a testbed.

    ``text``: the current step in words; ``traffic``: whether traffic is running; ``bounds``: the bounds that a search
    has found so far, as text.
    """

    block: Block | None = None
    trial: Trial | None = None
    text: str = ""
    traffic: bool = False
    bounds: str = ""

    @property
    def rounds(self) -> int:
        return max((trial.round for trial in self.block.trials), default=0) if self.block else 0

    @property
    def place(self) -> str:
        """Return the round or "baseline"; empty without a trial."""
        trial = self.trial
        return "" if trial is None else f"round {trial.round}/{self.rounds}" if trial.round else "baseline"

    @property
    def words(self) -> str:
        if self.trial is None:
            return self.text
        return f"{cell(self.trial)}: {(self.bounds or 'traffic') if self.traffic else self.text}"


class Tracker:
    """The progress of a campaign, the state of each of its testbeds, and the expected end."""

    def __init__(self, provider: str, slots: int | None = None, role_cpus: RoleCpus = SHARED_CPUS) -> None:
        self._lessons = lessons(provider, slots, role_cpus)
        self.plan: Plan | None = None
        self.testbeds = 1
        self.works: dict[str, Work] = {}
        self.done: set[str] = set()
        self.total = 0
        self._remaining_s = 0.0

    def start(self, plan: Plan, finished: Sequence[Trial], testbeds: int) -> None:
        self.plan, self.testbeds = plan, testbeds
        self.total = sum(1 for _ in plan.iterate())
        self._remaining_s = sum(map(self._seconds, plan.iterate())) + self._lessons.prepare_s * len(plan.blocks)
        for trial in finished:
            self.finished(trial)

    def skipped(self, trials: Sequence[Trial]) -> None:
        """Count trials that the stopping rule made unnecessary."""
        for trial in trials:
            if trial.trial_id not in self.done:
                self.total -= 1
                self._remaining_s -= self._seconds(trial)

    def _seconds(self, trial: Trial) -> float:
        return trial_seconds(trial, self._lessons)

    def begin(self, block: Block, testbed: str) -> None:
        for name, work in self.works.items():
            if work.block is not None and work.block.index == block.index:
                self.works[name] = Work()  # it was lost, and the block is continued elsewhere
        self.works[testbed] = Work(block)
        self._remaining_s -= self._lessons.prepare_s

    def of(self, trial: Trial) -> tuple[str, Work]:
        """Return the testbed that measures a trial's block, and its state."""
        for testbed, work in self.works.items():
            if work.block is not None and work.block.index == trial.block:
                return testbed, work
        return "", Work()

    def finished(self, trial: Trial) -> None:
        if trial.trial_id not in self.done:
            self.done.add(trial.trial_id)
            self._remaining_s -= self._seconds(trial)

    def words_of(self, block: Block, testbed: str) -> str:
        """Describe a block in a line: its number, where it is measured, its cores, settings, boot and trials."""
        where = f" on {testbed}" if self.testbeds > 1 else ""
        cores = f"{block.cores} core{'s' * (block.cores != 1)}"
        settings = f", {block.settings_text}" if block.settings_text else ""
        boot = f", boot {block.boot} of {self.boots}" if self.boots > 1 else ""
        return f"block {block.index} of {self.blocks}{where}: {cores}{settings}{boot}, {len(block.trials)} trials"

    @property
    def remaining_s(self) -> float:
        return max(0.0, self._remaining_s) / max(1, min(self.testbeds, self.groups))

    @property
    def blocks(self) -> int:
        return len(self.plan.blocks) if self.plan else 0

    @property
    def boots(self) -> int:
        """Return the number of blocks with the same cells."""
        return self.plan.repetitions.boots if self.plan else 1

    @property
    def groups(self) -> int:
        """Return how many parts of the plan can run on different testbeds; all boots of the same cells stay
        together."""
        return self.blocks // self.boots
