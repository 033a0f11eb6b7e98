# SPDX-License-Identifier: Apache-2.0
"""The link between the gateways as a factor: its delay, loss, reordering and rate, each in both directions.

`netem` applies them to what each gateway sends over the link (tc-netem(8)). A delay is for one direction, so a round
trip takes twice as long.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from orchestrator.spec import units
from orchestrator.spec.factors import Level
from orchestrator.spec.fields import LINK_MTU, STORED, expected

LONGEST_DELAY_S = 10.0
MOST_LOST = 0.5
SLOWEST_BPS, FASTEST_BPS = 1e5, 1e12
# The rate for which a queue is sized if none is given; it is faster than any host sends.
_UNLIMITED_BPS = 1e11
_FRAME_BYTES = LINK_MTU + 14  # the longest frame of a link, with its Ethernet header
_LEAST_QUEUE_S = 0.05
_LEAST_QUEUE = 1000  # packets, if no rate is given; the default of netem

DELAY, LOSS, REORDER, RATE = (f"links.wan.{name}" for name in ("delay", "loss", "reorder", "rate"))


def _delay(value: Any, info: ValidationInfo) -> float:
    what = f"a time from 0 to {LONGEST_DELAY_S:g}s, such as 10ms"
    return _number(value, info, what, units.seconds, 0.0, LONGEST_DELAY_S, zero=True)


def _share(value: Any, info: ValidationInfo) -> float:
    what = f"a percentage from 0 to {MOST_LOST:.0%}, such as 0.1%"
    return _number(value, info, what, units.share, 0.0, MOST_LOST, zero=True)


def _rate(value: Any, info: ValidationInfo) -> float:
    what = "a rate from 100 kbit/s to 1 Tbit/s, such as 1 Gbit/s"
    return _number(value, info, what, units.bits_per_second, SLOWEST_BPS, FASTEST_BPS)


def _number(
    value: Any, info: ValidationInfo, what: str, convert: Any, least: float, most: float, *, zero: bool = False
) -> float:
    """Return a quantity between two bounds. A zero needs no unit if ``zero`` is set."""
    if info.context == STORED:
        return float(value)
    if zero and type(value) is int and value == 0:
        return 0.0
    try:
        found: float = convert(value)
    except ValueError as error:
        raise expected(what, because=str(error)) from error
    if not least <= found <= most:
        raise expected(what)
    return found


def _schema(description: str, *examples: str, zero: bool = True) -> WithJsonSchema:
    text = {"type": "string", "examples": list(examples)}
    one = {"anyOf": [text, {"const": 0}]} if zero else text
    return WithJsonSchema({**one, "description": description})


# {path: the type of a level}
OF_LINKS: Mapping[str, Any] = {
    DELAY: Annotated[
        float,
        PlainValidator(_delay),
        _schema("Delay of packets in each direction of the link between the gateways.", "10ms"),
    ],
    LOSS: Annotated[
        float,
        PlainValidator(_share),
        _schema("Share of packets that each direction of the link between the gateways loses at random.", "0.1%"),
    ],
    REORDER: Annotated[
        float,
        PlainValidator(_share),
        _schema("Share of packets that skip the delay and overtake delayed packets.", "1%"),
    ],
    RATE: Annotated[
        float,
        PlainValidator(_rate),
        _schema(
            "Rate of each direction of the link between the gateways, in bits of frames per second.",
            "1 Gbit/s",
            zero=False,
        ),
    ],
}


@dataclass(frozen=True, slots=True)
class Shape:
    """The delay, loss, reordering and rate of each direction of a link. ``delay_s``: seconds; ``loss``, ``reorder``:
    shares of the packets; ``rate_bps``: bits of frames per second, None if it is not limited."""

    delay_s: float = 0.0
    loss: float = 0.0
    reorder: float = 0.0
    rate_bps: float | None = None

    @property
    def queue(self) -> int:
        """The number of packets that the queue holds.

        These are the packets in delay at the rate, plus those that wait for the rate, for 50 ms or a round trip,
        whichever is longer. Without a rate nothing should be dropped, so the queue is sized for 100 Gbit/s.
        """
        if self.rate_bps is None:
            return _LEAST_QUEUE + math.ceil(self.delay_s * _UNLIMITED_BPS / 8 / _FRAME_BYTES)
        waits_s = self.delay_s + max(_LEAST_QUEUE_S, 2 * self.delay_s)
        return 16 + math.ceil(waits_s * self.rate_bps / 8 / _FRAME_BYTES)


def shape_of(levels: Mapping[Any, Level]) -> Shape | None:
    """Return the link shape that a cell asks for; None if the link stays unchanged (delay, loss and reordering of 0, no
    rate)."""
    rate = levels.get(RATE)
    delay, loss, reorder = (float(levels.get(path, 0.0)) for path in (DELAY, LOSS, REORDER))
    if rate is None and not delay and not loss:
        return None
    return Shape(delay, loss, reorder, None if rate is None else float(rate))
