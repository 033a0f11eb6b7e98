# SPDX-License-Identifier: Apache-2.0
"""Types of single values in specs: levels, quantities, names. Each error says what was expected."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from orchestrator.spec import units

MAX = "max"
PER_CORE = "per-core"
IMIX = "imix"
STORED = "stored"  # the validation context for stored values, which were checked when they were written
MOST_CORES = 4096
MOST_TUNNELS = 8191  # a /24 for each tunnel out of a /11 on either side
LONGEST_TRAFFIC_S = 86400  # iperf3 refuses more
MOST_VIRTUAL_CPUS = 64  # for a cell in virtual time
# The largest IP packet in a tunnel, in bytes, and the default of wg-quick: the links' 1500, less 80 for the headers of
# IPv6, UDP and WireGuard.
DEFAULT_MTU = 1420
LINK_MTU = 1500  # bytes that every link must carry
LARGEST_MTU = 8920  # of a tunnel over links with jumbo frames of 9000 bytes
SMALLEST_PACKET, LARGEST_PACKET = 64, DEFAULT_MTU  # bytes


class Strict(BaseModel):
    """Base model: values are not coerced, unknown keys are errors, and instances are immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def expected(what: str, *, because: str = "") -> PydanticCustomError:
    """Return the error for a value that is not what was expected."""
    return PydanticCustomError("expected", "{because}", {"expected": what, "because": because})


def _level(word: str, most: int, least: int = 1) -> PlainValidator:
    def check(value: Any) -> int | str:
        if value == word or (type(value) is int and least <= value <= most):
            return value  # type: ignore[no-any-return]
        raise expected(f"a whole number from {least} to {most}, or {word}")

    return PlainValidator(check)


def _level_schema(word: str, most: int, description: str, least: int = 1) -> WithJsonSchema:
    number = {"type": "integer", "minimum": least, "maximum": most}
    return WithJsonSchema({"anyOf": [number, {"const": word}], "description": description})


def _converted(convert: Callable[[object], float], value: Any, what: str) -> float:
    """Return a value in its stored unit, or raise an error that says ``what`` was expected."""
    try:
        return convert(value)
    except ValueError as error:
        raise expected(what, because=str(error)) from error


def _quantity(convert: Callable[[object], float], example: str) -> BeforeValidator:
    def check(value: Any, info: ValidationInfo) -> float:
        if info.context == STORED:
            return value  # type: ignore[no-any-return]
        return _converted(convert, value, example)

    return BeforeValidator(check)


def _rate_or_max(convert: Callable[[object], float], what: str) -> PlainValidator:
    def check(value: Any, info: ValidationInfo) -> float | str:
        if value == MAX or info.context == STORED:
            return value  # type: ignore[no-any-return]
        found = _converted(convert, value, what)
        if found <= 0:
            raise expected(what)
        return found

    return PlainValidator(check)


def _is_whole(seconds: float, least: int) -> bool:
    """Return whether a time is in whole seconds, and neither too short nor too long for traffic."""
    return seconds == round(seconds) and least <= seconds <= LONGEST_TRAFFIC_S


def _whole_seconds(least: int) -> PlainValidator:
    what = f"whole seconds from {least} to {LONGEST_TRAFFIC_S}, such as 3s"

    def check(value: Any, info: ValidationInfo) -> float:
        if info.context == STORED:
            return float(value)
        found = _converted(units.seconds, value, what)
        if not _is_whole(found, least):
            raise expected(what, because="iperf3 takes whole seconds only" if found != round(found) else "")
        return found

    return PlainValidator(check)


def _text_schema(description: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "description": description, "examples": list(examples)})


CoresLevel = Annotated[
    int | Literal["max"],
    _level(MAX, MOST_CORES),
    _level_schema(MAX, MOST_CORES, "CPUs that the gateways may use; max: as many as the testbed has."),
]
TunnelsLevel = Annotated[
    int | Literal["per-core"],
    _level(PER_CORE, MOST_TUNNELS),
    _level_schema(PER_CORE, MOST_TUNNELS, "The number of tunnels; per-core: one for each core of the cell."),
]
PacketSize = Annotated[
    int | Literal["imix"],
    _level(IMIX, LARGEST_PACKET, SMALLEST_PACKET),
    _level_schema(
        IMIX,
        LARGEST_PACKET,
        "The size of IP packets inside the tunnel in bytes; imix: a mixture of sizes.",
        SMALLEST_PACKET,
    ),
]
WarmUp = Annotated[
    float, _whole_seconds(0), _text_schema("Time at the start that is not counted, in whole seconds, such as 1s.", "1s")
]
Duration = Annotated[
    float, _whole_seconds(1), _text_schema("Measured time, in whole seconds, such as 10s.", "3s", "1 min")
]
SampleInterval = Annotated[
    float, _whole_seconds(1), _text_schema("Time between two samples, in whole seconds, such as 10s.", "10s")
]
NEVER = "never"


