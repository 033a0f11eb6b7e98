# SPDX-License-Identifier: Apache-2.0
"""The headline number of a trial. Quantities of different kinds are never compared: each has its unit."""

from collections.abc import Mapping
from typing import Any, NamedTuple

# The measurements that can be the headline; the first present one is. The rate that a search found precedes a count.
_BY_UNIT = (
    ("throughput_bps", "bit/s"),
    ("pdr_lower_pps", "packets/s"),
    ("ndr_lower_pps", "packets/s"),
    ("received_pps", "packets/s"),
)


class HeadlineValue(NamedTuple):
    """A value and its unit: bit/s, packets/s, or that of the user's own quantity. ``virtual``: its seconds are of
    virtual time."""

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


def headline(measurements: Mapping[str, Any], *, virtual: bool = False) -> HeadlineValue | None:
    """Return the headline of an attempt's measurements; None if it has none. ``virtual``: the attempt is in virtual
    time."""
    for name, unit in _BY_UNIT:
        if measurements.get(name) is not None:
            return HeadlineValue(float(measurements[name]), unit, virtual)
    if measurements.get("value") is not None:
        return HeadlineValue(float(measurements["value"]), str(measurements["quantity"]["unit"]), virtual)
    return None
