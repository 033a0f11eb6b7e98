# SPDX-License-Identifier: Apache-2.0
"""Searches of a packet rate, on simulated devices whose capacity is known."""

import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.search import GOALS, SEARCHES, GoalBounds, LoadSample, Offered, SearchSpace, known_bounds

NDR, PDR = GOALS["ndr"], GOALS["pdr"]
METHODS = pytest.mark.parametrize("method", SEARCHES)


class Device:
    """Forwards up to a capacity, and loses a share of the rest. Its clock advances while a load is offered.

    ``noise``: the maximum deviation of a load's capacity, up or down; ``loss``: the share lost of every load;
    ``most_pps``: the generator's maximum; ``overhead_s``: the time of a load beyond its duration.
    """

    def __init__(
        self, capacity_pps: float, noise: float = 0.0, loss: float = 0.0, most_pps: float = math.inf, seed: int = 1
    ) -> None:
        self.capacity_pps, self.noise, self.loss, self.most_pps = capacity_pps, noise, loss, most_pps
        self.overhead_s = 0.5
        self.now_s = 100.0
        self.loads: list[tuple[float, float]] = []
        self._random = random.Random(seed)

    def __call__(self, rate_pps: float, duration_s: float) -> Offered:
        self.loads.append((rate_pps, duration_s))
        self.now_s += duration_s + self.overhead_s
        offered = min(rate_pps, self.most_pps)
        capacity = self.capacity_pps * (1 + self.noise * self._random.uniform(-1, 1))
        sent = round(offered * duration_s)
        lost = max(0, math.ceil((offered - capacity) * duration_s)) + round(self.loss * sent)
        return Offered(sent, min(sent, lost), offered)

    def clock(self) -> float:
        return self.now_s


def space(
    low: float = 1e3,
    high: float = 2e6,
    width: float = 0.005,
    duration_s: float = 2.0,
    limit_s: float = 1e4,
    tries: int = 1,
    final_s: float | None = None,
) -> SearchSpace:
    return SearchSpace(low, high, width, duration_s, limit_s, tries, final_s)


def both(method: str, device: Device, where: SearchSpace) -> tuple[GoalBounds, GoalBounds]:
    ndr, pdr = SEARCHES[method](device, [NDR, PDR], where, clock=device.clock)
    assert (ndr.goal, pdr.goal) == (NDR, PDR)
    return ndr, pdr


def holds(found: GoalBounds, truth_pps: float, width: float, slack: float = 1e-6) -> None:
    """Return whether the bounds are narrow and include the true value."""
    assert found.reason == "narrow"
    assert found.lower_pps is not None
    assert found.upper_pps is not None
    assert found.lower_pps <= truth_pps * (1 + slack)
    assert found.upper_pps >= truth_pps * (1 - slack)
    assert 0 < found.upper_pps / found.lower_pps - 1 <= width * (1 + 1e-9)


@METHODS
@given(
    capacity=st.floats(2e3, 1.8e6),
    width=st.sampled_from([0.005, 0.01, 0.02]),
    tries=st.sampled_from([1, 3]),
    duration_s=st.sampled_from([1.0, 2.0, 10.0]),
)
@settings(max_examples=60)
def test_the_truth_is_between_narrow_bounds(
    method: str, capacity: float, width: float, tries: int, duration_s: float
) -> None:
    device = Device(capacity)
    ndr, pdr = both(method, device, space(width=width, tries=tries, duration_s=duration_s))
    one = 1.5 / (capacity * duration_s)  # one packet more or fewer
    holds(ndr, capacity, width, one)
    holds(pdr, capacity / (1 - 0.005), width, one)
    assert (pdr.lower_pps or 0) >= (ndr.lower_pps or 0)
    assert len(device.loads) < 80


@METHODS
@given(first=st.floats(2e3, 1.8e6), factor=st.floats(1.03, 100))
@settings(max_examples=30)
def test_a_faster_device_has_higher_bounds(method: str, first: float, factor: float) -> None:
    slow, fast = (both(method, Device(c), space(width=0.01))[0] for c in (first, min(first * factor, 1.9e6)))
    if first * 1.03 <= 1.9e6:
        assert (slow.lower_pps or 0) < (fast.upper_pps or 0)
        assert (slow.upper_pps or 0) < (fast.upper_pps or 0) * 1.0000001


