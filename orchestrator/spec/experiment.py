# SPDX-License-Identifier: Apache-2.0
"""An experiment as its spec describes it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from orchestrator.spec.fields import (
    CoresLevel,
    Name,
    PacketSize,
    Share,
    Strict,
    TunnelsLevel,
    VariantName,
    expected,
)
from orchestrator.spec.limits import Limits
from orchestrator.spec.own_tools import digests
from orchestrator.spec.traffic import TierTraffic, Traffic
from orchestrator.spec.variants import NO_VARIANTS, Variants
from orchestrator.spec.varied import Varied, with_paths

T = TypeVar("T")
Topology = Literal["site-to-site", "gateway-to-gateway"]
MOST_ROUNDS = 100_000
MOST_BOOTS = 100
Rounds = Annotated[int, Field(ge=1, le=MOST_ROUNDS)]
Levels = Annotated[tuple[T, ...], Field(min_length=1)]


def _as_tuple(value: Any) -> Any:
    return value if isinstance(value, tuple) else (value,)


OneOrMore = Annotated[Levels[T], BeforeValidator(_as_tuple)]


class Adaptive(Strict):
    """How often each cell is measured: in ``boots`` boots, in each in ``min`` rounds, then in more, until the interval
    of every cell is narrower than ``width`` (a share of the median), at most in ``max``."""

    min: Rounds = Field(description="Rounds of each boot that are measured in any case.")
    max: Rounds = Field(description="Rounds of each boot after which it ends in any case.")
    width: Share | None = Field(
        default=None, gt=0, description="Of the median: how narrow the interval of every cell must be."
    )
    width_of: Literal["median", "ratio"] | None = Field(
        default=None,
        description="Whose interval width is about: of each cell's median, or of its ratio to the reference variant, "
        "paired by round. By default the ratio where there is more than one variant, else the median.",
    )
    boots: int = Field(
        default=1,
        ge=1,
        le=MOST_BOOTS,
        description="How often the hosts are started with each number of cores; each time is a block of its own.",
    )

    @model_validator(mode="after")
    def _goes_up(self) -> "Adaptive":
        if self.max < self.min:
            raise expected(f"max to be at least min, {self.min}")
        if self.width is None and self.max != self.min:
            raise expected("a width, such as 10%", because="without one nothing says when to end before max")
        if self.width is None and self.width_of is not None:
            raise expected("a width, such as 10%", because="width_of says what a width is about")
        return self

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what has its default, so that specs of before these keys are what they were."""
        content: dict[str, Any] = handler(self)
        defaults = {"width_of": None, "boots": 1}
        return {key: value for key, value in content.items() if key not in defaults or value != defaults[key]}


def _as_rounds(value: Any) -> Any:
    if isinstance(value, dict | Adaptive):
        return value
    if type(value) is int and 1 <= value <= MOST_ROUNDS:
        return {"min": value, "max": value}
    raise expected(f"a whole number from 1 to {MOST_ROUNDS}, or {{min, max, width, boots}}")


_ROUNDS_SCHEMA = {
    "description": "Rounds: every cell is measured once in each. A number, or min, max, width and boots.",
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": MOST_ROUNDS},
        Adaptive.model_json_schema(),
    ],
}
Repetitions = Annotated[Adaptive, BeforeValidator(_as_rounds), WithJsonSchema(_ROUNDS_SCHEMA)]


class _Factors(Varied):
    """What is varied. The cells of the experiment are the cross product of these levels."""

    variant: Levels[VariantName]
    cores: Levels[CoresLevel]
    tunnels: Levels[TunnelsLevel]
    packet_size: Levels[PacketSize] | None = None


class _Rule(Varied):
    """Cells to leave out: those that have one of the named levels of every factor named here."""

    variant: OneOrMore[VariantName] | None = None
    cores: OneOrMore[CoresLevel] | None = None
    tunnels: OneOrMore[TunnelsLevel] | None = None
    packet_size: OneOrMore[PacketSize] | None = None

    @model_validator(mode="after")
    def _names_a_factor(self) -> "_Rule":
        if self.variant is self.cores is self.tunnels is self.packet_size is None and not self.more:
            raise expected(
                "at least one of variant, cores, tunnels, packet_size, or a key of traffic that is a factor",
                because="an empty rule would leave out everything",
            )
        return self


class _ExtraCell(Varied):
    """One cell that is measured in addition."""

    variant: VariantName
    cores: CoresLevel
    tunnels: TunnelsLevel
    packet_size: PacketSize | None = None


class _TierFactors(Varied):
    """Levels that a tier replaces."""

    variant: Levels[VariantName] | None = None
    cores: Levels[CoresLevel] | None = None
    tunnels: Levels[TunnelsLevel] | None = None
    packet_size: Levels[PacketSize] | None = None


if TYPE_CHECKING:

    class Factors(_Factors): ...

    class Rule(_Rule): ...

    class ExtraCell(_ExtraCell): ...

    class TierFactors(_TierFactors): ...
else:

    def _levels(level: Any) -> Any:
        return Levels[level]

    Factors = with_paths(_Factors, _levels)
    Rule = with_paths(_Rule, lambda level: OneOrMore[level])
    ExtraCell = with_paths(_ExtraCell, lambda level: level)
    TierFactors = with_paths(_TierFactors, _levels)


