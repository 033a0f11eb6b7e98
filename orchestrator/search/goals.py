# SPDX-License-Identifier: Apache-2.0
"""What a search of a packet rate is given, and what it finds."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# The generator keeps a rate on average, and less where its processor pauses: below so much less than what was asked, a
# load is none of that rate.
SHORT = 0.1
_ROOM = 0.8  # of the width that ends a search: what loads that are asked for may differ by


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

    def kept(self, width: float) -> bool:
        """Whether the load was sent as it was asked for, but for a share ``width`` at most."""
        return self.offered.offered_pps >= self.rate_pps * (1 - width)

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
    are narrow enough. ``duration_s``: how long a load is offered; ``final_duration_s``: the same of those that decide,
    where it is longer (RFC 2544, section 24, asks for 60 s). ``tries``: so often a load is offered at most; the
    majority decides. ``time_limit_s``: no load begins that would end later.
    """

    min_pps: float
    max_pps: float
    width: float
    duration_s: float
    time_limit_s: float
    tries: int = 1
    final_duration_s: float | None = None

    @property
    def final_s(self) -> float:
        """How long the loads are offered that decide."""
        return self.final_duration_s or self.duration_s

    @property
    def closest(self) -> float:
        """How far apart the loads that are asked for may be in the end: less than ``width``, since those that are sent
        differ a little from them."""
        return _ROOM * self.width

    def __post_init__(self) -> None:
        if not 0 < self.min_pps < self.max_pps:
            raise ValueError(f"the least load, {self.min_pps:g}/s, is not below the highest, {self.max_pps:g}/s")
        if not 0 < self.width < 1 or self.duration_s <= 0 or self.time_limit_s <= 0 or self.tries < 1:
            raise ValueError("width, durations and tries are above 0")
        if self.final_s < self.duration_s:
            raise ValueError(f"loads of {self.final_s:g} s cannot decide what takes {self.duration_s:g} s")


@dataclass(frozen=True, slots=True)
class Found:
    """The bounds of one goal, in packets/s, as they were offered and never as they were asked for; None where there is
    none. The lower one met the goal, and the upper one is the lowest above it that missed it: of loads that were sent
    about as they were asked for, where there are such, so that a generator that pauses makes bounds wider, not wrong.

    ``reason``: narrow (as narrow as was asked), time (the time limit came first: the bounds are what is known then),
    minimum (the least load misses the goal: there is no lower bound), maximum (the highest load meets it: there is no
    upper bound), generator (above the lower bound the generator did not keep up) or uneven (loads were not sent as they
    were asked for, so that the bounds are farther apart).
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
        """The rate at which a load left, on average over the longest of its tries, that was asked for at
        ``rate_pps``."""
        tries = [sample for sample in self.samples if sample.rate_pps == rate_pps and not sample.short]
        longest = max((sample.duration_s for sample in tries), default=0.0)
        rates = [sample.offered.offered_pps for sample in tries if sample.duration_s == longest]
        return sum(rates) / len(rates) if rates else rate_pps
