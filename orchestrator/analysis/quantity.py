# SPDX-License-Identifier: Apache-2.0
"""The quantity that a run's trials measured: throughput or a user-defined one, with its unit and better direction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.store.tables import quantity_of as recorded


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity.

    ``column``: its column in a frame of trials; ``suffix``: the ending of columns in a frame of cells, as in
    median_bps; ``unit``: the unit in which it is shown, which is ``scale`` units of the columns; ``higher``: whether
    more is better.
    """

    column: str
    suffix: str
    label: str
    unit: str
    scale: float = 1.0
    higher: bool = True

    @property
    def is_throughput(self) -> bool:
        """Return whether it is the throughput of iperf3, to which limits, costs and the paper's claims apply."""
        return self.column == THROUGHPUT.column

    def of(self, statistic: str) -> str:
        """Return the column of a statistic in a frame of cells, such as median_bps or median_value for median."""
        return f"{statistic}_{self.suffix}"

    def text(self, value: float, digits: str = ".3g") -> str:
        """Return a column's value with its unit, such as 1.23 Gbit/s."""
        return f"{self.number(value, digits)} {self.unit}"

    def number(self, value: float, digits: str = ".2f") -> str:
        """Return a column's value in the quantity's unit; a user-defined one has four significant digits."""
        return f"{value / self.scale:{digits}}" if self.is_throughput else f"{value:.4g}"

    @property
    def carried_more(self) -> str:
        """Return the verb phrase for the better of two variants."""
        return "carried more" if self.is_throughput else "was better"

    @property
    def carried_most(self) -> str:
        """Return the verb phrase for the best of several variants."""
        return "carried the most" if self.is_throughput else "was the best"

    @property
    def direction(self) -> str:
        """Return which way is better, if that is not obvious; otherwise empty."""
        return "" if self.is_throughput else f"{'higher' if self.higher else 'lower'} is better"

    @property
    def axis(self) -> str:
        """Return the name of an axis, which ends with the unit."""
        return f"{self.label} in {self.unit}"


THROUGHPUT = Quantity("throughput_bps", "bps", "Throughput", "Gbit/s", 1e9)


def quantity_of(meta: Mapping[str, Any]) -> Quantity:
    """Return the quantity in a run.json; throughput if it names no other."""
    for block in (meta.get("plan") or {}).get("blocks") or ():
        for trial in block["trials"][:1]:
            own = recorded(trial["traffic"])
            if own:
                label = own.get("label") or str(own["name"]).replace("-", " ").capitalize()
                return Quantity("value", "value", label, str(own["unit"]), higher=own["better"] == "higher")
            return THROUGHPUT
    return THROUGHPUT