class Tier(Strict):
    """A size of the experiment. What it names replaces the experiment's own value; lists are replaced whole."""

    description: str = ""
    testbed: str | None = None
    topology: Topology | None = None
    seed: int | None = Field(default=None, ge=0)
    factors: TierFactors | None = None
    exclude: tuple[Rule, ...] | None = None
    include: tuple[ExtraCell, ...] | None = None
    traffic: TierTraffic | None = None
    repetitions: Repetitions | None = None
    trace: Literal["polls", "profile"] | None = None
    noise_floor: VariantName | None = None
    retries: int | None = Field(default=None, ge=0, le=100)
    busy: Literal["reject", "mark"] | None = None
    notebooks: tuple[Name, ...] | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an experiment was read from. ``path``: the file; ``text``: its content, as it was; ``variants``: those of
    the file of variants that it names."""

    path: Path = Path()
    text: str = ""
    tier: str | None = None
    overrides: tuple[str, ...] = ()
    variants: Variants = NO_VARIANTS


class Experiment(Strict):
    """An experiment, resolved: the spec, changed by its tier, changed by --set.

    Durations are seconds. ``spec_hash`` is over what the experiment is: comments, the order of keys, descriptions and
    tiers that were not chosen are not in it.
    """

    experiment: Name
    description: str = ""
    testbed: Annotated[
        str,
        Field(
            min_length=1,
            description="A name in experiments/testbeds, a file, or auto: what this computer does best.",
        ),
    ] = "lab"
    topology: Topology = "site-to-site"
    seed: int = Field(default=1, ge=0, description="Decides the order of trials; any number.")
    variants: str | None = Field(
        default=None, min_length=1, description="A file of variants of your own, relative to this one."
    )
    factors: Factors
    exclude: tuple[Rule, ...] = ()
    include: tuple[ExtraCell, ...] = ()
    traffic: Traffic
    repetitions: Repetitions = Adaptive(min=5, max=5)
    trace: Literal["polls", "profile"] | None = Field(
        default=None,
        description="polls: each cell is run once more while the kernel records on which CPUs NAPI polls run; profile: "
        "while what each CPU runs is sampled. These trials enter no median.",
    )
    noise_floor: VariantName | None = Field(
        default=None,
        description="A variant that each round measures once more at each place: what the two measurements differ by "
        "is noise. One of the variants is held against itself, another (patched-off) against vanilla.",
    )
    retries: int = Field(default=2, ge=0, le=100, description="How often a trial that is not ok is tried again.")
    on_failure: Literal["continue", "stop"] = Field(
        default="continue", description="What to do when a trial is not ok after its retries."
    )
    busy: Literal["reject", "mark"] = Field(
        default="reject",
        description="What competing load on the computer does to an attempt: reject makes it invalid, mark only marks "
        "it, together with the limits that such load breaks.",
    )
    limits: Limits = Field(default=Limits(), description="When an attempt is not valid; the same in every tier.")
    notebooks: tuple[Name, ...] = Field(default=(), description="Notebooks that draw the figures.")
    default_tier: str | None = Field(default=None, exclude=True, description="The tier when none is asked for.")
    tiers: dict[Name, Tier] = Field(default={}, exclude=True, description="Sizes of the experiment, by name.")

    _origin: Origin = PrivateAttr(default=Origin())
    _files: Mapping[str, bytes] = PrivateAttr(default={})

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without later keys that have their defaults, so that specs of before these keys are what they were."""
        content: dict[str, Any] = handler(self)
        defaults = {"noise_floor": None, "busy": "reject", "variants": None}
        return {key: value for key, value in content.items() if key not in defaults or value != defaults[key]}

    def with_origin(
        self, path: Path, text: str, tier: str | None, overrides: Sequence[str], variants: Variants = NO_VARIANTS
    ) -> "Experiment":
        """The same, remembering where it came from."""
        copy = self.model_copy()
        copy._origin = Origin(path, text, tier, tuple(overrides), variants)
        return copy

    def with_files(self, files: Mapping[str, bytes]) -> "Experiment":
        """The same with the contents of the files that its command brings, by their paths; their digests become a part
        of what it is."""
        command = self.traffic.command
        if command is None or not files:
            return self
        command = command.model_copy(update={"files": digests(files)})
        copy = self.model_copy(update={"traffic": self.traffic.model_copy(update={"command": command})})
        copy._files = dict(files)
        return copy

    @property
    def files(self) -> Mapping[str, bytes]:
        """The contents of the files that its command brings, by their paths relative to the spec's folder."""
        return self._files

    @property
    def path(self) -> Path:
        """The file that it was read from."""
        return self._origin.path

    @property
    def text(self) -> str:
        """The file's text, as it was."""
        return self._origin.text

    @property
    def tier(self) -> str | None:
        """The tier that was applied; None where the spec has no tiers."""
        return self._origin.tier

    @property
    def overrides(self) -> tuple[str, ...]:
        """The arguments of --set, as given."""
        return self._origin.overrides

    @property
    def own_variants(self) -> Variants:
        """The variants of the file that it names; none without one."""
        return self._origin.variants

    @property
    def inputs(self) -> dict[str, bytes]:
        """What it names beside itself, by its path relative to the spec's folder."""
        found = dict(self.files)
        if self.variants is not None:
            folder = PurePosixPath(self.variants).parent
            found |= {(folder / name).as_posix(): content for name, content in self.own_variants.files.items()}
        return found

    @property
    def spec_hash(self) -> str:
        """64 hexadecimal digits."""
        content = self.model_dump(mode="json", exclude={"description"})
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