@given(capacity=st.floats(1e4, 1.8e6), seed=st.integers(0, 10_000))
@settings(max_examples=60)
def test_noise_near_the_edge_moves_bounds_no_farther_than_it_goes(capacity: float, seed: int) -> None:
    noise = 0.01
    ndr, pdr = both("mlrsearch", Device(capacity, noise, seed=seed), space(tries=3, width=0.005))
    for found, truth in ((ndr, capacity), (pdr, capacity / 0.995)):
        assert found.reason == "narrow"
        assert found.lower_pps is not None
        assert found.upper_pps is not None
        assert found.lower_pps <= truth * (1 + noise + 0.001)
        assert found.upper_pps >= truth * (1 - noise - 0.001)
        assert found.upper_pps / found.lower_pps - 1 <= 0.005001


@METHODS
def test_a_link_that_always_loses_has_no_no_drop_rate_and_a_partial_drop_rate(method: str) -> None:
    device = Device(3e5, loss=0.001)
    ndr, pdr = both(method, device, space(low=1e4))
    assert (ndr.lower_pps, ndr.reason) == (None, "minimum")
    assert ndr.upper_pps == pytest.approx(1e4)
    holds(pdr, 3e5 * (1 - 0.001) / (1 - 0.005), 0.005, slack=0.001)


@METHODS
@given(limit_s=st.floats(0.5, 120), duration_s=st.sampled_from([1.0, 3.0]), capacity=st.floats(2e3, 1.8e6))
@settings(max_examples=60)
def test_the_time_is_bounded_and_what_is_known_then_is_told(
    method: str, limit_s: float, duration_s: float, capacity: float
) -> None:
    device = Device(capacity)
    began = device.now_s
    where = space(width=0.0005, limit_s=limit_s, duration_s=duration_s)
    for found in both(method, device, where):
        assert found.reason in ("time", "narrow")
        if found.reason == "time":
            assert found.lower_pps is None or found.lower_pps <= capacity * 1.01
            assert found.upper_pps is None or found.upper_pps >= capacity * 0.99
    assert device.now_s - began <= limit_s + device.overhead_s


@METHODS
def test_a_device_that_is_faster_than_the_highest_load_has_no_upper_bound(method: str) -> None:
    for found in both(method, Device(5e6), space(high=1e6)):
        assert (found.lower_pps, found.upper_pps, found.reason) == (pytest.approx(1e6), None, "maximum")


@METHODS
def test_a_generator_that_cannot_keep_up_is_told_from_a_device_that_loses(method: str) -> None:
    for found in both(method, Device(5e6, most_pps=5e5), space(high=2e6)):
        assert found.reason == "generator"
        assert found.lower_pps == pytest.approx(5e5, rel=0.02)


@METHODS
def test_bounds_are_what_was_offered_not_what_was_asked(method: str) -> None:
    device = Device(4e5)

    def coarse(rate_pps: float, duration_s: float) -> Offered:
        gap_ns = math.ceil(1e9 / rate_pps)  # pktgen's delay is in whole nanoseconds
        return device(1e9 / gap_ns, duration_s)

    found = SEARCHES[method](coarse, [NDR], space(width=0.01), clock=device.clock)[0]
    offered = {rate for rate, _ in device.loads}
    assert found.lower_pps in offered or any(math.isclose(found.lower_pps or 0, rate) for rate in offered)
    assert (found.lower_pps or 0) <= 4e5 < (found.upper_pps or 0) * 1.003


@METHODS
def test_progress_sees_the_bounds_close(method: str) -> None:
    seen: list[tuple[float | None, float | None]] = []

    def progress(samples: Sequence[LoadSample]) -> None:
        seen.append(known_bounds(samples, NDR))

    device = Device(3e5)
    SEARCHES[method](device, [NDR], space(), progress, device.clock)
    assert len(seen) == len(device.loads)
    uppers = [upper for _, upper in seen if upper is not None]
    assert uppers == sorted(uppers, reverse=True)
    assert seen[-1][0] is not None
    assert seen[-1][1] is not None


@METHODS
def test_what_the_measurement_raises_ends_the_search(method: str) -> None:
    def broken(rate_pps: float, duration_s: float) -> Offered:
        raise ConnectionError("the host is gone")

    with pytest.raises(ConnectionError):
        SEARCHES[method](broken, [NDR], space())


