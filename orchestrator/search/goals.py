# SPDX-License-Identifier: Apache-2.0
"""The inputs and results of a search for a packet rate."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# The generator keeps its rate on average, but falls short if its processor pauses. A load that falls short of the
# intended rate by more than this share does not count as one of that rate.
SHORT = 0.1
_ROOM = 0.8  # share of the final width by which intended loads may still differ


@dataclass(frozen=True, slots=True)
class Goal:
    """The share of the offered packets that may be lost, from 0 to 1."""

    name: str
    loss_ratio: float


NDR = Goal("ndr", 0.0)  # no-drop rate: RFC 2544's throughput
PDR = Goal("pdr", 0.005)  # partial drop rate
GOALS = {goal.name: goal for goal in (NDR, PDR)}


@dataclass(frozen=True, slots=True)
class Offered:
    """The result of one load: packets sent, packets lost of these, and the rate at which they left, in packets/s."""

    sent: int
    lost: int
    offered_pps: float


@dataclass(frozen=True, slots=True)
class LoadSample:
    """One load of a search: the intended rate in packets/s, the duration in s, and the result."""

    rate_pps: float
    duration_s: float
    offered: Offered

    @property
    def loss_ratio(self) -> float:
        """The share of the sent packets that were lost; 1 where nothing was sent."""
        return self.offered.lost / self.offered.sent if self.offered.sent else 1.0

    @property
    def short(self) -> bool:
        """True if the generator fell short of the intended rate, so that the load says nothing about that rate."""
        return self.offered.offered_pps < self.rate_pps * (1 - SHORT)

    def kept(self, width: float) -> bool:
        """Return True if the load left at the intended rate, less a share of ``width`` at most."""
        return self.offered.offered_pps >= self.rate_pps * (1 - width)

    def meets(self, goal: Goal) -> bool:
        """Return True if the rate was offered, and the loss was within the goal."""
        return not self.short and self.loss_ratio <= goal.loss_ratio


Measure = Callable[[float, float], Offered]  # (packets/s, s); whatever it raises ends the search
Progress = Callable[[Sequence[LoadSample]], None]  # called with all samples so far, after each


def _silent(samples: Sequence[LoadSample]) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """The range and the rules of a search.

    ``min_pps``, ``max_pps``: the range of loads. ``width``: the value of upper / lower - 1 at which the bounds of a
    goal are narrow enough. ``duration_s``: how long a load is offered; ``final_duration_s``: how long a deciding load
    is offered, if longer (RFC 2544, section 24, asks for 60 s). ``tries``: how many times a load is offered at most;
    the majority decides. ``time_limit_s``: no load begins that would end later. Raises ValueError for values that
    contradict each other.
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
        """The duration of the deciding loads, in seconds."""
        return self.final_duration_s or self.duration_s

    @property
    def closest(self) -> float:
        """The relative distance at which intended loads stop.

        It is less than ``width``, because actual rates differ slightly from intended ones.
        """
        return _ROOM * self.width

    def __post_init__(self) -> None:
        if not 0 < self.min_pps < self.max_pps:
            raise ValueError(f"the least load, {self.min_pps:g}/s, is not below the highest, {self.max_pps:g}/s")
        if not 0 < self.width < 1 or self.duration_s <= 0 or self.time_limit_s <= 0 or self.tries < 1:
            raise ValueError("width, durations and tries are above 0")
        if self.final_s < self.duration_s:
            raise ValueError(f"loads of {self.final_s:g} s cannot decide what takes {self.duration_s:g} s")


@dataclass(frozen=True, slots=True)
class GoalBounds:
    """The bounds of one goal, in packets/s, as actually offered, never as intended; None where there is none.

    The lower bound met the goal, and the upper bound is the lowest rate above it that missed the goal, taken from loads
    that were sent about as intended where there are any; a generator that pauses thus makes the bounds wider, not
    wrong. ``reason``: narrow (as narrow as requested), time (the time limit came first; the bounds are those known by
    then), minimum (the lowest load misses the goal, so there is no lower bound), maximum (the highest load meets it, so
    there is no upper bound), generator (the generator did not keep up above the lower bound) or uneven (loads were not
    sent as intended, so the bounds are farther apart).
    """

    goal: Goal
    lower_pps: float | None
    upper_pps: float | None
    reason: str


class OutOfTime(Exception):
    """The next load would end after the time limit."""


class Trials:
    """The loads of one search, in order: offers each one within the time limit, and records it."""

    def __init__(
        self,
        measure: Measure,
        space: SearchSpace,
        progress: Progress | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.samples: list[LoadSample] = []
        self._measure, self._progress, self._clock = measure, progress or _silent, clock
        self._deadline = clock() + space.time_limit_s

    def offer(self, rate_pps: float, duration_s: float) -> LoadSample:
        """Offer one load. Raises OutOfTime, and whatever the measurement raises."""
        if self._clock() + duration_s > self._deadline:
            raise OutOfTime
        sample = LoadSample(rate_pps, duration_s, self._measure(rate_pps, duration_s))
        self.samples.append(sample)
        self._progress(self.samples)
        return sample

    def offered_pps(self, rate_pps: float) -> float:
        """Return the actual rate, in packets/s, of a load intended at ``rate_pps``: the mean of its longest tries."""
        tries = [sample for sample in self.samples if sample.rate_pps == rate_pps and not sample.short]
        longest = max((sample.duration_s for sample in tries), default=0.0)
        rates = [sample.offered.offered_pps for sample in tries if sample.duration_s == longest]
        return sum(rates) / len(rates) if rates else rate_pps
