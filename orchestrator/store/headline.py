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
    """A value and its unit: bit/s, or packets/s."""

    value: float
    unit: str

    def __str__(self) -> str:
        if self.unit == "bit/s":
            return f"{self.value / 1e9:.2f} Gbit/s"
        return f"{self.value / 1e3:.4g} kpps"


def headline(measurements: Mapping[str, Any]) -> Headline | None:
    """Of an attempt's measurements; None where it has no such number."""
    for name, unit in _BY_UNIT:
        if measurements.get(name) is not None:
            return Headline(float(measurements[name]), unit)
    return None
