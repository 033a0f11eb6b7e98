# SPDX-License-Identifier: Apache-2.0
"""A verdict on a claim and the numbers that it is made of, as values, and in words."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator.analysis.dataset import Run
from orchestrator.store.clock import REAL, REAL_TIME, VIRTUAL
from orchestrator.store.files import replace_file, to_json

NAME = "claims.json"
REPRODUCED, NOT_REPRODUCED, UNDECIDED = "reproduced", "not reproduced", "undecided"
NOT_TESTABLE = "not testable here"
AGREES = {REPRODUCED: True, NOT_REPRODUCED: False, UNDECIDED: None, NOT_TESTABLE: None}


@dataclass(frozen=True, slots=True)
class ClaimEvidence:
    """One number of a claim as a run has it, beside the published one.

    ``of``, ``to``: the cells, in words; ``to`` of an efficiency is the same with one core. ``cores``: at which the
    number is. ``median``, ``low``, ``high``: in ``unit``; ``interval``: what low and high are ("95 % interval over
    boots", "range"); all None or empty, and ``n`` (pairs, or trials of ``of``) and ``boots`` 0, where there is no
    number. ``accepted_low``, ``accepted_high``: what agrees there, and ``accepted_because``. ``agrees``: True or False
    where the whole interval lies inside or outside, None where nothing can be said, and ``reason`` says why.
    ``straddles``: an interval that could decide lies partly inside, which is all that is in the way.
    ``order``: which variant is above the other, in words; empty where the number does not compare variants.
    ``invalid_attempts``: of these cells, those that a later attempt made good included.
    """

    name: str
    statistic: str
    unit: str
    published: str
    published_value: float | None
    scope: str
    accepted_low: float | None = None
    accepted_high: float | None = None
    accepted_because: str = ""
    of: str = ""
    to: str = ""
    cores: int | None = None
    n: int = 0
    boots: int = 0
    median: float | None = None
    low: float | None = None
    high: float | None = None
    interval: str = ""
    order: str = ""
    invalid_attempts: int = 0
    agrees: bool | None = None
    straddles: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ClaimVerdict:
    """What a run shows about one claim. ``verdict``: one of `statuses_of` the run's clock.

    ``clock``: real or virtual, and ``measured_in`` the same in words; ``agrees``: the verdict by either clock, True
    where the claim is reproduced, False where it is not, None where it is undecided or not testable. ``with_invalid``:
    whether the same follows with invalid attempts included, in a sentence; empty where there is none. ``reason``: why,
    in a sentence or two. ``scope``: where the claim is judged, and ``scope_because``. ``evidence``: a row for each
    number that the claim is tested by. ``beyond``: the same numbers with the most cores of the run where these are not
    the place that is judged: reported only.
    """

    claim: str
    title: str
    statement: str
    verdict: str
    reason: str
    evidence: tuple[ClaimEvidence, ...]
    source: str
    experiment: str
    figure: str
    scope: str
    scope_because: str
    beyond: tuple[ClaimEvidence, ...] = ()
    also_published: tuple[str, ...] = ()
    remarks: str = ""
    clock: str = REAL
    measured_in: str = REAL_TIME
    agrees: bool | None = None
    with_invalid: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for claims.json and --json."""
        return asdict(self)


class Verdicts(list[ClaimVerdict]):
    """The verdicts of a run, in the order of the claims; a notebook shows them as a table."""

    def _repr_html_(self) -> str:
        from orchestrator.analysis.rendering import verdicts_html

        return verdicts_html(self)


def conclusion(verdict: ClaimVerdict) -> str:
    """What a verdict comes to, without numbers: it, and where it rests on several numbers which of them agree."""
    said = [verdict.verdict]
    for one in verdict.evidence if len(verdict.evidence) > 1 else ():
        agrees = {True: "agrees", False: "disagrees", None: "decides nothing"}[one.agrees]
        said.append(f"{one.name} {agrees}" if one.median is not None else f"{one.name} has no number")
    return ", ".join(said)


def statuses_of(clock: str) -> tuple[str, ...]:
    """All verdicts that a run with a clock, real or virtual, can give, in the order in which they are counted."""
    return tuple(in_words(status, clock) for status in AGREES)


def in_words(status: str, clock: str) -> str:
    """A status as a run with a clock says it: in virtual time it says so."""
    return f"{status} in virtual time" if clock == VIRTUAL and status != NOT_TESTABLE else status


def write_verdicts(run: Run, verdicts: Sequence[ClaimVerdict]) -> Path:
    """Write the claims.json of a run. Raises OSError where it cannot be written."""
    about = {"schema": 2, "run_id": run.meta.get("run_id"), "clock": run.clock, "measured_in": run.measured_in}
    content = {**about, "verdicts": [verdict.to_json() for verdict in verdicts]}
    replace_file(run.path / NAME, to_json(content))
    return run.path / NAME
