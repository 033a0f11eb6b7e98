# SPDX-License-Identifier: Apache-2.0
"""The number that a trial stands for. Quantities of different kinds are never compared: each has its unit."""

from collections.abc import Mapping
from typing import Any, NamedTuple

# The measurements that are one, the first that is there; what a rate was found to be goes before what one rate carried.
_BY_UNIT = (
    ("throughput_bps", "bit/s"),
    ("pdr_lower_pps", "packets/s"),
    ("ndr_lower_pps", "packets/s"),
    ("received_pps", "packets/s"),
)


class Headline(NamedTuple):
    """A value and its unit: bit/s, packets/s, or that of a quantity of the user's own; and whether a second of it is
    one of virtual time."""

    value: float
    unit: str
    virtual: bool = False

    def __str__(self) -> str:
        time = " (virtual time)" * self.virtual
        if self.unit == "bit/s":
            return f"{self.value / 1e9:.2f} Gbit/s{time}"
        if self.unit == "packets/s":
            return f"{self.value / 1e3:.4g} kpps{time}"
        return f"{self.value:.4g} {self.unit}{time}"


def headline(measurements: Mapping[str, Any], *, virtual: bool = False) -> Headline | None:
    """Of an attempt's measurements; None where it has no such number. ``virtual``: whether it is in virtual time."""
    for name, unit in _BY_UNIT:
        if measurements.get(name) is not None:
            return Headline(float(measurements[name]), unit, virtual)
    if measurements.get("value") is not None:
        return Headline(float(measurements["value"]), str(measurements["quantity"]["unit"]), virtual)
    return None
