# SPDX-License-Identifier: Apache-2.0
"""Quantities with units in specs: '10s', '500 ms', '2 Gbit/s', '200 kpps', '1420 B', '1 GiB', '5 %'."""

import re
from collections.abc import Mapping
from fractions import Fraction

DURATIONS: Mapping[str, Fraction] = {
    "us": Fraction(1, 1_000_000),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "min": Fraction(60),
    "h": Fraction(3600),
}
RATES: Mapping[str, Fraction] = {
    f"{prefix}bit/s": Fraction(1000**power) for power, prefix in enumerate(("", "k", "M", "G", "T"))
}
SIZES: Mapping[str, Fraction] = {
    "B": Fraction(1),
    **{f"{prefix}B": Fraction(1000**power) for power, prefix in enumerate("kMGT", start=1)},
    **{f"{prefix}iB": Fraction(1024**power) for power, prefix in enumerate("KMGT", start=1)},
}
PACKET_RATES: Mapping[str, Fraction] = {
    f"{prefix}pps": Fraction(1000**power) for power, prefix in enumerate(("", "k", "M"))
}
SHARES: Mapping[str, Fraction] = {"%": Fraction(1, 100)}

_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([A-Za-z/]+|%)", re.ASCII)


def parse_quantity(value: object, units: Mapping[str, Fraction]) -> Fraction:
    """Return a non-negative quantity in its base unit (s, bit/s, packets/s, B, a share of 1).

    Raises ValueError with a message that says what is wrong. A number without a unit is refused, because 500 could be
    seconds or milliseconds; so is a unit in the wrong case ('1 GB' is not '1 Gb').
    """
    known = ", ".join(units)
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"it has no unit; the units are {known}")
    found = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"expected a number with a unit; the units are {known}")
    number, unit = found.groups()
    if unit not in units:
        same = [name for name in units if name.lower() == unit.lower()]
        raise ValueError(f'"{unit}" is not a known unit; {f"did you mean {same[0]}?" if same else f"they are {known}"}')
    return Fraction(number) * units[unit]


def seconds(value: object) -> float:
    """Return a duration in seconds."""
    return float(parse_quantity(value, DURATIONS))


def bits_per_second(value: object) -> float:
    """Return a rate in bit/s."""
    return float(parse_quantity(value, RATES))


def packets_per_second(value: object) -> float:
    """Return a rate in packets per second. Raises ValueError if it is 0."""
    rate = parse_quantity(value, PACKET_RATES)
    if not rate:
        raise ValueError("the rate must be above 0")
    return float(rate)


def whole_bytes(value: object) -> int:
    """Return a size in bytes. Raises ValueError if it is not a whole number."""
    size = parse_quantity(value, SIZES)
    if size.denominator != 1:
        raise ValueError("it is not a whole number of bytes")
    return int(size)


def share(value: object) -> float:
    """Return a percentage as a share of 1."""
    return float(parse_quantity(value, SHARES))
