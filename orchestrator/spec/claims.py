# SPDX-License-Identifier: Apache-2.0
"""Claims of the paper as experiments/claims describes them: the one place for published numbers and their sources."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from orchestrator.spec.document import parse, read_source
from orchestrator.spec.experiment import OneOrMore
from orchestrator.spec.fields import MOST_CORES, Name, Share, Strict, TunnelsLevel, VariantName, expected
from orchestrator.spec.problems import SpecError
from orchestrator.spec.validation import build

ClaimId = Annotated[str, Field(pattern=r"^C[1-9][0-9]?$")]
Text = Annotated[str, Field(min_length=1)]


def _one_line(value: Any) -> Any:
    return " ".join(value.split()) if isinstance(value, str) else value


Prose = Annotated[str, Field(min_length=1), BeforeValidator(_one_line)]


class Source(Strict):
    """Where a claim was published. ``address``: of the text, where there is one."""

    text: Prose
    address: Text | None = None


class Needs(Strict):
    """What a run must have so that it can test a claim: cells with at least so many cores, or virtual CPUs."""

    cores: Annotated[int, Field(ge=1, le=MOST_CORES)]
    because: Prose


class ClaimCells(Strict):
    """One cell for each number of cores. ``tunnels``: the first of these levels that the run has."""

    variant: VariantName
    tunnels: OneOrMore[TunnelsLevel]


class Published(Strict):
    """A published number. ``text``: as it was put, in a few words; ``value``: as a number to compare with."""

    text: Prose
    value: Annotated[float, Field(gt=0)]
    relation: Literal["about", "below", "at least"] = "about"
    unit: Literal["times", "of linear", "Gbit/s", "%"] = "times"


class Criterion(Strict):
    """What is accepted where no number was published: our choice, with its reason."""

    at_least: float | None = None
    at_most: float | None = None
    because: Prose

    @model_validator(mode="after")
    def _bounds_something(self) -> "Criterion":
        if self.at_least is None and self.at_most is None:
            raise expected("at_least, at_most or both", because="without a bound everything would be accepted")
        return self


class ClaimTest(Strict):
    """One number that a claim is tested by, at the most cores that a run has.

    ``statistic``: ratio is the throughput of the cell ``of`` over that of the cell ``to``, paired by block and round;
    efficiency is that of ``of``, throughput a core against the run's smallest number of cores. It agrees if its whole
    95 % interval lies in what is accepted: the published value with the tolerance, or our criterion.
    """

    name: Prose
    statistic: Literal["ratio", "efficiency"]
    of: ClaimCells
    to: ClaimCells | None = None
    published: Published | None = None
    tolerance: Share | None = None
    criterion: Criterion | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> "ClaimTest":
        if (self.to is None) != (self.statistic == "efficiency"):
            raise expected("the cell `to` for a ratio, and none for an efficiency")
        if (self.published is None) == (self.criterion is None):
            raise expected("published (with a tolerance) or criterion, one of them")
        if (self.published is None) != (self.tolerance is None):
            raise expected("a tolerance, such as 25%, for the published value, and none without one")
        return self

    @property
    def accepted(self) -> tuple[float, float]:
        """(lowest, highest) value that agrees, infinite where there is no bound."""
        if self.criterion is not None:
            low, high = self.criterion.at_least, self.criterion.at_most
            return (-math.inf if low is None else low), (math.inf if high is None else high)
        assert self.published is not None
        assert self.tolerance is not None
        low, high = (self.published.value * (1 + sign * self.tolerance) for sign in (-1, 1))
        if self.published.relation == "about":
            return low, high
        return (-math.inf, high) if self.published.relation == "below" else (low, math.inf)


class Claim(Strict):
    """A claim: where it was published, the experiment that has its cells, and what it is tested by.

    It is reproduced if every test agrees. ``also_published``: numbers that belong to it and that depend on the
    hardware, so that no other can reproduce them: shown, never tested.
    """

    claim: ClaimId
    title: Prose
    statement: Prose
    source: Source
    experiment: Name
    figure: Annotated[str, Field(pattern=r"^F[1-9]$")]
    needs: Needs
    tests: Annotated[tuple[ClaimTest, ...], Field(min_length=1)]
    also_published: tuple[Published, ...] = ()
    remarks: Prose | None = None


def load_claim(path: Path) -> Claim:
    """The claim of a file. Raises SpecError with every mistake of the file, UserError where there is no such file."""
    source = read_source(path)
    root, problems = parse(source)
    claim, refused = build(Claim, root)
    if problems or refused or claim is None:
        raise SpecError(source.name, [*problems, *refused])
    return claim
