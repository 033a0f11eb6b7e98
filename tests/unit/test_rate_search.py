# SPDX-License-Identifier: Apache-2.0
"""The rate search of a trial: requests to the generator, the stored record, and invalid attempts."""

import math
import struct
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agent.echo import echo_answer, echo_request
from orchestrator.agent.messages import Request
from orchestrator.kernel.variants import load_variants
from orchestrator.measure.after_traffic import AfterTraffic
from orchestrator.measure.attempt import Attempt, Conditions, Outcome, Phases
from orchestrator.measure.latency import round_trips
from orchestrator.measure.load import Load
from orchestrator.plan import PROFILE, Trial
from orchestrator.spec import Cell, Limits, read_traffic
from orchestrator.store import headline
from orchestrator.testbed.remote import AgentFailure
from orchestrator.testbed.virtual import VirtualTime
from orchestrator.tools.pktgen import packet_rate, rate_search
from orchestrator.tools.pktgen.loads import Beside
from orchestrator.tools.pktgen.packet_rate import measure_packet_rate
from orchestrator.tools.pktgen.traffic import PktgenTraffic

QUIET = {"window_s": 2.0, "clock_step_s": 0.0, "per_cpu": [{"cpu": 0, "idle_s": 1.0}]}


class Bed:
    """Stands for a testbed. In virtual time, one of its hosts has a clock that only advances during loads."""

    hosts = (("a", ("client", "gateway-a", "gateway-b", "server")),)
    nics: Mapping[str, Any] = {}
    emulated = False

    def __init__(self, *, virtual: bool) -> None:
        self.virtual = VirtualTime(16, (0,), 2e-5, 1) if virtual else None
        self.agents = {"a": self}
        self.now_s = 1000.0

    def request(self, request: Request[Any]) -> dict[str, Any]:
        assert request.operation == "clock"
        return {"monotonic_s": self.now_s}