@pytest.mark.parametrize(
    "make",
    [
        lambda: space(low=5, high=5),
        lambda: space(width=0.0),
        lambda: space(duration_s=0),
        lambda: space(tries=0),
        lambda: space(final_s=1.0),
    ],
)
def test_a_space_without_room_is_refused(make: Callable[[], SearchSpace]) -> None:
    with pytest.raises(ValueError, match=r"is not below|above 0|cannot decide"):
        make()


@given(st.lists(st.tuples(st.floats(1e3, 1e6), st.integers(0, 100)), max_size=12))
def test_a_lucky_load_above_a_loss_counts_for_nothing(loads: list[tuple[float, int]]) -> None:
    samples = [LoadSample(rate, 1.0, Offered(1000, lost, rate)) for rate, lost in loads]
    lower, upper = known_bounds(samples, NDR)
    assert upper == min((rate for rate, lost in loads if lost), default=None)
    if lower is not None and upper is not None:
        assert lower < upper


@METHODS
@given(capacity=st.floats(5e3, 1.5e6), share=st.floats(0.905, 1.0))
@settings(max_examples=40)
def test_bounds_are_narrow_as_they_were_offered(method: str, capacity: float, share: float) -> None:
    """A generator evenly sends a share of the requested rate: the requested rates do not appear in the result."""
    device = Device(capacity)
    found = SEARCHES[method](lambda rate, s: device(rate * share, s), [NDR], space(width=0.01), clock=device.clock)[0]
    holds(found, capacity, 0.01, 1.5 / capacity)
    sent = [rate for rate, _ in device.loads]
    for bound in (found.lower_pps, found.upper_pps):
        assert any(math.isclose(bound or 0.0, rate) for rate in sent)


@METHODS
def test_bounds_that_were_offered_far_apart_are_not_called_narrow(method: str) -> None:
    device = Device(4e5)

    def slow_where_it_passes(rate_pps: float, duration_s: float) -> Offered:
        return device(rate_pps * (0.92 if rate_pps <= 4e5 else 1.0), duration_s)

    found = SEARCHES[method](slow_where_it_passes, [NDR], space(width=0.01), clock=device.clock)[0]
    assert found.reason == "uneven"
    assert (found.lower_pps or 0) == pytest.approx(0.92 * 4e5, rel=0.02)
    assert (found.upper_pps or 0) == pytest.approx(4e5, rel=0.02)


@METHODS
def test_loads_that_decide_last_as_long_as_was_asked(method: str) -> None:
    """Below 3e5 no load loses anything; between there and 4e5, only the second half minute of a load does."""
    device = Device(4e5)
    seen: list[tuple[float, float]] = []

    def tires(rate_pps: float, duration_s: float) -> Offered:
        seen.append((rate_pps, duration_s))
        found = device(rate_pps, duration_s)
        late = round((duration_s - 30) * (rate_pps - 3e5)) if rate_pps > 3e5 and duration_s > 30 else 0
        return Offered(found.sent, max(found.lost, late), found.offered_pps)

    where = space(width=0.01, duration_s=2.0, final_s=60.0)
    ndr = SEARCHES[method](tires, [NDR], where, clock=device.clock)[0]
    holds(ndr, 3e5, 0.01)
    assert (ndr.lower_pps, 60.0) in [(pytest.approx(rate), seconds) for rate, seconds in seen]
    assert max(seconds for _, seconds in seen) == 60.0
    assert sum(seconds == 60.0 for _, seconds in seen) < len(seen)


@METHODS
def test_a_generator_that_pauses_makes_bounds_wider_and_not_wrong(method: str) -> None:
    device = Device(4e5)

    def pausing(rate_pps: float, duration_s: float) -> Offered:
        found = device(rate_pps, duration_s)
        return Offered(found.sent, found.lost, rate_pps * (0.95 if len(device.loads) % 3 == 0 else 1))

    ndr = SEARCHES[method](pausing, [NDR], space(width=0.01), clock=device.clock)[0]
    assert 4e5 * 0.93 < (ndr.lower_pps or 0) <= 4e5 < (ndr.upper_pps or 0) < 4e5 * 1.1
    assert ndr.reason == "uneven"  # the passing load was sent with a delay, and so was the failing one just above it
