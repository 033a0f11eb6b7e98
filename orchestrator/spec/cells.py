# SPDX-License-Identifier: Apache-2.0
"""A cell: one level of each factor."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

from orchestrator.spec.factors import KNOWN, Level, factor_of, is_path, ordered
from orchestrator.spec.fields import MAX, PER_CORE

_NONE: Mapping[str, Level] = {}


class Cell(Mapping[str, Level]):
    """One level of each factor, by the factor's name. Cells are immutable, and equal if their levels are.

    Variant, cores and tunnels are always present (for a baseline, ``tunnels`` is the number of address pairs that carry
    traffic); the packet size is if it is a factor; ``more`` has levels of spec keys, by path. Levels are in stored
    units: seconds, bytes, bit/s. In a spec's cells ``cores`` may be ``max`` and ``tunnels`` ``per-core``; `resolved`
    replaces them with numbers.
    """

    __slots__ = ("_hash", "_levels")

    def __init__(
        self,
        variant: str,
        cores: int | str,
        tunnels: int | str,
        packet_size: int | str | None = None,
        more: Mapping[str, Level] = _NONE,
    ) -> None:
        levels: dict[str, Level] = {"variant": variant, "cores": cores, "tunnels": tunnels}
        if packet_size is not None:
            levels["packet_size"] = packet_size
        for name in sorted(more):
            levels[name] = more[name]
        self._levels = levels
        self._hash = hash(tuple(levels.items()))

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> "Cell":
        """Return the cell of a table row that has levels as columns. Empty fields are skipped; ``64`` is read as a
        number."""
        more = {
            name: found
            for name in row
            if isinstance(name, str) and is_path(name) and (found := _read(row[name])) is not None
        }
        size = _read(row.get("packet_size"))
        size = int(size) if isinstance(size, str) and size.isdigit() else size
        return cls(str(row["variant"]), int(row["cores"]), int(row["tunnels"]), cast(int | str | None, size), more)

    @classmethod
    def from_json(cls, levels: Mapping[str, Level]) -> "Cell":
        """Return the cell that `to_json` wrote."""
        known: dict[str, Any] = {name: level for name, level in levels.items() if name in KNOWN}
        return cls(**known, more={name: level for name, level in levels.items() if name not in KNOWN})

    def __getitem__(self, name: str) -> Level:
        return self._levels[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._levels)

    def __len__(self) -> int:
        return len(self._levels)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self._levels == other._levels if isinstance(other, Cell) else NotImplemented

    def __lt__(self, other: "Cell") -> bool:
        return self.order < other.order

    @property
    def variant(self) -> str:
        """The variant; empty in a `place`."""
        return cast(str, self._levels["variant"])

    @property
    def cores(self) -> int:
        """The number of cores, once it is resolved."""
        return cast(int, self._levels["cores"])

    @property
    def tunnels(self) -> int:
        """The number of tunnels, once it is resolved."""
        return cast(int, self._levels["tunnels"])

    @property
    def packet_size(self) -> int | str | None:
        """The size of IP packets inside the tunnels in bytes, or imix; None if it is not a factor."""
        return cast(int | str | None, self._levels.get("packet_size"))

    @property
    def only_known(self) -> bool:
        """True if the cell has only factors known by name, and no level of a spec key given by its path."""
        return len(self._levels) == (4 if "packet_size" in self._levels else 3)

    @property
    def more(self) -> dict[str, Level]:
        """The levels of spec keys, by path."""
        return {name: level for name, level in self._levels.items() if name not in KNOWN}

    @property
    def preparation(self) -> tuple[Level, ...]:
        """The levels that decide how hosts are prepared: the cores, then the levels of host settings. Cells that have
        the same ones share blocks."""
        names = (name for name in self._levels if is_path(name) and factor_of(name).needs_preparation)
        return self.cores, *(self._levels[name] for name in names)

    @property
    def place(self) -> "Cell":
        """The cell without its variant. Variants are compared with each other at the same place."""
        return self.replaced(variant="")

    @property
    def order(self) -> tuple[Any, ...]:
        """The sort key of cells: cores, tunnels, packet size, other factors by name, variant."""
        more = tuple((name, ordered(level)) for name, level in self.more.items())
        return self.cores, self.tunnels, ordered(self.packet_size), more, self.variant

    def replaced(self, **levels: Level) -> "Cell":
        """Return a cell with other levels of some factors."""
        return Cell.from_json({**self._levels, **levels})

    def resolved(self, max_cores: int) -> "Cell":
        """Return the cell with numbers instead of max and per-core, for a testbed with ``max_cores`` processors."""
        cores = max_cores if self._levels["cores"] == MAX else self._levels["cores"]
        tunnels = cores if self._levels["tunnels"] == PER_CORE else self._levels["tunnels"]
        if cores == self._levels["cores"] and tunnels == self._levels["tunnels"]:
            return self
        return self.replaced(cores=cores, tunnels=tunnels)

    def to_json(self) -> dict[str, Any]:
        """Return the levels by factor, as JSON values."""
        return dict(self._levels)

    def row(self) -> dict[str, Any]:
        """Return the levels as columns of a table, with the packet size as text or None."""
        size = self.packet_size
        known = {"variant": self.variant, "cores": self.cores, "tunnels": self.tunnels}
        return {**known, "packet_size": None if size is None else str(size), **self.more}

    def words(self) -> list[str]:
        """Return each level in words, such as: threaded; 2 cores; 4 tunnels; packets of 64 B; MTU 1280 B."""
        numbers = ((self.cores, "core"), (self.tunnels, "tunnel"))
        found = [self.variant, *(f"{n} {what}{'s' * (n != 1)}" for n, what in numbers)]
        size = self.packet_size
        found += [] if size is None else [size if isinstance(size, str) else f"packets of {size} B"]
        return found + more_words(self.more)

    def __str__(self) -> str:
        return ", ".join(word for word in self.words() if word)

    def __repr__(self) -> str:
        return f"Cell({self})"


def more_words(levels: Mapping[str, Level]) -> list[str]:
    """Return levels of spec keys in words, such as: MTU 1280 B; delay of wan 10 ms."""
    return [f"{factor_of(name).label} {factor_of(name).show(level)}" for name, level in levels.items()]


def _read(value: Any) -> Level | None:
    """Return a level from a table's field, which may be a NumPy number; None if the field is empty or NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return value
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return cast(Level, value)
