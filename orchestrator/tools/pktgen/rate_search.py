# SPDX-License-Identifier: Apache-2.0
"""The search for a packet rate over tunnels that are ready: its loads, its result, and the verdict."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.measure.after_traffic import read_after_traffic
from orchestrator.measure.attempt import Attempt
from orchestrator.measure.evaluating import evidence_of
from orchestrator.measure.judge import Evidence, Verdict
from orchestrator.measure.load import Load
from orchestrator.measure.tunnels import renew_tunnels
from orchestrator.search import GOALS, SEARCHES, Goal, GoalBounds, LoadSample, Offered, SearchSpace, known_bounds
from orchestrator.spec import REKEY_AFTER_S, Search
from orchestrator.testbed.remote import AgentFailure
from orchestrator.tools.pktgen.loads import ALONE, Beside, end_loads, largest_packet, offer
from orchestrator.tools.pktgen.traffic import PktgenTraffic

LEAST_SHARE = 0.005  # of the highest load: the lowest load by default
_CEILING_S = 1.0  # duration of the load that shows what the generator can do
_OVERHEAD_S = 3.0  # maximum time that a load takes in addition to its duration


class Loads:
    """Loads one after the other. If a tunnel would rekey during one, the tunnels are renewed before it."""

    def __init__(self, attempt: Attempt) -> None:
        self.offered: list[tuple[Load, float]] = []  # with the intended duration
        self.seconds = 0.0
        self._attempt = attempt
        self._renewed_at = attempt.clock_s()

    @property
    def since_handshakes_s(self) -> float:
        """The minimum age of the tunnels' handshakes, in seconds."""
        return self._attempt.clock_s() - self._renewed_at

    def offer(self, rate_pps: float | None, duration_s: float, beside: Beside = ALONE) -> Load:
        """Offer one load, as `orchestrator.tools.pktgen.loads.offer` does. Raises AgentFailure and TestbedError."""
        old = self.since_handshakes_s + duration_s + _OVERHEAD_S > REKEY_AFTER_S
        if old and self.seconds and self._attempt.rekeys:
            self._renew()
        load = offer(self._attempt, rate_pps, duration_s, beside)
        self.offered.append((load, duration_s))
        self.seconds += duration_s
        return load

    def _renew(self) -> None:
        end_loads(self._attempt)  # otherwise the receiver would not answer the handshakes' datagrams
        renew_tunnels(self._attempt, largest_packet(self._attempt.trial.levels.packet_size))
        self._renewed_at = self._attempt.clock_s()


def goals_of(search: Search) -> list[Goal]:
    """Return the goals that a spec names, the strictest first."""
    known = {**GOALS, "pdr": Goal("pdr", search.pdr_loss)}
    return [known[name] for name in known if name in search.goals]


