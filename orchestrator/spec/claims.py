# SPDX-License-Identifier: Apache-2.0
"""Claims of the paper and of other publications, read from experiments/claims, which is the only place for published
numbers and their sources."""

import functools
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    WithJsonSchema,
    create_model,
    model_validator,
)

from orchestrator.spec.document import parse, read_source
from orchestrator.spec.fields import MOST_CORES, MOST_TUNNELS, PER_CORE, Name, Strict, VariantName, expected
from orchestrator.spec.problems import SpecError
from orchestrator.spec.validation import build
from orchestrator.spec.varied import Varied, with_paths

NO_TESTBED = "none"
MANY = "many"  # tunnels: as many as the claim's scope defines
ClaimId = Annotated[str, Field(pattern=r"^C[1-9][0-9]?$")]
Text = Annotated[str, Field(min_length=1)]


def _one_line(value: Any) -> Any:
    return " ".join(value.split()) if isinstance(value, str) else value


Prose = Annotated[str, Field(min_length=1), BeforeValidator(_one_line)]


class Citation(Strict):
    """The source of a published claim. ``address``: the URL of the text, if there is one."""

    text: Prose
    address: Text | None = None


class LevelRange(Strict):
    """The levels of a factor at which a claim is judged: of those between the bounds, the one nearest to
    ``nearest``.
    """

    nearest: Annotated[int, Field(ge=1)]
    at_least: Annotated[int, Field(ge=1)]
    at_most: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _is_ordered(self) -> "LevelRange":
        if not self.at_least <= self.nearest <= self.at_most:
            raise expected("at_least, nearest and at_most in ascending order")
        return self

    def holds(self, level: int) -> bool:
        """Return whether ``level`` is in the span, bounds included."""
        return self.at_least <= level <= self.at_most

    def distance(self, level: int) -> float:
        """Return the factor by which ``level`` is above or below ``nearest``; 1 if equal."""
        return max(level / self.nearest, self.nearest / level)

    def __str__(self) -> str:
        return f"{self.at_least} to {self.at_most}"


class Scope(Strict):
    """The cells at which a published number is judged. ``because``: the reason for this choice.

    ``cores``: those of each gateway, which may be virtual CPUs. ``tunnels``: the meaning of `many` in the cells.
    """

    cores: LevelRange
    tunnels: LevelRange | None = None
    because: Prose

    @model_validator(mode="after")
    def _is_possible(self) -> "Scope":
        if self.cores.at_most > MOST_CORES:
            raise expected(f"{MOST_CORES} cores at most")
        return self

    def __str__(self) -> str:
        tunnels = f", {self.tunnels} tunnels" if self.tunnels else ""
        return f"{self.cores} cores{tunnels}, nearest to {self.cores.nearest}"


def _tunnels(value: Any) -> Any:
    if value in (PER_CORE, MANY) or (type(value) is int and 1 <= value <= MOST_TUNNELS):
        return value
    raise expected(f"a whole number from 1 to {MOST_TUNNELS}, {PER_CORE} or {MANY}")


Tunnels = Annotated[
    int | Literal["per-core", "many"],
    PlainValidator(_tunnels),
    WithJsonSchema(
        {
            "anyOf": [
                {"maximum": MOST_TUNNELS, "minimum": 1, "type": "integer"},
                {"enum": [PER_CORE, MANY], "type": "string"},
            ]
        }
    ),
]


class ClaimCells(Varied):
    """One cell for each number of cores. ``tunnels``: a number, one per core, or `many` as defined by the scope; other
    factors by their paths, such as ``traffic.connections: 8``."""

    variant: VariantName
    tunnels: Tunnels


class Published(Strict):
    """A published number. ``text``: as published, in a few words; ``value``: the number to compare with."""

    text: Prose
    value: Annotated[float, Field(gt=0)]
    relation: Literal["about", "below", "at least"] = "about"
    unit: Literal["times", "of linear", "Gbit/s", "%"] = "times"


