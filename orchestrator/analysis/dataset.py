# SPDX-License-Identifier: Apache-2.0
"""A run's directory as tidy pandas frames, with units in the names of columns.

Longer than other modules: everything that a notebook asks of a run is a property of `Run`, most of which another module
computes.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from orchestrator.analysis.quantity import Quantity, quantity_of
from orchestrator.plan import reference_variant
from orchestrator.spec import factors
from orchestrator.store.clock import REAL, VIRTUAL, VirtualTime, in_its_time, label_of, virtual_time
from orchestrator.store.reading import find_run, read_run

if TYPE_CHECKING:
    import pyarrow as pa

    from orchestrator.analysis.claims import Verdicts
    from orchestrator.analysis.comparing import Comparison
    from orchestrator.analysis.limits.loads import Load
    from orchestrator.analysis.profiles import Profile

LEVELS = ("variant", "cores", "tunnels", "packet_size")  # columns of every run
_HEADROOM = 0.10  # for runs whose spec does not set it
_NEWEST_COLUMNS = {"shared_computer", "pdr_upper_pps", "clock", "lent_share"}


@dataclass(frozen=True, repr=False)
class Run:
    """One run. ``meta`` is the content of run.json.

    ``trials``: one row per planned trial, in the plan's order: the accepted attempt, or else the last; status ok,
    failed, invalid or missing. ``attempts``: one row per attempt, with the reasons if it is not ok. ``boot`` in both:
    the same value for everything measured in one boot of a testbed's hosts. ``note``: a sentence for figures, if this
    is a part of a run.
    """

    path: Path
    meta: Mapping[str, Any]
    trials: pd.DataFrame
    attempts: pd.DataFrame
    note: str = ""

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

    def hosts_of(self, role: str) -> list[str]:
        """Return the hosts that had a role, one in each testbed of a pool."""
        hosts = self.meta["testbed"].get("hosts", ())
        return list(dict.fromkeys(host["name"] for host in hosts if role in host["roles"]))

    @cached_property
    def measured(self) -> pd.DataFrame:
        """Return the trials that enter medians: kind measure, status ok, with a number, and not `shared`."""
        return self._ok("measure")

    @cached_property
    def planned(self) -> pd.DataFrame:
        """Return the planned trials of cells, whatever their status: kind measure."""
        return self.trials[self.trials["kind"] == "measure"]

    @cached_property
    def baselines(self) -> pd.DataFrame:
        """Return the ok baseline trials: the same traffic without a tunnel, at the start of each block."""
        return self._ok("baseline")

    def _ok(self, kind: str) -> pd.DataFrame:
        trials = self.trials
        keep = (trials["kind"] == kind) & (trials["status"] == "ok") & trials[self.quantity.column].notna()
        return trials[keep & ~_shared(trials)]

    @cached_property
    def shared(self) -> pd.DataFrame:
        """Return the ok trials measured while another testbed of the run used the same computer.

        They show that things work, and enter no median and no ratio.
        """
        return self.trials[(self.trials["status"] == "ok") & _shared(self.trials)]

    @cached_property
    def invalid(self) -> pd.DataFrame:
        """Return the attempts of measured cells that exceeded a limit but have a number: drawn separately, never in a
        median."""
        rows = self.attempts
        keep = (rows["kind"] == "measure") & (rows["status"] == "invalid") & rows[self.quantity.column].notna()
        return rows[keep & ~_shared(rows)]

    @cached_property
    def levels(self) -> list[str]:
        """Return the columns of `trials` that hold the levels of factors."""
        return levels_of(self.trials)

    @property
    def further_factors(self) -> list[str]:
        """Return the columns of `trials` that hold the levels of keys of the spec, by path."""
        return self.levels[len(LEVELS) :]

    @cached_property
    def variants(self) -> list[str]:
        """Return the planned variants, in the spec's order if it gives one."""
        found = set(self.planned["variant"])
        factors = (self.meta.get("spec") or {}).get("factors") or {}
        listed = [str(name) for name in factors.get("variant") or () if str(name) in found]
        return [*dict.fromkeys(listed), *sorted(found - set(listed))]

    @property
    def reference(self) -> str | None:
        """Return the variant that ratios are relative to: vanilla, or else the first; None without a variant."""
        return reference_variant(self.variants) if self.variants else None

    @property
    def counts_packets(self) -> bool:
        """Return whether the run measured packet rates, as pktgen's trials do, instead of throughput."""
        blocks = (self.meta.get("plan") or {}).get("blocks") or ()
        return any(trial["traffic"].get("tool") == "pktgen" for block in blocks for trial in block["trials"][:1])

    @cached_property
    def quantity(self) -> Quantity:
        """Return the measured quantity: throughput or a user-defined one. Packet rates have goals instead."""
        return quantity_of(self.meta)

    @property
    def headroom(self) -> float:
        """Return how far below the baseline a result must be, as a share of it, for the generator not to be the
        limit."""
        found = ((self.meta.get("spec") or {}).get("limits") or {}).get("headroom")
        return _HEADROOM if found is None else float(found)

    @cached_property
    def virtual_time(self) -> VirtualTime | None:
        """Return the virtual time in which the run was measured; None if it was real time."""
        return virtual_time(self.meta)

    @property
    def clock(self) -> str:
        """Return the clock by which the run was measured: real or virtual."""
        return VIRTUAL if self.virtual_time else REAL

    @property
    def measured_in(self) -> str:
        """Return the clock in words, such as: virtual time, 16 virtual CPUs on 2 cores; or real time."""
        return label_of(self.virtual_time)

    def in_its_time(self, quantity: str) -> str:
        """Return a quantity's name that ends with a unit; in virtual time, Gbit/s becomes Gbit/s of virtual time."""
        return in_its_time(self.virtual_time, quantity)

    @property
    def topology(self) -> str:
        """Return the topology: site-to-site or gateway-to-gateway."""
        return str((self.meta.get("plan") or {}).get("topology", "topology not recorded"))

    @property
    def testbed(self) -> Mapping[str, Any]:
        """Return the entry for the testbed in run.json."""
        found: Mapping[str, Any] = self.meta.get("testbed") or {}
        return found

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
    def loads(self) -> "list[Load]":
        """Return how busy CPUs were while each cell was measured; see `orchestrator.analysis.limits.loads.Load`. The
        list is empty if the run measured neither throughput nor packet rates."""
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

    def counts(self) -> dict[str, int]:
        """Return the number of trials by status: ok, failed, invalid, missing."""
        found = self.trials["status"].value_counts()
        return {status: int(found.get(status, 0)) for status in ("ok", "failed", "invalid", "missing")}

    @property
    def run_id(self) -> str:
        """Return the run's id: when it began, and a few letters that make it unique."""
        return str(self.meta.get("run_id", self.path.name))

    @property
    def title(self) -> str:
        """Return one line on what was run, on what testbed, and with what result."""
        counts = self.counts()
        tier = f", tier {self.meta['tier']}" if self.meta.get("tier") else ""
        where = f"{self.testbed.get('name', '?')} ({self.testbed.get('label', '')})"
        emulated = ", emulated" if self.testbed.get("emulated") else ""
        emulated += f", {self.measured_in}" if self.virtual_time else ""
        trials = f"{counts['ok']} of {sum(counts.values())} trials ok"
        return f"{self.meta.get('experiment')}{tier}, {self.topology} on {where}{emulated}: {trials}"

    def __repr__(self) -> str:
        return f"<Run {self.run_id}: {self.title}>"

    def _repr_html_(self) -> str:
        from orchestrator.analysis.rendering import run_html

        return run_html(self)


def levels_of(frame: pd.DataFrame) -> list[str]:
    """Return the columns with levels in a frame of trials: those of every run, followed by paths of the spec."""
    return [*LEVELS, *sorted(str(name) for name in frame.columns if factors.is_path(str(name)))]


def on_one_testbed(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials of one testbed per variant, the one with its fewest cores, so that core counts can be
    compared."""
    first = trials.sort_values(["cores", "order"]).groupby("variant")["testbed"].first()
    return trials[trials["testbed"] == trials["variant"].map(first)]


def _shared(trials: pd.DataFrame) -> "pd.Series[bool]":
    return trials["shared_computer"].fillna(False).astype(bool)


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