def search_rate(attempt: Attempt, loads: Loads) -> float:
    """Search as the trial's traffic says, and store measurements, probes and a verdict in the outcome.

    Returns the rate that was found, in packets/s: the lower bound of the widest goal that has one, else 0. Raises
    AgentFailure if the range is empty or too little time is allowed, and TestbedError if a host does not answer.
    """
    traffic, outcome = PktgenTraffic.of(attempt.trial.traffic), attempt.outcome
    search = traffic.search
    assert search is not None
    most = search.max_rate_pps
    if traffic.warm_up_s or most is None:
        ceiling = loads.offer(None, traffic.warm_up_s or _CEILING_S)
        most = most or ceiling.offered_pps
    least = search.min_rate_pps or most * LEAST_SHARE
    attempt.phases.done("warm-up")
    if least >= most:
        raise AgentFailure(f"The search begins at {kpps(least)}, and the generator's maximum is {kpps(most)}.")
    goals = goals_of(search)
    space = SearchSpace(
        least, most, search.width, traffic.duration_s, search.time_limit_s, search.tries, search.final_duration_s
    )
    tried: list[Load] = []

    def measure(rate_pps: float, duration_s: float) -> Offered:
        load = loads.offer(rate_pps, duration_s)
        tried.append(load)
        return Offered(load.sent, max(0, load.sent - load.received), load.offered_pps)

    def progress(samples: Sequence[LoadSample]) -> None:
        attempt.on_bounds(closing(samples, goals))

    began = attempt.clock_s()
    found = SEARCHES[search.method](measure, goals, space, progress, attempt.clock_s)
    took_s = attempt.clock_s() - began
    if not tried:
        raise AgentFailure(f"The search had {search.time_limit_s:g} s, too little for one load: raise time_limit.")
    attempt.phases.done("search")
    lowers = [one.lower_pps for one in found if one.lower_pps is not None]
    outcome.measurements.update(
        throughput_bps=None,
        **{f"{one.goal.name}_lower_pps": one.lower_pps for one in found},
        **{f"{one.goal.name}_upper_pps": one.upper_pps for one in found},
        search={
            "min_pps": least,
            "max_pps": most,
            "seconds": round(took_s, 3),
            "final_duration_s": space.final_s,
            "goals": [_to_json(one) for one in found],
        },
        loads=[load.to_json() for load, _ in loads.offered],
    )
    beside = {
        one.goal.name: {
            side: None if bound is None else min(tried, key=lambda load: abs(load.offered_pps - bound))
            for side, bound in (("lower", one.lower_pps), ("upper", one.upper_pps))
        }
        for one in found
    }
    decisive = [load for sides in beside.values() for load in sides.values() if load is not None]
    _evaluate(attempt, loads, found, decisive, search.max_rate_pps)
    outcome.probes["bounds"] = {
        goal: {side: None if load is None else load.probes for side, load in sides.items()}
        for goal, sides in beside.items()
    }
    return max(lowers, default=0.0)


def kpps(rate_pps: float | None) -> str:
    """Format a rate for reading."""
    return "?" if rate_pps is None else f"{rate_pps / 1e3:.5g} kpps"


def closing(samples: Sequence[LoadSample], goals: Sequence[Goal]) -> str:
    """Return the progress of a search: each goal's bounds so far, and the last load."""
    parts = []
    for goal in goals:
        lower, upper = known_bounds(samples, goal)
        parts.append(f"{goal.name} {kpps(lower)} to {kpps(upper)}")
    last = samples[-1]
    return f"{', '.join(parts)}; load {len(samples)}: {kpps(last.rate_pps)}, {last.loss_ratio:.3%} lost"


def sentence(
    found: GoalBounds,
    loads: Iterable[Load],
    baseline_pps: float | None = None,
    headroom: float = 0.1,
    max_rate_pps: float | None = None,
) -> str | None:
    """Return a sentence about a goal's bounds if they are not as narrow as requested, else None.

    ``max_rate_pps``: the highest load that the spec allows the search; None if it allows any.

    ``baseline_pps``: what passed without a tunnel, if measured. If the generator met the goal with all that it sent,
    but sent less than the baseline by more than the share ``headroom``, then whatever takes its packets holds it back:
    the generator is not the limit, and the loop is closed.
    """
    name = f"{found.goal.name} ({found.goal.loss_ratio:.2%} lost)"
    if found.reason == "minimum":
        least = min(loads, key=lambda load: (load.rate_pps or load.offered_pps, -load.seconds))
        lost = f"{least.sent - least.received} of {least.sent} packets were lost"
        return f"{name} has no lower bound: at the least load, {kpps(least.offered_pps)}, {lost} already"
    if found.reason == "time":
        known = f"known by then: {kpps(found.lower_pps)} to {kpps(found.upper_pps)}"
        return f"the time limit ended the search of {name}; {known}"
    highest = found.lower_pps or 0.0
    if ends_at(found, max_rate_pps, headroom):
        return f"{name} has no upper bound: the spec's max_rate ({kpps(max_rate_pps)}) meets it"
    if found.reason == "maximum" and baseline_pps and highest < baseline_pps * (1 - headroom):
        held = (
            f"the generator is held to {kpps(highest)}, which meets it, and sends {kpps(baseline_pps)} without a tunnel"
        )
        return f"closed loop: {name} has no upper bound: {held}"
    if found.reason == "maximum":
        return f"generator-bound: {name} has no upper bound, the highest load ({kpps(found.lower_pps)}) meets it"
    if found.reason == "uneven":
        known = f"{kpps(found.lower_pps)} to {kpps(found.upper_pps)}"
        return f"the bounds of {name} are not narrow, {known}: the generator did not keep the requested rates"
    if found.reason == "generator":
        lower = f"above {kpps(found.lower_pps)}, the lower bound of {name}"
        return f"generator-bound: {lower}, it could not keep the requested rate"
    return None


