# SPDX-License-Identifier: Apache-2.0
"""A verdict on a claim and the numbers behind it, as values and in words."""

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
    """One number of a claim as measured in a run, with the published one (``published`` is empty if a claim of the
    spec's own has none).

    ``of``, ``to``: the cells, in words; for an efficiency, ``to`` is the same cell with one core. ``cores``: the core
    count of the number. ``median``, ``low``, ``high``: in ``unit``; ``interval``: what low and high are ("95 % interval
    over boots", "range"). Without a number, these are None or empty, and ``n`` (pairs, or trials of ``of``) and
    ``boots`` are 0. ``accepted_low``, ``accepted_high``: the accepted range, and ``accepted_because`` the reason for
    it. ``agrees``: True or False if the whole interval lies inside or outside; None if nothing can be concluded, for
    the ``reason`` given. ``straddles``: whether the only obstacle is that a decisive interval lies partly inside.
    ``order``: which variant is faster, in words; empty if the number does not compare variants. ``invalid_attempts``:
    of these cells, including those followed by a valid one.
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

    @property
    def accepted(self) -> str:
        """Return the accepted range in words; empty if the run has no place at which to judge."""
        if self.accepted_low is None or self.accepted_high is None:
            return ""
        return f"{self.accepted_low:.2f} to {self.accepted_high:.2f}"


@dataclass(frozen=True, slots=True)
class ClaimVerdict:
    """The verdict of a run on one claim. ``verdict``: one of `statuses_of` the run's clock.

    ``clock``: real or virtual, and ``measured_in`` the same in words; ``agrees``: the verdict regardless of the clock:
    True if the claim is reproduced, False if it is not, None if it is undecided or not testable. ``with_invalid``: a
    sentence on whether the verdict is the same with invalid attempts included; empty if there are none. ``reason``:
    why, in a sentence or two. ``scope``: where the claim is judged, and ``scope_because`` why. ``evidence``: one row
    per number by which the claim is tested. ``beyond``: the same numbers for the run's highest core count, if that is
    not the place that is judged: only reported.
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

    @property
    def is_own(self) -> bool:
        """Return whether the claim is the spec's own; the ids of published claims begin with C."""
        return not self.claim.startswith("C")

    def to_json(self) -> dict[str, Any]:
        """Return JSON values for claims.json and --json."""
        return asdict(self)


class Verdicts(list[ClaimVerdict]):
    """The verdicts of a run, in the order of the claims; a notebook shows them as a table."""

    def _repr_html_(self) -> str:
        from orchestrator.analysis.rendering import verdicts_html

        return verdicts_html(self)


def conclusion(verdict: ClaimVerdict) -> str:
    """Return the essence of a verdict without numbers: its status and, if it rests on several numbers, which of them
    agree."""
    said = [verdict.verdict]
    for one in verdict.evidence if len(verdict.evidence) > 1 else ():
        agrees = {True: "agrees", False: "disagrees", None: "decides nothing"}[one.agrees]
        said.append(f"{one.name} {agrees}" if one.median is not None else f"{one.name} has no number")
    return ", ".join(said)


def statuses_of(clock: str) -> tuple[str, ...]:
    """Return all verdicts that a run with a clock, real or virtual, can give, in the order in which they are listed."""
    return tuple(in_words(status, clock) for status in AGREES)


def in_words(status: str, clock: str) -> str:
    """Return the wording of a status for a clock: in virtual time, it says so."""
    return f"{status} in virtual time" if clock == VIRTUAL and status != NOT_TESTABLE else status


def write_verdicts(run: Run, verdicts: Sequence[ClaimVerdict]) -> Path:
    """Write the claims.json of a run and return its path. Raises OSError if it cannot be written."""
    about = {"schema": 2, "run_id": run.meta.get("run_id"), "clock": run.clock, "measured_in": run.measured_in}
    content = {**about, "verdicts": [verdict.to_json() for verdict in verdicts]}
    replace_file(run.path / NAME, to_json(content))
    return run.path / NAME
