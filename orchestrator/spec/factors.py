# SPDX-License-Identifier: Apache-2.0
"""Factors: their names, units, how their levels are shown and ordered, and what a change costs.

A few factors are known by name. Any other key of a spec is a factor by its path, such as ``traffic.streams``.
"""

import functools
import math
from dataclasses import dataclass
from typing import Literal

Level = int | float | str | bool
Area = Literal["variant", "host", "tunnel", "traffic", "link"]

_DECIMALS = {"bit/s": ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")), "pps": ((1e6, "Mpps"), (1e3, "kpps"))}
_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


@dataclass(frozen=True, slots=True)
class Factor:
    """Something that an experiment varies.

    ``name``: as in ``factors:``; for a key of the spec, its path. ``label``: in words, for tables and axes. ``unit``:
    of stored levels; empty for numbers without a unit. ``order``: its position among factors. ``area``: what it
    changes. ``needs_preparation``: hosts are prepared anew for another level, so that trials with different levels are
    in different blocks; the levels of other factors alternate inside rounds.
    """

    name: str
    label: str
    unit: str = ""
    order: int = 100
    area: Area = "traffic"
    needs_preparation: bool = False

    def show(self, level: Level) -> str:
        """Return a level with its unit, such as: 10 ms."""
        if isinstance(level, bool):
            return "on" if level else "off"
        if isinstance(level, str):
            return level
        if self.unit == "s" and level:
            size, unit = next((one for one in _TIMES if abs(level) >= one[0]), _TIMES[-1])
            return f"{level / size:.6g} {unit}"
        if self.unit == "%":
            return f"{level * 100:.6g} %"
        size, unit = next((one for one in _DECIMALS.get(self.unit, ()) if abs(level) >= one[0]), (1, self.unit))
        return f"{level / size:.9g} {unit}".rstrip()


KNOWN = {
    factor.name: factor
    for factor in (
        Factor("variant", "variant", order=3, area="variant"),
        Factor("cores", "cores", order=0, area="host", needs_preparation=True),
        Factor("tunnels", "tunnels", order=1, area="tunnel"),
        Factor("packet_size", "packet size", "B", order=2),
    )
}
# Paths, or their first keys, of what is made once per block: settings, and the addresses and routes of the roles.
_PREPARED = ("settings", "nics", "traffic.ip_version", "traffic.paths")
_AREAS: dict[str, Area] = {"tunnel": "tunnel", "links": "link", "settings": "host", "nics": "host"}
# The unit by the end of a path.
_UNITS = {
    **dict.fromkeys(("mtu", "mss", "window", "datagram"), "B"),
    **dict.fromkeys(("delay", "duration", "warm_up", "final_duration", "time_limit", "roam_every"), "s"),
    **dict.fromkeys(("bitrate",), "bit/s"),
    **dict.fromkeys(("loss", "reorder", "search.pdr_loss", "search.width"), "%"),
    **dict.fromkeys(("search.min_rate", "search.max_rate"), "pps"),
}
_LABELS = {
    "reorder": "reordering",
    "roam_every": "roaming interval",
    "mtu": "MTU",
    "mss": "MSS",
    "ip_version": "IP version",
}


def is_path(name: str) -> bool:
    """Return whether a name, such as a table's column, is the path of a spec key: it contains a dot."""
    return "." in name


@functools.cache
def factor_of(name: str) -> Factor:
    """Return the factor with a name, which may be the path of a spec key."""
    if name in KNOWN:
        return KNOWN[name]
    area, _, rest = name.partition(".")
    last = rest.rpartition(".")[2]
    label = _LABELS.get(last, rest.replace("_", " ").replace(".", " ") if area == "traffic" else last.replace("_", " "))
    if area == "links":
        label = f"{label} of {rest.rpartition('.')[0]}"
    elif area in ("settings", "nics"):
        whose, _, key = rest.partition(".")
        label = f"{key} of {whose}"
    elif area == "tunnel":
        label = label if last in ("mtu", "roam_every") else f"tunnel {label}"
    unit = _UNITS.get(rest, _UNITS.get(last, "")) if area not in ("settings", "nics") else ""
    if last == "rate":
        unit = "bit/s" if area == "links" else "pps"
    prepared = area in _PREPARED or name in _PREPARED
    return Factor(name, label, unit, area=_AREAS.get(area, "traffic"), needs_preparation=prepared)


def ordered(level: Level | None) -> tuple[float, str]:
    """Return the sort key of a level: none, then words, then numbers."""
    if level is None:
        return -math.inf, ""
    return (-math.inf, level) if isinstance(level, str) else (float(level), "")