def ends_at(found: GoalBounds, max_rate_pps: float | None, headroom: float) -> bool:
    """Return whether a search ended at the highest load that the spec allows, within ``headroom`` (a share)."""
    allowed_pps = (max_rate_pps or math.inf) * (1 - headroom)
    return found.reason == "maximum" and (found.lower_pps or 0.0) >= allowed_pps


def _to_json(found: GoalBounds) -> dict[str, Any]:
    return {
        "goal": found.goal.name,
        "loss_ratio": found.goal.loss_ratio,
        "lower_pps": found.lower_pps,
        "upper_pps": found.upper_pps,
        "reason": found.reason,
    }


def _evaluate(
    attempt: Attempt, loads: Loads, found: Sequence[GoalBounds], decisive: Sequence[Load], max_rate_pps: float | None
) -> None:
    """Judge the search: every load's losses are accounted for, and the conditions around the bounds broke no limit.

    ``max_rate_pps``: the highest load that the spec allows the search; None if it allows any.
    """
    outcome, limits = attempt.outcome, attempt.conditions.limits
    after = read_after_traffic(attempt, loads.since_handshakes_s)
    durations = {id(load): duration for load, duration in loads.offered}
    main = decisive[0] if decisive else loads.offered[-1][0]
    outcome.probes = {**main.probes, "clock_skew_s": None}
    carried = outcome.measurements.get("pdr_lower_pps") or outcome.measurements.get("ndr_lower_pps") or 0.0
    outcome.measurements.update(duration_s=round(main.seconds, 4), handshake_age_s=after.stored_age_s)
    baseline = None if attempt.baseline else attempt.conditions.baseline
    at_most = any(ends_at(one, max_rate_pps, limits.headroom) for one in found)
    evidence = evidence_of(
        attempt,
        after,
        duration_s=durations[id(main)],
        baseline=None if at_most else attempt.generator_carries,
        rate=carried,
        # For loads far from the bounds it does not matter whether the generator kept their rate.
        loads=[replace(load, rate_pps=None) for load, _ in loads.offered],
    )
    verdicts = [attempt.judged(evidence)]
    for load in decisive:
        beside = Evidence((), load.probes, durations[id(load)], loads=[load], plain_pps=baseline)
        verdicts.append(attempt.judged(beside))
    offered = [load for load, _ in loads.offered]
    said = [sentence(one, offered, baseline, limits.headroom, max_rate_pps) for one in found]
    outcome.take(_together(verdicts, _unbounded(found, said, limits.report_only)))


def _unbounded(found: Sequence[GoalBounds], sentences: Sequence[str | None], report_only: Sequence[str]) -> Verdict:
    """Return the verdict on the bounds themselves: without a lower bound there is no result."""
    verdict = Verdict()
    for one, said in zip(found, sentences, strict=True):
        if said is None:
            continue
        if one.lower_pps is None and "bounds" not in report_only:
            verdict.broken.append(said)
            verdict.names.append("bounds")
        else:
            verdict.marks.append(said)
    return verdict


def _together(verdicts: Sequence[Verdict], bounds: Verdict) -> Verdict:
    """Combine verdicts into one, with the first sentence for each limit, because loads repeat them."""
    whole = Verdict(list(bounds.broken), list(bounds.marks), list(bounds.names))
    seen: set[str] = set()
    for verdict in verdicts:
        for name, said in zip(verdict.names, verdict.broken, strict=True):
            if name not in seen:
                seen.add(name)
                whole.names.append(name)
                whole.broken.append(said)
    whole.marks += _distinct([mark for verdict in verdicts for mark in verdict.marks])
    return whole


def _distinct(marks: Iterable[str]) -> list[str]:
    """Return the first of the marks that differ only in their numbers."""
    kept: dict[str, str] = {}
    for mark in marks:
        kept.setdefault("".join(character for character in mark if not character.isdigit()), mark)
    return list(kept.values())