class Lab:
    """Stands for the lab: forwards up to a capacity, and loses a share of all. ``hidden``: packets without a
    counter."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capacity_pps: float = 3e5,
        loss: float = 0.0,
        most_pps: float = 1e6,
        hidden: int = 0,
        probes: Mapping[str, Any] | None = None,
        *,
        virtual: bool = False,
    ) -> None:
        self.bed = Bed(virtual=virtual)
        self.capacity_pps, self.loss, self.most_pps, self.hidden = capacity_pps, loss, most_pps, hidden
        self.probes = {**QUIET, **(probes or {})}
        self.asked: list[tuple[float | None, float]] = []
        self.probed: list[bool] = []
        self.profiled: list[bool] = []
        self.echoes: list[Mapping[str, Any]] = []
        self.texts: list[str] = []
        for module in (rate_search, packet_rate):
            monkeypatch.setattr(module, "read_after_traffic", lambda attempt, seconds: AfterTraffic(3.0, (), ()))
        monkeypatch.setattr(rate_search, "offer", self.offer)

    def offer(self, attempt: Attempt, rate_pps: float | None, duration_s: float, beside: Beside) -> Load:
        self.asked.append((rate_pps, duration_s))
        self.probed.append(beside.probed)
        self.profiled.append(beside.profiled)
        self.bed.now_s += duration_s
        if beside.echoes is not None:
            self.echoes.append(beside.echoes)
        offered = self.most_pps if rate_pps is None else min(rate_pps, self.most_pps)
        sent = round(offered * duration_s)
        lost = max(0, math.ceil((offered - self.capacity_pps) * duration_s)) + round(self.loss * sent)
        return Load(
            rate_pps=rate_pps,
            sent=sent,
            received=sent - lost,
            seconds=duration_s,
            drops={"gateway-a/wan0 queue tbf": lost - self.hidden},
            unexplained=self.hidden if lost else 0,
            offered_pps=offered,
            probes={**self.probes, "window_s": duration_s, "rate": rate_pps},
            echoes=beside.echoes and {"sent": 100, "rtts_s": [i * 1e-5 for i in range(1, 100)]},
        )

    def measure(
        self, limits: Limits | None = None, baseline: float | None = None, kind: str = "measure", **traffic: Any
    ) -> Outcome:
        outcome = Outcome()
        found = PktgenTraffic(tool="pktgen", warm_up="1s", duration="2s", **traffic)  # type: ignore[arg-type]
        assert read_traffic(found.stored) == found
        levels = Cell("none" if baseline is None else "vanilla", 1, 1, 64)
        kind = "baseline" if baseline is None else kind
        trial = Trial("0" * 16, kind, 1, 0, 1, levels, 1, found, "site-to-site")
        conditions = Conditions(limits or Limits(), baseline)
        variant = None if baseline is None else load_variants()["vanilla"]
        attempt = Attempt(self.bed, trial, conditions, outcome, Phases(), lambda: None, self.texts.append, variant)  # type: ignore[arg-type]
        measure_packet_rate(attempt)
        return outcome


@pytest.mark.parametrize(
    ("traffic", "profiled_pps"),
    [({"search": {"goals": ("pdr",)}}, 3e5 / 0.995), ({"rate": "100 kpps"}, 1e5), ({"rate": "max"}, None)],
)
def test_a_profile_is_of_one_load_more_at_the_rate_that_counts(
    monkeypatch: pytest.MonkeyPatch, traffic: dict[str, Any], profiled_pps: float | None
) -> None:
    lab = Lab(monkeypatch)
    outcome = lab.measure(baseline=1e6, kind=PROFILE, **traffic)
    assert outcome.status == "ok"
    assert lab.profiled == [*([False] * (len(lab.asked) - 1)), True]
    rate, seconds = lab.asked[-1]
    assert rate == (None if profiled_pps is None else pytest.approx(profiled_pps, rel=0.006))
    assert seconds == 2.0
    assert outcome.measurements["profiled_load"]["rate_pps"] == rate
    assert outcome.probes["profiled_load"]["rate"] == rate
    assert outcome.traffic_s == sum(seconds for _, seconds in lab.asked)
    assert "latency" not in outcome.measurements
    plain = Lab(monkeypatch)
    plain.measure(baseline=1e6, **traffic)
    assert not any(plain.profiled)


def test_a_profile_without_a_rate_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(monkeypatch, loss=0.5)
    with pytest.raises(AgentFailure, match=r"No rate was found to profile at"):
        lab.measure(baseline=1e6, kind=PROFILE, search={"goals": ("pdr",)})
    assert not any(lab.profiled)


def test_a_search_stores_bounds_every_load_and_the_probes_beside_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(monkeypatch)
    outcome = lab.measure(search={})
    assert (outcome.status, outcome.reasons, outcome.marks) == ("ok", [], [])
    found = outcome.measurements
    assert outcome.probes["clock_skew_s"] is None  # clocks are not compared during packet loads
    for goal, truth in (("ndr", 3e5), ("pdr", 3e5 / 0.995)):
        lower, upper = found[f"{goal}_lower_pps"], found[f"{goal}_upper_pps"]
        assert lower <= truth <= upper <= lower * 1.0051
        beside = outcome.probes["bounds"][goal]
        assert beside["lower"]["rate"] == pytest.approx(lower)
        assert beside["upper"]["rate"] == pytest.approx(upper)
    assert lab.asked[0] == (None, 1.0)  # what the generator can do
    assert [load["rate_pps"] for load in found["loads"]] == [rate for rate, _ in lab.asked]
    assert (found["search"]["max_pps"], found["search"]["min_pps"]) == (1e6, 5e3)
    assert found["throughput_bps"] is None
    assert str(headline(found)) == f"{found['pdr_lower_pps'] / 1e3:.4g} kpps"
    assert outcome.traffic_s == sum(seconds for _, seconds in lab.asked)
    assert len(lab.texts) == len(lab.asked) - 1
    assert lab.texts[0].startswith("ndr ? to 1000 kpps, pdr ? to 1000 kpps; load 1: 1000 kpps, ")
    assert "ndr 29" in lab.texts[-1]


@pytest.mark.parametrize("method", ["mlrsearch", "binary"])
def test_a_lossy_link_fails_loudly_and_keeps_its_partial_drop_rate(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    outcome = Lab(monkeypatch, loss=0.001).measure(search={"method": method})
    assert outcome.status == "invalid"
    assert outcome.broken == ["bounds"]
    (reason,) = outcome.reasons
    assert reason.startswith("ndr (0.00% lost) has no lower bound: at the least load, 5 kpps, ")
    assert reason.endswith("packets were lost already")
    assert outcome.measurements["ndr_lower_pps"] is None
    assert outcome.measurements["pdr_lower_pps"] == pytest.approx(3.01e5, rel=0.01)
    marked = Lab(monkeypatch, loss=0.001).measure(Limits(report_only=("bounds",)), search={"method": method})
    assert (marked.status, len(marked.marks)) == ("ok", 1)


def test_of_a_given_rate_no_clock_skew_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(monkeypatch)
    outcome = lab.measure(rate="100 kpps")
    assert (outcome.status, outcome.probes["clock_skew_s"]) == ("ok", None)
    assert lab.probed == [False, True]  # the spec's probes run during the measurement, not during the warm-up


def test_only_the_goals_that_were_named_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Lab(monkeypatch).measure(search={"goals": ("ndr",), "min_rate": "1 kpps", "max_rate": "400 kpps"})
    assert "pdr_lower_pps" not in found.measurements
    assert found.measurements["search"]["min_pps"] == 1e3
    assert max(load["rate_pps"] or 0 for load in found.measurements["loads"]) == 4e5
    wide = Lab(monkeypatch).measure(search={"goals": ("pdr",), "pdr_loss": "10%"})
    assert wide.measurements["pdr_lower_pps"] == pytest.approx(3e5 / 0.9, rel=0.01)


def test_a_generator_that_is_slower_than_the_device_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = Lab(monkeypatch, capacity_pps=2e6).measure(search={})
    assert outcome.status == "ok"
    assert outcome.measurements["ndr_upper_pps"] is None
    assert any("generator-bound: ndr (0.00% lost) has no upper bound" in mark for mark in outcome.marks)
    slow = Lab(monkeypatch, capacity_pps=2e6, most_pps=2e5).measure(search={"max_rate": "1 Mpps"})
    assert any("it could not keep the requested rate" in mark for mark in slow.marks)


def test_a_generator_that_the_tunnels_hold_back_is_no_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Lab(monkeypatch, capacity_pps=2e6, most_pps=4e5)
    (mark,) = held.measure(baseline=1.3e6, search={"goals": ("pdr",)}).marks
    assert mark == (
        "closed loop: pdr (0.50% lost) has no upper bound: the generator is held to 400 kpps, which meets it, and "
        "sends 1300 kpps without a tunnel"
    )
    near = held.measure(baseline=4.1e5, search={"goals": ("pdr",)}).marks
    assert all(mark.startswith("generator-bound: ") for mark in near)
    limits = Limits(headroom="1%")  # type: ignore[arg-type]
    assert held.measure(limits, baseline=4.1e5, search={"goals": ("pdr",)}).marks[0].startswith("closed loop: ")


def test_a_search_that_ends_at_the_highest_load_of_the_spec_says_so_and_is_valid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lab, limits = Lab(monkeypatch, capacity_pps=2e6), Limits(report_only=())
    outcome = lab.measure(limits, baseline=1e5, search={"goals": ("pdr",), "max_rate": "100 kpps"})
    assert (outcome.status, outcome.reasons) == ("ok", [])
    assert outcome.marks == ["pdr (0.50% lost) has no upper bound: the spec's max_rate (100 kpps) meets it"]
    outcome = lab.measure(limits, baseline=1e6, search={"goals": ("pdr",)})
    assert outcome.broken == ["headroom"]  # here it is the generator


def test_the_loads_that_decide_may_last_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(monkeypatch)
    outcome = lab.measure(search={"method": "binary", "goals": ("ndr",), "final_duration": "60s", "width": "2%"})
    assert (outcome.status, outcome.marks) == ("ok", [])
    assert outcome.measurements["search"]["final_duration_s"] == 60.0
    assert lab.asked[-1] == (pytest.approx(outcome.measurements["ndr_lower_pps"]), 60.0)
    with pytest.raises(ValueError, match="the duration is that long"):
        lab.measure(search={"final_duration": "1s"})


def test_bounds_that_are_far_apart_as_offered_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(monkeypatch)

    def slow(attempt: Attempt, rate_pps: float | None, duration_s: float, beside: Beside) -> Load:
        return lab.offer(attempt, rate_pps and rate_pps * (0.92 if rate_pps <= 3e5 else 1.0), duration_s, beside)

    monkeypatch.setattr(rate_search, "offer", slow)
    outcome = lab.measure(search={"goals": ("ndr",)})
    (mark,) = outcome.marks
    assert mark.startswith("the bounds of ndr (0.00% lost) are not narrow, 27")
    found = outcome.measurements
    assert found["ndr_upper_pps"] / found["ndr_lower_pps"] > 1.08


def test_a_search_that_has_no_time_says_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AgentFailure, match="too little for one load: raise time_limit"):
        Lab(monkeypatch).measure(search={"time_limit": "1s"})
    with pytest.raises(AgentFailure, match="begins at 3000 kpps, and the generator's maximum is 1000 kpps"):
        Lab(monkeypatch).measure(search={"min_rate": "3 Mpps"})


def test_in_virtual_time_the_hosts_clock_decides_how_long_a_search_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    def loads(time_limit: str) -> float:
        lab = Lab(monkeypatch, virtual=True)
        lab.measure(search={"method": "binary", "time_limit": time_limit})
        return sum(duration_s for _, duration_s in lab.asked[1:])  # without the warm-up

    assert 4.0 < loads("7s") <= 7.0
    assert loads("7s") < loads("300s")


def test_a_loss_without_a_counter_in_any_load_makes_the_attempt_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = Lab(monkeypatch, hidden=3).measure(search={})
    assert (outcome.status, outcome.broken) == ("invalid", ["unexplained"])
    assert "no counter says where" in outcome.reasons[0]


def test_other_load_beside_a_bound_makes_the_attempt_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = {"computer": {"elapsed_s": 2.0, "other_s": 1.0, "steal_s": 0.0}}
    outcome = Lab(monkeypatch, probes=busy).measure(search={})
    assert (outcome.status, outcome.broken) == ("invalid", ["competing_load"])
    assert len(outcome.reasons) == 1


def test_round_trips_are_timed_beside_shares_of_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(monkeypatch)
    outcome = lab.measure(search={}, latency={"at": ("50%", "90%"), "rate": "50 pps"})
    low, high = outcome.measurements["latency"]
    assert low["offered_pps"] == pytest.approx(outcome.measurements["pdr_lower_pps"] * 0.5, abs=1)
    assert high["offered_pps"] == pytest.approx(outcome.measurements["pdr_lower_pps"] * 0.9, abs=1)
    assert (low["sent"], low["n"], low["p50_s"], low["max_s"]) == (100, 99, 50e-5, 99e-5)
    assert {echo["pace_pps"] for echo in lab.echoes} == {50.0}
    fixed = lab.measure(rate="100 kpps", latency={})
    assert [row["offered_pps"] for row in fixed.measurements["latency"]] == [5e4, 9e4]


@given(st.lists(st.floats(1e-6, 10), max_size=300))
def test_quantiles_are_of_the_values_and_rise(rtts_s: list[float]) -> None:
    found = round_trips(len(rtts_s) + 2, rtts_s)
    values = [found[name] for name in ("p50_s", "p90_s", "p99_s", "max_s")]
    if not rtts_s:
        assert values == [None] * 4
        return
    assert values == sorted(values)
    assert set(values) <= set(rtts_s)
    assert values[-1] == max(rtts_s)
    assert sum(rtt <= found["p50_s"] for rtt in rtts_s) >= len(rtts_s) / 2


@given(st.integers(0, 0xFFFF), st.integers(0, 1 << 20), st.integers(8, 1480))
def test_an_answer_is_told_from_others(identity: int, number: int, size: int) -> None:
    request = echo_request(identity, number, size)
    even = request + bytes(size % 2)
    total = sum(struct.unpack(f"!{len(even) // 2}H", even))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF  # RFC 1071
    header = bytes([0x45, *bytes(19)])
    assert echo_answer(header + request, identity) is None  # a request is not an answer
    answer = header + b"\0" + request[1:]
    assert echo_answer(answer, identity) == (number & 0xFFFF, size)
    assert echo_answer(answer, identity ^ 1) is None


def test_no_round_trips_without_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = Lab(monkeypatch, capacity_pps=1.0, loss=0.5).measure(search={}, latency={})
    assert outcome.broken == ["bounds", "bounds"]
    assert outcome.measurements["ndr_lower_pps"] is outcome.measurements["pdr_lower_pps"] is None
    assert "latency" not in outcome.measurements