def _never_or_seconds(value: Any, info: ValidationInfo) -> float | str:
    if value == NEVER or info.context == STORED:
        return value  # type: ignore[no-any-return]
    what = f"{NEVER}, or whole seconds from 1 on, such as 10s"
    found = _converted(units.seconds, value, what)
    if not _is_whole(found, 1):
        raise expected(what)
    return found


NeverOrSeconds = Annotated[float | Literal["never"], PlainValidator(_never_or_seconds)]
Share = Annotated[
    float,
    _quantity(units.share, "a percentage, such as 5%"),
    _text_schema("A percentage.", "5%", "0.5%"),
]
Interval = Annotated[
    float,
    _quantity(units.seconds, "a time, such as 500 ms"),
    _text_schema("A time.", "500 ms", "2s"),
]

SHORTEST_QUANTUM_S, LONGEST_QUANTUM_S = 5e-6, 1e-2


def _quantum(value: Any, info: ValidationInfo) -> float:
    what = "a time from 5us to 10ms, such as 20us"
    if info.context == STORED:
        return float(value)
    found = _converted(units.seconds, value, what)
    if not SHORTEST_QUANTUM_S <= found <= LONGEST_QUANTUM_S:
        raise expected(what)
    if round(found * 1e6) != round(found * 1e6, 6):
        raise expected(what, because="the lab kernel takes whole microseconds")
    return found


Quantum = Annotated[
    float,
    PlainValidator(_quantum),
    _text_schema("In virtual time: how far the clock of a virtual CPU may run ahead of the others.", "20us", "200us"),
]


PacketRate = Annotated[
    float | Literal["max"],
    _rate_or_max(units.packets_per_second, f"a packet rate, such as 200 kpps, or {MAX}"),
    _text_schema("Packets per second over all tunnels; max: as fast as the generator can.", "200 kpps", MAX),
]
NumberedRate = Annotated[
    float,
    _quantity(units.packets_per_second, "a packet rate, such as 200 kpps"),
    _text_schema("Packets per second.", "200 kpps"),
]


BitRate = Annotated[
    float | Literal["max"],
    _rate_or_max(units.bits_per_second, f"a rate of more than 0, such as 500 Mbit/s, or {MAX}"),
    _text_schema("Payload in bits per second; max: as fast as possible, for tcp only.", "500 Mbit/s", MAX),
]
Size = Annotated[
    int,
    _quantity(units.whole_bytes, "a size, such as 1200 B"),
    _text_schema("A size.", "1200 B", "4 MiB"),
]
Memory = Annotated[
    int,
    _quantity(units.whole_bytes, "a size, such as 1 GiB"),
    _text_schema("Memory of the machine.", "1 GiB", "768 MiB"),
]
SettingName = Annotated[
    str,
    Field(
        pattern=r"^(/sys/[A-Za-z0-9_.:/-]+|[a-z0-9_-]+(\.[A-Za-z0-9_/-]+)+)$",
        description="A sysctl, such as net.core.netdev_budget, or a file in /sys.",
    ),
]
_CPU_ORDER = re.compile(r"physical-first|node-\d+|\d+(-\d+)?(,\d+(-\d+)?)*")


def _cpu_order(value: Any) -> str:
    text = str(value) if type(value) is int else value
    if isinstance(text, str) and _CPU_ORDER.fullmatch(text.replace(" ", "")):
        return text.replace(" ", "")
    raise expected("physical-first, node-0, or a list such as 0-7,16-23")


CpuOrder = Annotated[
    str,
    PlainValidator(_cpu_order),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": f"^({_CPU_ORDER.pattern})$"}, {"type": "integer", "minimum": 0}],
            "description": "The order in which CPUs are used: physical-first (each core once before its other "
            "threads), node-N (those of a NUMA node), or a list such as 0-7,16-23.",
        }
    ),
]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
_PACKAGE = r"^[a-z0-9][a-z0-9+.-]+$"  # Debian Policy 5.6.1


def _package_name(name: str) -> str:
    if not re.fullmatch(_PACKAGE, name):
        raise expected("the name of a Debian package, such as tcpdump, without a version")
    return name


def _each_once(packages: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(packages)) != len(packages):
        raise expected("each package once")
    return packages


Packages = Annotated[
    tuple[Annotated[str, AfterValidator(_package_name), Field(json_schema_extra={"pattern": _PACKAGE})], ...],
    AfterValidator(_each_once),
    Field(
        description="Debian packages to install in addition to those of the lab's image, such as "
        "[netperf, tcpdump]. perf means linux-perf."
    ),
]
_HOST_NAME = r"^[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?$"


def _host_name(name: str) -> str:
    if not re.fullmatch(_HOST_NAME, name):
        raise expected("a host's name of letters, digits, hyphens, underscores and dots, as an inventory has it")
    return name


# The name of an existing host.
HostName = Annotated[str, AfterValidator(_host_name), Field(json_schema_extra={"pattern": _HOST_NAME})]
TestbedName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]  # a Name that may contain a kernel version
VariantName = Annotated[
    str, Field(min_length=1, description="A variant from kernel/variants.yaml or your own variants file.")
]
