# SPDX-License-Identifier: Apache-2.0
"""The model of an experiment, as described by its spec.

Longer than other modules: a tier repeats the keys of an experiment, and both are read together.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from orchestrator.spec import catalog
from orchestrator.spec.fields import (
    CoresLevel,
    Name,
    PacketSize,
    SampleInterval,
    Share,
    Strict,
    TunnelsLevel,
    VariantName,
    expected,
)
from orchestrator.spec.fixed_keys import refused_factor
from orchestrator.spec.known_tools import of_its_tool, unused_keys
from orchestrator.spec.limits import Limits
from orchestrator.spec.own_files import PUBLISHED, ClaimsChoice, NotebookName
from orchestrator.spec.own_probes import Probe
from orchestrator.spec.traffic import Traffic
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
    """How often each cell is measured: in each of ``boots`` boots, at least ``min`` and at most ``max`` rounds, until
    the interval of every cell is at most ``width`` wide (a share of the median)."""

    min: Rounds = Field(description="The minimum number of rounds in each boot.")
    max: Rounds = Field(description="The maximum number of rounds in each boot.")
    width: Share | None = Field(
        default=None,
        gt=0,
        description="The width at which a cell's interval is narrow enough, as a share of the median.",
    )
    width_of: Literal["median", "ratio"] | None = Field(
        default=None,
        description="Which interval must be narrow: of each cell's median, or of its ratio to the reference variant, "
        "paired by round. Default: ratio if there are several variants, else median.",
    )
    boots: int = Field(
        default=1,
        ge=1,
        le=MOST_BOOTS,
        description="How often the hosts are started for each number of cores. Each start is a separate block.",
    )

    @model_validator(mode="after")
    def _goes_up(self) -> "Adaptive":
        if self.max < self.min:
            raise expected(f"max to be at least min, {self.min}")
        if self.width is None and self.max != self.min:
            raise expected("a width, such as 10%", because="without a width, nothing ends the block before max")
        if self.width is None and self.width_of is not None:
            raise expected("a width, such as 10%", because="width_of needs a width")
        return self

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out keys with default values, so that older specs keep their hash."""
        content: dict[str, Any] = handler(self)
        defaults = {"width_of": None, "boots": 1}
        return {key: value for key, value in content.items() if key not in defaults or value != defaults[key]}


_OF_TESTBEDS = ("packages", "hosts", "provider", "clock")


def _as_rounds(value: Any) -> Any:
    if isinstance(value, dict | Adaptive):
        return value
    if type(value) is int and 1 <= value <= MOST_ROUNDS:
        return {"min": value, "max": value}
    raise expected(f"a whole number from 1 to {MOST_ROUNDS}, or {{min, max, width, boots}}")


_ROUNDS_SCHEMA = {
    "description": "The number of rounds, in each of which every cell is measured once; or min, max, width and boots.",
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": MOST_ROUNDS},
        Adaptive.model_json_schema(),
    ],
}
Repetitions = Annotated[Adaptive, BeforeValidator(_as_rounds), WithJsonSchema(_ROUNDS_SCHEMA)]


class Factors(Varied):
    """What the experiment varies. Its cells are the cross product of these levels."""

    variant: Levels[VariantName]
    cores: Levels[CoresLevel]
    tunnels: Levels[TunnelsLevel]
    packet_size: Levels[PacketSize] | None = None


class Rule(Varied):
    """Cells to leave out: those that match one of the given levels for every factor given here."""

    variant: OneOrMore[VariantName] | None = None
    cores: OneOrMore[CoresLevel] | None = None
    tunnels: OneOrMore[TunnelsLevel] | None = None
    packet_size: OneOrMore[PacketSize] | None = None

    @model_validator(mode="after")
    def _names_a_factor(self) -> "Rule":
        if self.variant is self.cores is self.tunnels is self.packet_size is None and not self.more:
            raise expected(
                "at least one of variant, cores, tunnels, packet_size, or a key of traffic that is a factor",
                because="an empty rule would exclude everything",
            )
        return self


class ExtraCell(Varied):
    """An additional cell to measure."""

    variant: VariantName
    cores: CoresLevel
    tunnels: TunnelsLevel
    packet_size: PacketSize | None = None