class Accepted(Strict):
    """The values that agree with a claim, and the reason. Both bounds are required, because with one a collapse would
    agree.

    ``at_least_speed_up``: the lower bound of an efficiency, as a multiple of what one core carries.
    """

    at_least: float | None = None
    at_least_speed_up: float | None = None
    at_most: float
    because: Prose

    @model_validator(mode="after")
    def _has_two_bounds(self) -> "Accepted":
        if (self.at_least is None) == (self.at_least_speed_up is None):
            raise expected(
                "at_least or at_least_speed_up, one of them", because="with one bound a collapse would agree"
            )
        if self.at_least is not None and self.at_least >= self.at_most:
            raise expected("at_least below at_most")
        return self

    def bounds(self, cores: int) -> tuple[float, float]:
        """Return the (lowest, highest) value that agrees at a number of cores."""
        low = self.at_least if self.at_least is not None else (self.at_least_speed_up or 0.0) / cores
        return low, self.at_most

    def __str__(self) -> str:
        low = f"{self.at_least:g}" if self.at_least is not None else f"{self.at_least_speed_up:g} / cores"
        return f"{low} to {self.at_most:g}"


class ClaimTest(Strict):
    """One number that tests a claim, at the place in its scope that is nearest to the published one.

    ``statistic``: "ratio", the throughput of the cell ``of`` over that of the cell ``to``, paired by boot and round;
    "equivalence", the same ratio, tested for being unchanged; "efficiency", the throughput per core of ``of``, relative
    to one core. ``scope``: if it differs from the claim's.
    """

    name: Prose
    statistic: Literal["ratio", "equivalence", "efficiency"]
    of: ClaimCells
    to: ClaimCells | None = None
    published: Published | None = None
    accepted: Accepted
    scope: Scope | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> "ClaimTest":
        if (self.to is None) != (self.statistic == "efficiency"):
            raise expected("the cell `to` for a ratio or an equivalence, and none for an efficiency")
        if self.accepted.at_least_speed_up is not None and self.statistic != "efficiency":
            raise expected("at_least, since at_least_speed_up is for an efficiency")
        return self


class Claim(Strict):
    """A claim: its source, the experiment that has its cells, and its tests.

    It is reproduced if every test agrees. ``also_published``: numbers that belong to the claim but depend on the
    hardware, so that other hardware cannot reproduce them; they are shown, never tested.
    """

    is_own: ClassVar[bool] = False

    claim: ClaimId
    title: Prose
    statement: Prose
    source: Citation
    experiment: Name
    virtual_testbed: Annotated[
        Name,
        Field(description="The testbed in virtual time that has its cells on a computer with few cores; or none."),
    ] = "virtual-lab"
    figure: Annotated[str, Field(pattern=r"^F[1-9]$")] | None = None
    scope: Scope
    tests: tuple[ClaimTest, ...]
    also_published: tuple[Published, ...] = ()
    remarks: Prose | None = None

    @model_validator(mode="after")
    def _says_what_many_means(self) -> "Claim":
        for test in self.tests:
            levels = {side.tunnels for side in (test.of, test.to) if side is not None}
            if MANY in levels and self.scope_of(test).tunnels is None:
                raise expected("tunnels in the scope", because=f"the test “{test.name}” has cells with many tunnels")
        return self

    def scope_of(self, test: ClaimTest) -> Scope:
        """Return the scope in which one of the claim's tests is judged."""
        return test.scope or self.scope


@functools.cache
def claim_model() -> type[Claim]:
    """Return the model of a claim's file, whose cells have the keys of this program's tools."""
    return with_keys_of_tools(Claim)


def with_keys_of_tools(base: type[Claim]) -> type[Claim]:
    """Return a model of claims whose cells also have the keys of this program's tools."""
    cells: Any = with_paths(ClaimCells, lambda level: level)
    test: Any = create_model(
        "ClaimTest", __base__=ClaimTest, __doc__=ClaimTest.__doc__, of=(cells, ...), to=(cells | None, None)
    )
    several: Any = tuple
    tests = Annotated[several[test, ...], Field(min_length=1)]
    found: Any = create_model(base.__name__, __base__=base, __doc__=base.__doc__, tests=(tests, ...))
    return found


def load_claim(path: Path) -> Claim:
    """Return the claim in a file. Raises SpecError with all errors of the file, or UserError if the file cannot be
    read."""
    source = read_source(path)
    root, problems = parse(source)
    claim, refused = build(claim_model(), root)
    if problems or refused or claim is None:
        raise SpecError(source.name, [*problems, *refused])
    return claim
