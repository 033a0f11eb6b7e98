# SPDX-License-Identifier: Apache-2.0
"""What a run shows about the paper's claims: reproduced, not reproduced, undecided, or not testable here, and why.

A run in virtual time never says plainly that a claim is reproduced: it says "reproduced in virtual time", and the other
verdicts in the same way. A claim that needs cores is tested with virtual CPUs there.

A verdict is careful in one direction. A claim is reproduced only if the whole 95 % interval of every number that it is
tested by lies in what its file accepts, and it is not reproduced only if one of them lies wholly outside. It is
undecided where an interval does both and nothing else is in the way: more rounds narrow it. Everything else is not
testable here: a run that was emulated, has another topology or fewer cores than the claim is about says nothing. What
was measured is given in any case, beside the published value.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import paths
from orchestrator.analysis.cells import Key, boots_of, cells, throughputs
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.sensitivity import sentence, with_invalid
from orchestrator.errors import UserError
from orchestrator.spec import Claim, ClaimTest, Limits, load_claim
from orchestrator.spec.fields import PER_CORE
from orchestrator.spec.problems import did_you_mean
from orchestrator.stats import FEWEST_CORE_COUNTS, FEWEST_FOR_INTERVAL, Interval, paired_ratio, parallel_efficiency
from orchestrator.stats.intervals import CONFIDENCE
from orchestrator.store.clock import REAL, REAL_TIME, VIRTUAL
from orchestrator.store.files import replace_file, to_json

if TYPE_CHECKING:
    import pandas as pd

NAME = "claims.json"
REPRODUCED, NOT_REPRODUCED, UNDECIDED = "reproduced", "not reproduced", "undecided"
NOT_TESTABLE = "not testable here"
_AGREES = {REPRODUCED: True, NOT_REPRODUCED: False, UNDECIDED: None, NOT_TESTABLE: None}
_TOPOLOGY = "site-to-site"
_UNPATCHED = "upstream"  # the build of modules that are as the kernel has them


@dataclass(frozen=True, slots=True)
class Evidence:
    """One number of a claim as a run has it, beside the published one.

    ``of``, ``to``: the cells, in words; ``to`` of an efficiency is the same with the fewest cores. ``cores``: at which
    the number is. ``median``, ``low``, ``high``: in ``unit``; ``interval``: what low and high are ("95 % interval",
    "range"); all None or empty, and ``n`` (pairs, or trials of ``of``) 0, where there is no number.
    ``accepted_low``, ``accepted_high``: what agrees; None where that side is open. ``agrees``: True or False where the
    whole interval lies inside or outside, None where nothing can be said, and ``reason`` says why. ``straddles``: an
    interval that could decide lies partly inside, which is all that is in the way.
    ``invalid_attempts``: of these cells, those that a later attempt made good included.
    """

    name: str
    statistic: str
    unit: str
    published: str
    published_value: float | None
    accepted_low: float | None
    accepted_high: float | None
    of: str = ""
    to: str = ""
    cores: int | None = None
    n: int = 0
    median: float | None = None
    low: float | None = None
    high: float | None = None
    interval: str = ""
    invalid_attempts: int = 0
    agrees: bool | None = None
    straddles: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run shows about one claim. ``verdict``: one of `statuses_of` the run's clock.

    ``clock``: real or virtual, and ``measured_in`` the same in words; ``agrees``: the verdict by either clock, True
    where the claim is reproduced, False where it is not, None where it is undecided or not testable. ``with_invalid``:
    whether the same follows with invalid attempts included, in a sentence; empty where there is none. ``reason``: why,
    in a sentence or two. ``evidence``: a row for each number that the claim is tested by.
    """

    claim: str
    title: str
    statement: str
    verdict: str
    reason: str
    evidence: tuple[Evidence, ...]
    source: str
    experiment: str
    figure: str
    needs_cores: int
    needs_because: str
    also_published: tuple[str, ...] = ()
    remarks: str = ""
    clock: str = REAL
    measured_in: str = REAL_TIME
    agrees: bool | None = None
    with_invalid: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for claims.json and --json."""
        return asdict(self)


def statuses_of(clock: str) -> tuple[str, ...]:
    """All verdicts that a run with a clock, real or virtual, can give, in the order in which they are counted."""
    return tuple(_in_words(status, clock) for status in _AGREES)


def _in_words(status: str, clock: str) -> str:
    return f"{status} in virtual time" if clock == VIRTUAL and status != NOT_TESTABLE else status


@cache
def load_claims(folder: Path | None = None) -> tuple[Claim, ...]:
    """The claims of a folder, by default experiments/claims, in the order of their numbers.

    Raises SpecError with every mistake of a file.
    """
    found = [load_claim(path) for path in (folder or paths.CLAIMS).glob("*.yaml")]
    return tuple(sorted(found, key=lambda claim: int(claim.claim[1:])))


def claim_named(name: str) -> Claim:
    """The claim of a name such as C4. Raises UserError where there is none."""
    by_name = {claim.claim: claim for claim in load_claims()}
    if name.upper() not in by_name:
        raise UserError(f"There is no claim {name} in experiments/claims.{did_you_mean(name, by_name)}")
    return by_name[name.upper()]


def verify(run: Run, claims: Iterable[Claim] | None = None) -> list[Verdict]:
    """What a run shows about claims, by default all of them, in their order."""
    asked = tuple(load_claims() if claims is None else claims)
    judge, included = _Judge(run), with_invalid(run)
    found = [judge.verdict(claim) for claim in asked]
    if included is None:
        return found
    others = map(_Judge(included.run).verdict, asked)
    return [
        replace(verdict, with_invalid=sentence(included, _conclusion(verdict), _conclusion(other)))
        for verdict, other in zip(found, others, strict=True)
    ]


def _conclusion(verdict: Verdict) -> str:
    """What a verdict comes to, without numbers: it, and where it rests on several numbers which of them agree."""
    said = [verdict.verdict]
    for one in verdict.evidence if len(verdict.evidence) > 1 else ():
        agrees = {True: "agrees", False: "disagrees", None: "decides nothing"}[one.agrees]
        said.append(f"{one.name} {agrees}" if one.median is not None else f"{one.name} has no number")
    return ", ".join(said)


def write_verdicts(run: Run, verdicts: Sequence[Verdict]) -> Path:
    """Write the claims.json of a run. Raises OSError where it cannot be written."""
    about = {"schema": 1, "run_id": run.meta.get("run_id"), "clock": run.clock, "measured_in": run.measured_in}
    content = {**about, "verdicts": [verdict.to_json() for verdict in verdicts]}
    replace_file(run.path / NAME, to_json(content))
    return run.path / NAME


@dataclass
class _Judge:
    """Judges the claims of one run."""

    run: Run
    values: Mapping[Key, Mapping[Any, float]] = field(init=False)
    rows: Mapping[Key, Mapping[Any, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.values = throughputs(self.run.measured)
        self.rows = {Key.of(row): row for row in cells(self.run).to_dict("records")}

    def verdict(self, claim: Claim) -> Verdict:
        evidence = tuple(self._evidence(claim, test) for test in claim.tests)
        found, reason = self._conclusion(claim, evidence)
        return Verdict(
            claim.claim,
            claim.title,
            claim.statement,
            _in_words(found, self.run.clock),
            reason,
            evidence,
            claim.source.text,
            claim.experiment,
            claim.figure,
            claim.needs.cores,
            claim.needs.because,
            tuple(published.text for published in claim.also_published),
            claim.remarks or "",
            self.run.clock,
            self.run.measured_in,
            _AGREES[found],
        )

    def _conclusion(self, claim: Claim, evidence: Sequence[Evidence]) -> tuple[str, str]:
        against = [one for one in evidence if one.agrees is False]
        unknown = [one for one in evidence if one.agrees is None]
        several = len(evidence) > 1
        said = [f"{one.name}: {one.reason}" if several else one.reason for one in (against or unknown or evidence)]
        if against:
            others = [one.name for one in evidence if one.agrees]
            return NOT_REPRODUCED, "; ".join(said) + (f"; {', '.join(others)} agrees" if others else "")
        if unknown:
            status = UNDECIDED if all(one.straddles for one in unknown) else NOT_TESTABLE
            # One reason that holds for all is said once.
            return status, unknown[0].reason if len({one.reason for one in evidence}) == 1 else "; ".join(said)
        return REPRODUCED, "; ".join(said)

    def _blockers(self, claim: Claim, cores: int) -> Iterator[str]:
        """Why this run can test nothing of a claim, whatever it measured."""
        if self.run.topology != _TOPOLOGY:
            yield f"wrong topology: {self.run.topology}, and only {_TOPOLOGY} runs can reproduce a claim"
        if self.run.testbed.get("emulated"):
            yield "emulated: the processors of this run were emulated, which shows that it works and not how fast"
        if cores < claim.needs.cores:
            has = f"too few cores: {cores}"
            if cores < max(key.cores for key in self.rows):
                has = f"cells missing: the run has those of the claim with {cores} cores at most"
            yield f"{has}, and it needs {claim.needs.cores} at least"

    def _evidence(self, claim: Claim, test: ClaimTest) -> Evidence:
        low, high = test.accepted
        published = test.published
        facts: dict[str, Any] = {
            "name": test.name,
            "statistic": test.statistic,
            "unit": "of linear" if test.statistic == "efficiency" else "times",
            "published": published.text if published else "no number",
            "published_value": published.value if published else None,
            "accepted_low": low if math.isfinite(low) else None,
            "accepted_high": high if math.isfinite(high) else None,
        }
        options = self._options(test)
        if not options:
            return Evidence(**facts, reason=self._not_planned(claim, test))
        cores = max(options)
        of, to = options[cores]
        if test.statistic == "efficiency":
            to = options[min(options)][0]
        facts |= {"cores": cores, "of": str(of), "to": str(to)}
        facts["invalid_attempts"] = sum(self.rows[key]["invalid_attempts"] for key in {of, to})
        why_not = list(self._blockers(claim, cores))
        if test.statistic == "efficiency" and len(options) < FEWEST_CORE_COUNTS:
            counts = f"{len(options)} core count{'s' * (len(options) != 1)}"
            why_not.append(f"{counts} make no scaling claim, {FEWEST_CORE_COUNTS} are needed")
        interval = self._number(test, of, to, facts)
        if interval is None:
            return Evidence(**facts, reason="; ".join([*why_not, *self._missing(of, to)]))
        why_not += self._doubts(test, of, to, interval)
        inside = low <= interval.low and interval.high <= high
        outside = interval.high < low or interval.low > high
        span = f"{interval.low:.2f} to {interval.high:.2f}"
        if not why_not and not inside and not outside:
            why = f"the interval {span} is partly in {_accepted(low, high)}; more rounds narrow it"
            return Evidence(**facts, straddles=True, reason=why)
        if why_not:
            return Evidence(**facts, reason="; ".join(why_not))
        where = "in" if inside else "outside"
        return Evidence(**facts, agrees=inside, reason=f"{span} lies {where} {_accepted(low, high)}")

    def _options(self, test: ClaimTest) -> dict[int, tuple[Key, Key]]:
        """{cores: the cells of a test} for every number of cores at which the run has them, measured or not."""
        found: dict[int, tuple[Key, Key]] = {}
        to = test.to or test.of
        longest = max(len(test.of.tunnels), len(to.tunnels))
        pairs = [tuple(side.tunnels[min(i, len(side.tunnels) - 1)] for side in (test.of, to)) for i in range(longest)]
        for cores in sorted({key.cores for key in self.rows}):
            for levels in pairs:
                above, below = (
                    Key(side.variant, cores, cores if level == PER_CORE else int(level))
                    for side, level in zip((test.of, to), levels, strict=True)
                )
                if above in self.rows and below in self.rows and (test.statistic == "efficiency" or above != below):
                    found[cores] = above, below
                    break
        return found

    def _not_planned(self, claim: Claim, test: ClaimTest) -> str:
        wanted = {side.variant: None for side in (test.of, test.to) if side is not None}
        absent = [name for name in wanted if name not in self.run.variants]
        what = f"the variant {' and '.join(absent)}" if absent else f"the cells of {' and '.join(wanted)} that it needs"
        name = self.run.meta.get("experiment", "another experiment")
        return f"cells missing: this run of {name} has not {what}; `orch reproduce {claim.claim}` measures them"

    def _number(self, test: ClaimTest, of: Key, to: Key, facts: dict[str, Any]) -> Interval | None:
        """Put the number of a test into ``facts``; returns its interval, None where there is no number."""
        above, below = self.values.get(of, {}), self.values.get(to, {})
        if test.statistic == "ratio":
            ratio = paired_ratio(above, below)
            if ratio is None:
                return None
            n, median, interval = ratio.n, ratio.median, ratio.interval
        else:
            if of == to or self._testbeds(of) != self._testbeds(to):  # core counts are compared on one testbed
                return None
            if to.cores != 1:
                return None
            quotient = parallel_efficiency(boots_of(above), of.cores, boots_of(below))
            if quotient is None:
                return None
            n, median, interval = min(quotient.n_numerator, quotient.n_denominator), quotient.value, quotient.interval
        facts |= {"n": n, "median": median, "low": interval.low, "high": interval.high, "interval": interval.name}
        return interval

    def _missing(self, of: Key, to: Key) -> Iterator[str]:
        for key in dict.fromkeys((of, to)):
            if not self.values.get(key):
                row = self.rows[key]
                statuses = [f"{row[name]} {name}" for name in ("failed", "invalid", "missing") if row[name]]
                beside = sum(Key.of(trial) == key for trial in self.run.shared.to_dict("records"))
                statuses += [f"{beside} shared_computer"] * bool(beside)
                yield f"cells missing: no ok trial of {key} ({', '.join(statuses) or 'none planned'})"
        if self._testbeds(of) != self._testbeds(to):
            yield f"{of} and {to} were measured on different testbeds of a pool"

    def _testbeds(self, key: Key) -> set[Any]:
        return {testbed for testbed, _, _ in self.values.get(key, {})}

    def _doubts(self, test: ClaimTest, of: Key, to: Key, interval: Interval) -> Iterator[str]:
        """Why a number that was measured decides nothing."""
        # An efficiency is of two medians that nothing pairs: each needs an interval of 97.5 %.
        fewest, kind = (FEWEST_FOR_INTERVAL, "a ratio") if test.statistic == "ratio" else (7, "an efficiency")
        if interval.coverage is None:
            yield f"too few rounds: below {fewest} there is no {CONFIDENCE * 100:.0f} % interval of {kind}"
        bound = [str(key) for key in dict.fromkeys((of, to)) if self.rows[key]["generator_bound"]]
        if bound:
            yield f"generator-bound: {' and '.join(bound)} came close to the baseline without a tunnel"
        if test.statistic == "ratio" and not self._is_unpatched(to.variant):
            yield f"the run does not say that {to.variant} is an unpatched module, which a ratio is to be against"
        if any(self._trials(key)["variant_build"].nunique() > 1 for key in (of, to)):
            yield "the trials of a cell are of different builds of its module"
        relaxed = [name for name in self._report_only() if name not in Limits().report_only]
        marked = sum(int(self._trials(key)["marks"].fillna("").ne("").sum()) for key in {of, to})
        if relaxed and marked:
            yield f"relaxed limits: the spec only reports {', '.join(relaxed)}, and {marked} of its trials are marked"

    def _is_unpatched(self, variant: str) -> bool:
        described = (self.run.meta.get("variants") or {}).get(variant) or {}
        return bool(described.get("build") == _UNPATCHED)

    def _report_only(self) -> Sequence[str]:
        return ((self.run.meta.get("spec") or {}).get("limits") or {}).get("report_only") or ()

    def _trials(self, key: Key) -> "pd.DataFrame":
        """The ok trials of a cell."""
        trials = self.run.measured
        mine = trials[(trials["variant"] == key.variant) & (trials["cores"] == key.cores)]
        return mine[mine["tunnels"] == key.tunnels]


def _accepted(low: float, high: float) -> str:
    if math.isinf(low):
        return f"what is accepted (at most {high:.2f})"
    return (
        f"what is accepted ({low:.2f} to {high:.2f})" if math.isfinite(high) else f"what is accepted (from {low:.2f})"
    )