class TierFactors(Varied):
    """Levels that a tier replaces, or adds to."""

    variant: Levels[VariantName] | None = None
    cores: Levels[CoresLevel] | None = None
    tunnels: Levels[TunnelsLevel] | None = None
    packet_size: Levels[PacketSize] | None = None


def varied_models(schema: type[Traffic], settings: tuple[str, ...] = ()) -> tuple[Any, Any, Any, Any]:
    """Return models with the keys of a tool's schema and some host settings as factors: Factors, Rule, ExtraCell,
    TierFactors."""
    levels: Any = Levels
    one_or_more: Any = OneOrMore
    return (
        with_paths(Factors, lambda level: levels[level], schema, settings),
        with_paths(Rule, lambda level: one_or_more[level], schema, settings),
        with_paths(ExtraCell, lambda level: level, schema, settings),
        with_paths(TierFactors, lambda level: levels[level], schema, settings),
    )


class Tier(Strict):
    """A named size of the experiment. Its values replace those of the experiment; lists are replaced as a whole."""

    description: str = ""
    testbed: str | None = None
    topology: Topology | None = None
    seed: int | None = Field(default=None, ge=0)
    factors: TierFactors | None = None
    exclude: tuple[Rule, ...] | None = None
    include: tuple[ExtraCell, ...] | None = None
    traffic: Strict | None = None
    repetitions: Repetitions | None = None
    trace: Literal["polls", "profile"] | None = None
    sample_every_s: SampleInterval | None = Field(default=None, alias="sample_every")
    probes: dict[Name, Probe] | None = None
    noise_floor: VariantName | None = None
    retries: int | None = Field(default=None, ge=0, le=100)
    busy: Literal["reject", "mark"] | None = None
    notebooks: tuple[NotebookName, ...] | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of an experiment. ``path``: the file; ``text``: its unchanged content; ``variants``: those of the
    variants file that it names."""

    path: Path = Path()
    text: str = ""
    tier: str | None = None
    overrides: tuple[str, ...] = ()
    variants: Variants = NO_VARIANTS


class Experiment(Strict):
    """A resolved experiment: the spec, with its tier and then --set applied. If it is read from a file, its factors
    have further keys, see `orchestrator.spec.models`.

    Durations are in seconds. ``spec_hash`` covers everything that defines the experiment; comments, the order of keys,
    descriptions and other tiers do not change it.
    """

    experiment: Name
    description: str = ""
    testbed: Annotated[
        str,
        Field(
            min_length=1,
            description="A name in experiments/testbeds, a file (relative to this one, or else to the current folder), "
            "or auto for the best testbed that this computer offers.",
        ),
    ] = "lab"
    topology: Topology = "site-to-site"
    seed: int = Field(default=1, ge=0, description="The seed of the random order of trials.")
    variants: str | None = Field(
        default=None, min_length=1, description="A file with your own variants, relative to this one."
    )
    factors: Factors
    exclude: tuple[Rule, ...] = ()
    include: tuple[ExtraCell, ...] = ()
    traffic: SerializeAsAny[Annotated[Traffic, BeforeValidator(of_its_tool)]]
    repetitions: Repetitions = Adaptive(min=5, max=5)
    trace: Literal["polls", "profile"] | None = Field(
        default=None,
        description="The older spelling of probes: {polls: trial} and probes: {profile: trial}. These trials are "
        "excluded from medians.",
    )
    sample_every_s: SampleInterval | None = Field(
        default=None,
        alias="sample_every",
        description="How often each host's memory and dropped packets are read during the traffic (iperf3, command). "
        "Default: only before and after.",
    )
    probes: dict[Name, Probe] = Field(
        default={},
        description="What is measured beside each trial, by name: commands and tracepoint counts of your own, and "
        "latency; polls or profile, in a trial of its own.",
    )
    noise_floor: VariantName | None = Field(
        default=None,
        description="A variant that each round measures a second time at each place. The difference between the two "
        "is noise. A variant of the spec is compared with itself, any other (patched-off) with vanilla.",
    )
    retries: int = Field(default=2, ge=0, le=100, description="How often a trial that is not ok is retried.")
    on_failure: Literal["continue", "stop"] = Field(
        default="continue", description="What to do if a trial is not ok after its retries."
    )
    busy: Literal["reject", "mark"] = Field(
        default="reject",
        description="How to treat attempts during other load on the computer: reject makes them invalid; mark only "
        "marks "
        "them, including the limits that such load breaks.",
    )
    limits: Limits = Field(
        default=Limits(), description="The limits that a valid attempt must meet. They are the same in every tier."
    )
    notebooks: tuple[NotebookName, ...] = Field(
        default=(),
        description="The notebooks that draw the figures: names of orch's, and paths of your own (.ipynb, or .py in a "
        "format of jupytext), relative to this file.",
    )
    claims: ClaimsChoice = Field(
        default=PUBLISHED,
        description="Which claims a run is judged against: published (those that are about what it measures), none, "
        "or a file of your own claims, relative to this one.",
    )
    default_tier: str | None = Field(default=None, exclude=True, description="The tier that applies without --tier.")
    tiers: dict[Name, Tier] = Field(default={}, exclude=True, description="Named sizes of the experiment.")

    @staticmethod
    def misplaced(where: str) -> str:
        """Return why a key is not allowed at a place of the spec, such as factors.seed; empty if there is no more to
        say than that it is unknown."""
        if where in _OF_TESTBEDS:
            return "It is a key of testbed files; name such a file as the testbed (docs/testbeds.md)."
        return refused_factor(where)

    _origin: Origin = PrivateAttr(default=Origin())
    _files: Mapping[str, bytes] = PrivateAttr(default={})
    _own_files: Mapping[str, bytes] = PrivateAttr(default={})

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out newer keys with default values, so that older specs keep their hash."""
        content: dict[str, Any] = handler(self)
        defaults: dict[str, Any] = {
            "noise_floor": None,
            "busy": "reject",
            "variants": None,
            "sample_every_s": None,
            "probes": {},
            "claims": PUBLISHED,
        }
        content["traffic"] = {**unused_keys(), **content["traffic"]}
        return {key: value for key, value in content.items() if key not in defaults or value != defaults[key]}

    def with_origin(
        self, path: Path, text: str, tier: str | None, overrides: Sequence[str], variants: Variants = NO_VARIANTS
    ) -> "Experiment":
        """Return the experiment with a record of where it came from."""
        copy = self.model_copy()
        copy._origin = Origin(path, text, tier, tuple(overrides), variants)
        return copy

    def with_traffic(self, traffic: Traffic) -> "Experiment":
        """Return the experiment with other traffic."""
        return self.model_copy(update={"traffic": traffic})

    def with_files(self, files: Mapping[str, bytes]) -> "Experiment":
        """Return the experiment with the contents of its traffic's files, by path. Their digests become part of its
        identity."""
        if not files:
            return self
        copy = self.with_traffic(self.traffic.with_files(files))
        copy._files = dict(files)
        return copy

    def with_own_files(self, files: Mapping[str, bytes]) -> "Experiment":
        """Return the experiment with the contents of its own notebooks and claims, by path. They are stored with a run;
        their contents are no part of the experiment's identity."""
        copy = self.model_copy()
        copy._own_files = dict(files)
        return copy

    @property
    def files(self) -> Mapping[str, bytes]:
        """The contents of the files of the spec's command, by path relative to the spec's folder."""
        return self._files

    @property
    def path(self) -> Path:
        """The file that the experiment was read from."""
        return self._origin.path

    @property
    def testbed_name_or_path(self) -> str:
        """The spec's testbed as `load_testbed` takes it: a name, or the path of a file."""
        return catalog.testbed_name_or_path(self.testbed, self.path)

    @property
    def text(self) -> str:
        """The unchanged text of the file."""
        return self._origin.text

    @property
    def tier(self) -> str | None:
        """The tier that was applied; None if the spec has no tiers."""
        return self._origin.tier

    @property
    def overrides(self) -> tuple[str, ...]:
        """The arguments of --set, as given."""
        return self._origin.overrides

    @property
    def own_variants(self) -> Variants:
        """The variants of the file that the spec names, if any."""
        return self._origin.variants

    @property
    def inputs(self) -> dict[str, bytes]:
        """The other files that the spec names, by path relative to its folder."""
        found = {**self.files, **self._own_files}
        if self.variants is not None:
            folder = PurePosixPath(self.variants).parent
            found |= {(folder / name).as_posix(): content for name, content in self.own_variants.files.items()}
        return found

    @property
    def spec_hash(self) -> str:
        """The SHA-256 of everything that defines the experiment: 64 hexadecimal digits."""
        content = self.model_dump(mode="json", exclude={"description"})
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
