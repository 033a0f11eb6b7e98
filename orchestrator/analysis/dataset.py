# SPDX-License-Identifier: Apache-2.0
"""A run's directory as tidy pandas frames, with units in the names of columns."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from orchestrator.analysis.run_data import RunData
from orchestrator.store.reading import find_run, read_run

if TYPE_CHECKING:
    import pyarrow as pa

    from orchestrator.analysis.claims import Verdicts
    from orchestrator.analysis.comparing import Comparison
    from orchestrator.analysis.limits.loads import CellLoad
    from orchestrator.analysis.profiles import Profile

_NEWEST_COLUMNS = {"shared_computer", "pdr_upper_pps", "clock", "lent_share"}


@dataclass(frozen=True, repr=False)
class Run(RunData):
    """One run: its stored content, and everything that other modules of the analysis compute from it."""

    @cached_property
    def per_core(self) -> pd.DataFrame:
        """Return the shares (0 to 1) of each CPU's time by kind, for each ok trial; see `analysis.frames.per_core`."""
        from orchestrator.analysis import frames

        return frames.per_core(self)

    @cached_property
    def per_second(self) -> pd.DataFrame:
        """Return the throughput of each ok trial in bit/s, second by second; see `analysis.frames.per_second`."""
        from orchestrator.analysis import frames

        return frames.per_second(self)

    @cached_property
    def per_stream(self) -> pd.DataFrame:
        """Return the throughput of each ok trial in bit/s by tunnel and direction; see `analysis.frames.per_stream`."""
        from orchestrator.analysis import frames

        return frames.per_stream(self)

    @cached_property
    def softirqs(self) -> pd.DataFrame:
        """Return how often each softirq ran on each CPU in each ok trial; see `analysis.frames.softirqs`."""
        from orchestrator.analysis import frames

        return frames.softirqs(self)

    @cached_property
    def interfaces(self) -> pd.DataFrame:
        """Return bytes, packets and drops of each network interface in each ok trial; see
        `analysis.frames.interfaces`."""
        from orchestrator.analysis import frames

        return frames.interfaces(self)

    @cached_property
    def drops(self) -> pd.DataFrame:
        """Return where each ok trial lost packets, and how many; see `analysis.frames.drops`."""
        from orchestrator.analysis import frames

        return frames.drops(self)

    @cached_property
    def over_time(self) -> pd.DataFrame:
        """Return memory and dropped packets of each host during each ok trial; see `analysis.frames.over_time`."""
        from orchestrator.analysis import frames

        return frames.over_time(self)

    @cached_property
    def probed(self) -> pd.DataFrame:
        """Return the values of the spec's own probes in each ok trial; see `analysis.frames.probed`."""
        from orchestrator.analysis import frames

        return frames.probed(self)

    def dictionary(self) -> pd.DataFrame:
        """Return every column of every frame, with type, unit and meaning; see `analysis.dictionary`."""
        from orchestrator.analysis import dictionary

        return dictionary.dictionary()

    @cached_property
    def cell_rows(self) -> pd.DataFrame:
        """The table that `cells` returns a copy of, computed once."""
        from orchestrator.analysis.cells import cell_rows

        return cell_rows(self)

    def cells(self) -> pd.DataFrame:
        """Return the results, one row per cell: medians with their intervals; see `analysis.cells.cells`."""
        from orchestrator.analysis.cells import cells

        return cells(self)

    def ratios(self, reference: str | None = None) -> pd.DataFrame:
        """Return the ratios to the reference variant, cell by cell; see `analysis.cells.ratios`."""
        from orchestrator.analysis.cells import ratios

        return ratios(self, reference)

    def efficiencies(self) -> pd.DataFrame:
        """Return the parallel efficiency with one tunnel per core; see `analysis.cells.efficiencies`."""
        from orchestrator.analysis.cells import efficiencies

        return efficiencies(self)

    def fits(self, weights: str = "relative") -> pd.DataFrame:
        """Return fits of Amdahl's law and the USL to throughput against cores; see `analysis.cells.fits`."""
        from orchestrator.analysis.cells import fits

        return fits(self, weights)

    @cached_property
    def loads(self) -> "list[CellLoad]":
        """Return how busy CPUs were while each cell was measured; see `orchestrator.analysis.limits.loads.CellLoad`.
        The list is empty if the run measured neither throughput nor packet rates."""
        if not self.quantity.is_throughput:
            return []
        if self.counts_packets:
            from orchestrator.analysis.limits.packet_loads import packet_loads

            return packet_loads(self)
        from orchestrator.analysis.limits.loads import loads

        return loads(self)

    def limits(self) -> pd.DataFrame:
        """Return the limit of each cell, with the evidence; see `orchestrator.analysis.limits.limits`."""
        from orchestrator.analysis.limits import limits

        return limits(self)

    def costs(self) -> pd.DataFrame:
        """Return the cost of each cell in CPU time; see `orchestrator.analysis.limits.costs`."""
        from orchestrator.analysis.limits import costs

        return costs(self)

    @cached_property
    def profiles(self) -> "list[Profile]":
        """Return the profiles of cells: what CPUs ran; see `orchestrator.analysis.profiles.Profile`."""
        from orchestrator.analysis.profiles import profiles

        return profiles(self)

    def stages(self) -> pd.DataFrame:
        """Return the CPU time by stage of the profiled cells; see `orchestrator.analysis.profiles.stages`."""
        from orchestrator.analysis.profiles import stages

        return stages(self)

    def quality(self) -> pd.DataFrame:
        """Return which cells have several modes, drift, or dependent neighbours; see `analysis.quality.quality`."""
        from orchestrator.analysis.quality import quality

        return quality(self)

    def noise_floor(self) -> pd.DataFrame:
        """Return the ratios of a variant to itself, if the spec asked for them; see
        `analysis.noise_floor.noise_floor`."""
        from orchestrator.analysis.noise_floor import noise_floor

        return noise_floor(self)

    def verify(self) -> "Verdicts":
        """Return the verdicts of the run on the paper's claims; see `analysis.claims.verify`."""
        from orchestrator.analysis.claims import verify

        return verify(self)

    def compare(self, other: "Run | Path | str") -> "Comparison":
        """Return the comparison of another run (or its path) with this one, cell by cell; see
        `analysis.comparing.compare`."""
        from orchestrator.analysis.comparing import compare

        return compare(self, other if isinstance(other, Run) else load(other))

    def _repr_html_(self) -> str:
        from orchestrator.analysis.rendering import run_html

        return run_html(self)


