# SPDX-License-Identifier: Apache-2.0
"""What a run's trials measured: throughput, or a quantity of the user's own, with its unit and which way is better."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.store.tables import quantity_of as recorded


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity. ``column``: of a frame of trials; ``suffix``: of the columns of a frame of cells, as in median_bps;
    ``unit``: in which it is shown, which is ``scale`` units of the columns; ``higher``: whether more is better.
    """

    column: str
    suffix: str
    label: str
    unit: str
    scale: float = 1.0
    higher: bool = True

    @property
    def is_throughput(self) -> bool:
        """Whether it is the throughput of iperf3, which limits, costs and the paper's claims are about."""
        return self.column == THROUGHPUT.column

    def of(self, statistic: str) -> str:
        """The column of a statistic in a frame of cells: of median, median_bps or median_value."""
        return f"{statistic}_{self.suffix}"

    def text(self, value: float, digits: str = ".3g") -> str:
        """A value of a column with its unit, such as 1.23 Gbit/s."""
        return f"{self.number(value, digits)} {self.unit}"

    def number(self, value: float, digits: str = ".2f") -> str:
        """A value of a column in the quantity's unit; those of a user's own have four significant digits."""
        return f"{value / self.scale:{digits}}" if self.is_throughput else f"{value:.4g}"

    @property
    def carried_more(self) -> str:
        """What is said of the better of two."""
        return "carried more" if self.is_throughput else "was better"

    @property
    def carried_most(self) -> str:
        """What is said of the best of several."""
        return "carried the most" if self.is_throughput else "was the best"

    @property
    def direction(self) -> str:
        """Which way is better, where that is not plain."""
        return "" if self.is_throughput else f"{'higher' if self.higher else 'lower'} is better"

    @property
    def axis(self) -> str:
        """The name of an axis, which ends with the unit."""
        return f"{self.label} in {self.unit}"


THROUGHPUT = Quantity("throughput_bps", "bps", "Throughput", "Gbit/s", 1e9)


def quantity_of(meta: Mapping[str, Any]) -> Quantity:
    """What a run's trials measured, from its run.json; throughput where it says nothing else."""
    for block in (meta.get("plan") or {}).get("blocks") or ():
        for trial in block["trials"][:1]:
            own = recorded(trial["traffic"])
            if own:
                label = own.get("label") or str(own["name"]).replace("-", " ").capitalize()
                return Quantity("value", "value", label, str(own["unit"]), higher=own["better"] == "higher")
            return THROUGHPUT
    return THROUGHPUT
