# SPDX-License-Identifier: Apache-2.0
"""The rules that turn a run's numbers into a verdict on a claim.

Verdicts are conservative. A claim is reproduced only if the whole 95 % interval of every number by which it is tested
lies within the range that its file accepts, and it is not reproduced only if one of these intervals lies wholly
outside. It is undecided if an interval lies partly inside and there is no other obstacle. Everything else is not
testable here, with the reason. The measured values are always given beside the published ones.

"Unchanged" is an equivalence: it is shown by two one-sided tests at 5 %, that is, by a 90 % interval within the bounds.
Source: D. J. Schuirmann, A comparison of the two one-sided tests procedure and the power approach for assessing the
equivalence of average bioavailability, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.analysis.cells import boots_of
from orchestrator.analysis.claims.observed import Observed
from orchestrator.analysis.claims.places import ComparedCells, judged, places
from orchestrator.analysis.claims.standing import NOT_AT_ALL
from orchestrator.analysis.claims.verdicts import (
    AGREES,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    UNDECIDED,
    ClaimEvidence,
    ClaimVerdict,
    in_words,
)
from orchestrator.spec import Cell, Claim, ClaimTest
from orchestrator.stats import (
    FEWEST_BOOTS,
    FEWEST_CORE_COUNTS,
    FEWEST_FOR_INTERVAL,
    ONE_BOOT,
    Interval,
    paired_ratio,
    parallel_efficiency,
)
from orchestrator.stats.intervals import CONFIDENCE

EQUIVALENCE_CONFIDENCE = 0.90  # two one-sided tests at 5 %
_COLLAPSED = 0.003  # share of the baseline below which a variant counts as broken, not as a reference (our choice)
_EFFICIENCY = "efficiency"


def judge(claim: Claim, seen: Observed) -> ClaimVerdict:
    """Return the verdict of a run on a claim."""
    evidence, beyond = [], []
    for test in claim.tests:
        options = places(test, claim.scope_of(test), seen.cells)
        place = judged(options)
        evidence.append(_evidence(claim, test, place, options, seen))
        last = options[-1] if options else None
        if last is not None and place is not None and last.cores > place.cores:
            more = _evidence(claim, test, last, options, seen)
            if more.median is not None:
                beyond.append(more)
    found, reason = _conclusion(evidence)
    return ClaimVerdict(
        claim=claim.claim,
        title=claim.title,
        statement=claim.statement,
        verdict=in_words(found, seen.clock),
        reason=reason,
        evidence=tuple(evidence),
        source=claim.source.text,
        experiment=claim.experiment or seen.experiment,
        figure=claim.figure or "",
        scope=str(claim.scope),
        scope_because=claim.scope.because,
        beyond=tuple(beyond),
        also_published=tuple(published.text for published in claim.also_published),
        remarks=claim.remarks or "",
        clock=seen.clock,
        measured_in=seen.measured_in,
        agrees=AGREES[found],
    )


def _conclusion(evidence: Sequence[ClaimEvidence]) -> tuple[str, str]:
    against = [one for one in evidence if one.agrees is False]
    unknown = [one for one in evidence if one.agrees is None]
    several = len(evidence) > 1
    said = [f"{one.name}: {one.reason}" if several else one.reason for one in (against or unknown or evidence)]
    if against:
        others = [one.name for one in evidence if one.agrees]
        return NOT_REPRODUCED, "; ".join(said) + (f"; {', '.join(others)} agrees" if others else "")
    if unknown:
        status = UNDECIDED if all(one.straddles for one in unknown) else NOT_TESTABLE
        # A reason that applies to all of them is given once.
        return status, unknown[0].reason if len({one.reason for one in evidence}) == 1 else "; ".join(said)
    return REPRODUCED, "; ".join(said)


@dataclass(frozen=True, slots=True)
class _Number:
    """A measured number. ``decisive``: the interval that must lie in the accepted range, narrower for an
    equivalence."""

    n: int
    boots: int
    median: float
    interval: Interval
    decisive: Interval


def _evidence(
    claim: Claim, test: ClaimTest, place: ComparedCells | None, options: Sequence[ComparedCells], seen: Observed
) -> ClaimEvidence:
    published, scope = test.published, claim.scope_of(test)
    facts: dict[str, Any] = {
        "name": test.name,
        "statistic": test.statistic,
        "unit": "of linear" if test.statistic == _EFFICIENCY else "times",
        "published": published.text if published else "" if claim.is_own else "no number",
        "published_value": published.value if published else None,
        "scope": str(scope),
        "accepted_because": test.accepted.because,
    }
    if place is None:
        return ClaimEvidence(**facts, reason=_not_planned(claim, test, seen))
    low, high = test.accepted.bounds(place.cores)
    both = list(dict.fromkeys((place.of, place.to)))
    facts |= {"accepted_low": low, "accepted_high": high, "cores": place.cores}
    facts |= {"of": str(place.of), "to": str(place.to)}
    facts["invalid_attempts"] = sum(seen.cells[key].invalid_attempts for key in both if key in seen.cells)
    standing = seen.standing_of_own if claim.is_own else seen.standing
    why_not = [] if standing.may != NOT_AT_ALL else [standing.because]
    if not place.in_scope:
        why_not.append(f"outside its scope: {_where(place)}, and it is judged at {scope}")
    number = _number(test, place, seen.values)
    if number is None:
        return ClaimEvidence(**facts, reason="; ".join([*why_not, *_missing(test, place, seen)]))
    facts |= {"n": number.n, "boots": number.boots, "median": number.median}
    facts |= {"low": number.interval.low, "high": number.interval.high, "interval": number.interval.name}
    facts["order"] = _order(test, place, number.interval)
    why_not += _doubts(claim, test, place, number, options, seen)
    inside = low <= number.decisive.low and number.decisive.high <= high
    outside = number.interval.high < low or number.interval.low > high
    shown = number.decisive if inside else number.interval
    span, accepted = f"{shown.low:.2f} to {shown.high:.2f}", f"what is accepted ({low:.2f} to {high:.2f})"
    if why_not:
        if why_not == [standing.because] and (inside or outside):
            why_not.append(f"{span} lies {'in' if inside else 'outside'} {accepted}, which decides nothing here")
        return ClaimEvidence(**facts, reason="; ".join(why_not))
    if not inside and not outside:
        more = "boots" if number.boots >= FEWEST_BOOTS else "rounds"
        why = f"the {shown.name}, {span}, is partly in {accepted}; more {more} narrow it"
        return ClaimEvidence(**facts, straddles=True, reason=why)
    why = f"the {shown.name}, {span}, lies {'in' if inside else 'outside'} {accepted}"
    return ClaimEvidence(**facts, agrees=inside, reason=why)


def _where(place: ComparedCells) -> str:
    tunnels = max(place.of.tunnels, place.to.tunnels)
    return f"{place.cores} core{'s' * (place.cores != 1)} and {tunnels} tunnel{'s' * (tunnels != 1)}"


def _number(
    test: ClaimTest, place: ComparedCells, values: Mapping[Cell, Mapping[tuple[Any, ...], float]]
) -> _Number | None:
    of, to = values.get(place.of, {}), values.get(place.to, {})
    if test.statistic == _EFFICIENCY:
        of, to = _on_one_testbed(of, to)
        quotient = parallel_efficiency(boots_of(of), place.cores, boots_of(to)) if place.cores > 1 else None
        if quotient is None:
            return None
        n = min(quotient.n_numerator, quotient.n_denominator)
        return _Number(n, quotient.boots, quotient.value, quotient.interval, quotient.interval)
    ratio = paired_ratio(of, to)
    if ratio is None:
        return None
    decisive = ratio.interval
    if test.statistic == "equivalence" and (narrower := paired_ratio(of, to, EQUIVALENCE_CONFIDENCE)) is not None:
        decisive = narrower.interval
    return _Number(ratio.n, ratio.boots, ratio.median, ratio.interval, decisive)


def _on_one_testbed(
    of: Mapping[tuple[Any, ...], float], to: Mapping[tuple[Any, ...], float]
) -> tuple[dict[tuple[Any, ...], float], dict[tuple[Any, ...], float]]:
    """Return the values of both cells on one testbed, the first that measured one core, because core counts are
    compared."""
    first = min(to, key=lambda key: key[1:], default=None)
    sides = ({key: value for key, value in side.items() if first and key[0] == first[0]} for side in (of, to))
    return next(sides), next(sides)


def _order(test: ClaimTest, place: ComparedCells, interval: Interval) -> str:
    """Return which of two variants is faster with the same cores and tunnels, whatever the ratio."""
    one, other = place.of.variant, place.to.variant
    if test.statistic != "ratio" or one == other or place.of.place != place.to.place or interval.is_range:
        return ""
    if interval.low > 1:
        return f"{one} is above {other}"
    return f"{one} is below {other}" if interval.high < 1 else f"{one} and {other} are statistically indistinguishable"


def _not_planned(claim: Claim, test: ClaimTest, seen: Observed) -> str:
    wanted = {side.variant: None for side in (test.of, test.to) if side is not None}
    absent = [name for name in wanted if name not in seen.variants]
    named = {path for side in (test.of, test.to) if side is not None for path in side.more}
    further = sorted({path for key in seen.cells for path in key.more} - named)
    if further and not absent:
        how = "name a level of each in the claim's cells" if claim.is_own else "a run without them can be judged"
        return f"cells missing: this run of {seen.experiment} varies {', '.join(further)} and the claim does not; {how}"
    what = f"the variant {' and '.join(absent)}" if absent else f"the {' and '.join(wanted)} cells that it needs"
    how = "extend the factors of the spec" if claim.is_own else f"`orch reproduce {claim.claim}` measures them"
    return f"cells missing: this run of {seen.experiment} lacks {what}; {how}"


def _missing(test: ClaimTest, place: ComparedCells, seen: Observed) -> Iterator[str]:
    """Yield the reasons why there is no number."""
    if test.statistic == _EFFICIENCY and place.cores == 1:
        yield "one core only: an efficiency needs more cores beside it"
        return
    empty = [key for key in dict.fromkeys((place.of, place.to)) if not seen.values.get(key)]
    for key in empty:
        if key not in seen.cells:
            yield f"cells missing: the run lacks {key}, the reference of an efficiency"
            continue
        statuses = [f"{count} {status}" for status, count in seen.cells[key].not_ok.items()]
        yield f"cells missing: no ok trial of {key} ({', '.join(statuses) or 'none planned'})"
    if not empty:
        testbeds = [{testbed for testbed, *_ in seen.values[key]} for key in (place.of, place.to)]
        if test.statistic == _EFFICIENCY and testbeds[0] != testbeds[1]:
            yield f"{place.of} and {place.to} were measured on different testbeds of a pool"
        else:
            yield f"no round has an ok trial of both {place.of} and {place.to} that carried anything"


def _doubts(
    claim: Claim,
    test: ClaimTest,
    place: ComparedCells,
    number: _Number,
    options: Sequence[ComparedCells],
    seen: Observed,
) -> Iterable[str]:
    """Return the reasons why a measured number decides nothing."""
    both = list(dict.fromkeys((place.of, place.to)))
    facts = [seen.cells[key] for key in both]
    if test.statistic == _EFFICIENCY:
        counts = len({1, *(option.cores for option in options)})
        if counts < FEWEST_CORE_COUNTS:
            yield f"a scaling claim needs {FEWEST_CORE_COUNTS} core counts, and this run has {counts}"
        if number.boots < FEWEST_BOOTS:
            yield (
                "one boot per core count: boots differ by an unknown amount, so that nothing is said about scaling; "
                "`repetitions.boots` measures several"
            )
    elif number.interval.coverage is None:
        what = (
            f"below {FEWEST_FOR_INTERVAL} rounds of one boot"
            if number.interval.basis == ONE_BOOT
            else "with boots that carried nothing"
        )
        yield f"too few rounds: {what} there is no {CONFIDENCE:.0%} interval of a ratio".replace("%", " %")
    if bound := [str(key) for key, fact in zip(both, facts, strict=True) if fact.generator_bound]:
        yield f"generator-bound: {' and '.join(bound)} came close to the baseline without a tunnel"
    share = seen.cells[place.to].of_baseline
    if share is not None and share < _COLLAPSED:
        yield f"collapsed: {place.to} carries {share:.2%} of the baseline, and is no measure for another".replace(
            "%", " %"
        )
    # A claim of your own may compare any variants.
    if not claim.is_own and test.statistic != _EFFICIENCY and place.to.variant not in seen.unpatched:
        yield f"the run does not record that {place.to.variant} is the unmodified module, as the reference must be"
    if any(fact.builds > 1 for fact in facts):
        yield "the trials of a cell are of different builds of its module"
    marked = sum(fact.marked for fact in facts)
    if seen.relaxed and marked:
        yield f"relaxed limits: the spec only reports {', '.join(seen.relaxed)}, and {marked} of its trials are marked"