def load(path: Path | str) -> Run:
    """Return the run in a directory, or in a folder of runs (results/scaling) the one that began last.

    The Parquet files are read in place; without them, the tables are derived from the attempts. Raises UserError if
    there is no run.
    """
    found = find_run(Path(os.path.expanduser(path)))
    meta = read_run(found)
    trials, attempts = _tables(found)
    return Run(found, meta, _frame(trials), _frame(attempts))


def _tables(path: Path) -> tuple["pa.Table", "pa.Table"]:
    from pyarrow import ArrowException

    try:
        found = _parquet(path / "trials.parquet"), _parquet(path / "attempts.parquet")
        if all(set(table.column_names) >= _NEWEST_COLUMNS for table in found):
            return found
    except (OSError, ArrowException):
        pass
    # Missing, damaged, or from an older version: derive them again.
    from orchestrator.store.tables import tables

    return tables(path)


def _parquet(path: Path) -> "pa.Table":
    from pyarrow import parquet as pq

    with path.open("rb") as file:  # Arrow takes no file name that is not UTF-8
        return pq.read_table(file)


def _frame(table: "pa.Table") -> pd.DataFrame:
    from orchestrator.store.tables import MIXED, level_of_text

    frame: pd.DataFrame = table.to_pandas()
    for field in table.schema:
        if MIXED.encode() in (field.metadata or {}):
            frame[field.name] = frame[field.name].map(level_of_text).astype(object)
    if "value" not in frame:  # for runs from before user-defined quantities
        frame = frame.assign(value=float("nan"))
    numbers = ["value"] + [name for name in frame.columns if name.endswith(("_bps", "_pps", "_ratio"))]
    frame[numbers] = frame[numbers].astype("float64")
    # Runs of earlier versions do not record the boot; each block counts as one.
    blocks = "block " + frame["block"].astype("string")
    known = frame["boot_id"].astype("string") if "boot_id" in frame else pd.Series(pd.NA, frame.index, "string")
    frame["boot"] = known.fillna(blocks).astype(object)
    return frame
