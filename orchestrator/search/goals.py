# SPDX-License-Identifier: Apache-2.0
"""What a search of a packet rate is given, and what it finds."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# The generator keeps a rate roughly: below so much of what was asked, a load is none of that rate.
SHORT = 0.01


@dataclass(frozen=True, slots=True)
class Goal:
    """Of what is offered, how much may be lost: a share of 1."""

    name: str
    loss_ratio: float


NDR = Goal("ndr", 0.0)  # no-drop rate: RFC 2544's throughput
PDR = Goal("pdr", 0.005)  # partial drop rate
GOALS = {goal.name: goal for goal in (NDR, PDR)}


@dataclass(frozen=True, slots=True)
class Offered:
    """What became of one load: packets sent, packets of these lost, and the rate at which they left, in packets/s."""

    sent: int
    lost: int
    offered_pps: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One load that was tried: what was asked for, in packets/s and s, and what became of it."""

    rate_pps: float
    duration_s: float
    offered: Offered

    @property
    def loss_ratio(self) -> float:
        """The share of the sent packets that was lost; 1 where nothing was sent."""
        return self.offered.lost / self.offered.sent if self.offered.sent else 1.0

    @property
    def short(self) -> bool:
        """Whether the generator did not keep the rate, so that the load says nothing about the rate that was asked."""
        return self.offered.offered_pps < self.rate_pps * (1 - SHORT)

    def meets(self, goal: Goal) -> bool:
        """Whether the rate was offered, and no more was lost than the goal allows."""
        return not self.short and self.loss_ratio <= goal.loss_ratio


Measure = Callable[[float, float], Offered]  # (packets/s, s); whatever it raises ends the search
Progress = Callable[[Sequence[Sample]], None]  # is told all samples so far, after each


def _silent(samples: Sequence[Sample]) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True)
class Space:
    """Where and how to search.

    ``min_pps``, ``max_pps``: the loads that may be offered. ``width``: upper / lower - 1 at which the bounds of a goal
    are narrow enough. ``duration_s``: how long a load is offered. ``tries``: so often a load is offered at most; the
    majority decides. ``time_limit_s``: no load begins that would end later.
    """

    min_pps: float
    max_pps: float
    width: float
    duration_s: float
    time_limit_s: float
    tries: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.min_pps < self.max_pps:
            raise ValueError(f"the least load, {self.min_pps:g}/s, is not below the highest, {self.max_pps:g}/s")
        if not 0 < self.width < 1 or self.duration_s <= 0 or self.time_limit_s <= 0 or self.tries < 1:
            raise ValueError("width, durations and tries are above 0")


@dataclass(frozen=True, slots=True)
class Found:
    """The bounds of one goal, in packets/s as they were offered; None where there is none.

    ``reason``: narrow (as narrow as was asked), time (the time limit came first: the bounds are what is known then),
    minimum (the least load misses the goal: there is no lower bound), maximum (the highest load meets it: there is no
    upper bound) or generator (the upper bound is a load that the generator did not keep up with).
    """

    goal: Goal
    lower_pps: float | None
    upper_pps: float | None
    reason: str


class OutOfTime(Exception):
    """The next load would end after the time limit."""


class Trials:
    """The loads of one search, in order: offers each, within the time limit, and remembers it."""

    def __init__(
        self,
        measure: Measure,
        space: Space,
        progress: Progress | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.samples: list[Sample] = []
        self._measure, self._progress, self._clock = measure, progress or _silent, clock
        self._deadline = clock() + space.time_limit_s

    def offer(self, rate_pps: float, duration_s: float) -> Sample:
        """Offer one load. Raises OutOfTime, and whatever the measurement raises."""
        if self._clock() + duration_s > self._deadline:
            raise OutOfTime
        sample = Sample(rate_pps, duration_s, self._measure(rate_pps, duration_s))
        self.samples.append(sample)
        self._progress(self.samples)
        return sample

    def offered_pps(self, rate_pps: float) -> float:
        """The rate at which a load left, on average over its tries, that was asked for at ``rate_pps``."""
        rates = [s.offered.offered_pps for s in self.samples if s.rate_pps == rate_pps and not s.short]
        return sum(rates) / len(rates) if rates else rate_pps
