# SPDX-License-Identifier: Apache-2.0
"""A run's directory as tidy pandas frames, with units in the columns' names.

Longer than other modules: whatever a notebook asks of a run is a property of `Run`, most of which another module makes.
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

LEVELS = ("variant", "cores", "tunnels", "packet_size")  # of every run
_HEADROOM = 0.10  # of runs whose spec does not say
_NEWEST_COLUMNS = {"shared_computer", "pdr_upper_pps", "clock", "lent_share"}


@dataclass(frozen=True, repr=False)
class Run:
    """One run. ``meta`` is run.json as it is.

    ``trials``: one row per planned trial, in the plan's order: the accepted attempt, else the last; status ok, failed,
    invalid or missing. ``attempts``: one row per attempt, with the reasons of those that are not ok. ``boot`` in both:
    what is the same for all that was measured in one boot of a testbed's hosts. ``note``: a sentence for figures, of a
    part of a run.
    """

    path: Path
    meta: Mapping[str, Any]
    trials: pd.DataFrame
    attempts: pd.DataFrame
    note: str = ""

    @cached_property
    def per_core(self) -> pd.DataFrame:
        """The shares (0 to 1) of each CPU's time by kind, of each ok trial; see `analysis.frames.per_core`."""
        from orchestrator.analysis import frames

        return frames.per_core(self)

    @cached_property
    def per_second(self) -> pd.DataFrame:
        """The throughput of each ok trial in bit/s, second by second; see `analysis.frames.per_second`."""
        from orchestrator.analysis import frames

        return frames.per_second(self)

    @cached_property
    def per_stream(self) -> pd.DataFrame:
        """The throughput of each ok trial in bit/s by tunnel and direction; see `analysis.frames.per_stream`."""
        from orchestrator.analysis import frames

        return frames.per_stream(self)

    @cached_property
    def softirqs(self) -> pd.DataFrame:
        """The number of times that each softirq ran on each CPU in each ok trial; see `analysis.frames.softirqs`."""
        from orchestrator.analysis import frames

        return frames.softirqs(self)

    @cached_property
    def interfaces(self) -> pd.DataFrame:
        """Bytes, packets and drops of each network interface, of each ok trial; see `analysis.frames.interfaces`."""
        from orchestrator.analysis import frames

        return frames.interfaces(self)

    @cached_property
    def drops(self) -> pd.DataFrame:
        """Where each ok trial lost packets, and how many; see `analysis.frames.drops`."""
        from orchestrator.analysis import frames

        return frames.drops(self)

    @cached_property
    def over_time(self) -> pd.DataFrame:
        """Memory and dropped packets of each host during each ok trial; see `analysis.frames.over_time`."""
        from orchestrator.analysis import frames

        return frames.over_time(self)

    @cached_property
    def probed(self) -> pd.DataFrame:
        """What the spec's own probes gave beside each ok trial; see `analysis.frames.probed`."""
        from orchestrator.analysis import frames

        return frames.probed(self)

    def dictionary(self) -> pd.DataFrame:
        """Every column of every frame, with type, unit and meaning; see `analysis.dictionary`."""
        from orchestrator.analysis import dictionary

        return dictionary.dictionary()

    def hosts_of(self, role: str) -> list[str]:
        """The hosts that had a role, one in each testbed of a pool."""
        hosts = self.meta["testbed"].get("hosts", ())
        return list(dict.fromkeys(host["name"] for host in hosts if role in host["roles"]))

    @cached_property
    def measured(self) -> pd.DataFrame:
        """The trials that medians are made of: kind measure, status ok, with a number, and not `shared`."""
        return self._ok("measure")

    @cached_property
    def planned(self) -> pd.DataFrame:
        """The planned trials of cells, whatever became of them: kind measure."""
        return self.trials[self.trials["kind"] == "measure"]

    @cached_property
    def baselines(self) -> pd.DataFrame:
        """The ok baseline trials: the same traffic without a tunnel, at the start of each block."""
        return self._ok("baseline")

    def _ok(self, kind: str) -> pd.DataFrame:
        trials = self.trials
        keep = (trials["kind"] == kind) & (trials["status"] == "ok") & trials[self.quantity.column].notna()
        return trials[keep & ~_shared(trials)]

    @cached_property
    def shared(self) -> pd.DataFrame:
        """The ok trials that were measured while another testbed of the run used the same computer: they show that
        things work, and are in no median and no ratio."""
        return self.trials[(self.trials["status"] == "ok") & _shared(self.trials)]

    @cached_property
    def invalid(self) -> pd.DataFrame:
        """Attempts of measured cells that broke a limit and yet have a number: drawn apart, never in a median."""
        rows = self.attempts
        keep = (rows["kind"] == "measure") & (rows["status"] == "invalid") & rows[self.quantity.column].notna()
        return rows[keep & ~_shared(rows)]

    @property
    def levels(self) -> list[str]:
        """The columns of `trials` that hold the levels of factors."""
        return levels_of(self.trials)

    @property
    def further_factors(self) -> list[str]:
        """The columns of `trials` that hold the levels of keys of the spec, by path."""
        return self.levels[len(LEVELS) :]

    @property
    def variants(self) -> list[str]:
        """The planned variants, in the spec's order where it gives one."""
        found = set(self.planned["variant"])
        factors = (self.meta.get("spec") or {}).get("factors") or {}
        listed = [str(name) for name in factors.get("variant") or () if str(name) in found]
        return [*dict.fromkeys(listed), *sorted(found - set(listed))]

    @property
    def reference(self) -> str | None:
        """The variant that ratios are against: vanilla, else the first; None without a variant."""
        return reference_variant(self.variants) if self.variants else None

    @property
    def counts_packets(self) -> bool:
        """Whether what was measured are packet rates, which pktgen's trials give, and no throughput."""
        blocks = (self.meta.get("plan") or {}).get("blocks") or ()
        return any(trial["traffic"].get("tool") == "pktgen" for block in blocks for trial in block["trials"][:1])

    @cached_property
    def quantity(self) -> Quantity:
        """What was measured: throughput, or a quantity of the user's own. Packet rates have goals instead."""
        return quantity_of(self.meta)

    @property
    def headroom(self) -> float:
        """How far below the baseline a result must be, as a share of it, for the generator not to be the limit."""
        found = ((self.meta.get("spec") or {}).get("limits") or {}).get("headroom")
        return _HEADROOM if found is None else float(found)

    @cached_property
    def virtual_time(self) -> VirtualTime | None:
        """The virtual time that the run was measured in; None where it was real time."""
        return virtual_time(self.meta)

    @property
    def clock(self) -> str:
        """real or virtual: the clock by which the run was measured."""
        return VIRTUAL if self.virtual_time else REAL

    @property
    def measured_in(self) -> str:
        """In words, such as: virtual time, 16 virtual CPUs on 2 cores; or real time."""
        return label_of(self.virtual_time)

    def in_its_time(self, quantity: str) -> str:
        """The name of a quantity that ends with a unit: Gbit/s become Gbit/s of virtual time where it is virtual."""
        return in_its_time(self.virtual_time, quantity)

    @property
    def topology(self) -> str:
        """site-to-site or gateway-to-gateway."""
        return str((self.meta.get("plan") or {}).get("topology", "topology not recorded"))

    @property
    def testbed(self) -> Mapping[str, Any]:
        """What run.json says about the testbed."""
        found: Mapping[str, Any] = self.meta.get("testbed") or {}
        return found

    def cells(self) -> pd.DataFrame:
        """What came out, one row per cell: medians with their intervals; see `analysis.cells.cells`."""
        from orchestrator.analysis.cells import cells

        return cells(self)

    def ratios(self, reference: str | None = None) -> pd.DataFrame:
        """How many times as much as the reference variant, cell by cell; see `analysis.cells.ratios`."""
        from orchestrator.analysis.cells import ratios

        return ratios(self, reference)

    def efficiencies(self) -> pd.DataFrame:
        """Parallel efficiency with one tunnel per core; see `analysis.cells.efficiencies`."""
        from orchestrator.analysis.cells import efficiencies

        return efficiencies(self)

    def fits(self, weights: str = "relative") -> pd.DataFrame:
        """Amdahl's law and the USL, fitted to throughput against cores; see `analysis.cells.fits`."""
        from orchestrator.analysis.cells import fits

        return fits(self, weights)

    @cached_property
    def loads(self) -> "list[Load]":
        """How busy CPUs were while each cell was measured; see `orchestrator.analysis.limits.loads.Load`. None where
        throughput is not what was measured."""
        if not self.quantity.is_throughput:
            return []
        from orchestrator.analysis.limits.loads import loads

        return loads(self)

    def limits(self) -> pd.DataFrame:
        """What limited each cell, with the evidence; see `orchestrator.analysis.limits.limits`."""
        from orchestrator.analysis.limits import limits

        return limits(self)

    def costs(self) -> pd.DataFrame:
        """What each cell cost in CPU time; see `orchestrator.analysis.limits.costs`."""
        from orchestrator.analysis.limits import costs

        return costs(self)

    @cached_property
    def profiles(self) -> "list[Profile]":
        """What CPUs ran while each cell was profiled; see `orchestrator.analysis.profiles.Profile`."""
        from orchestrator.analysis.profiles import profiles

        return profiles(self)

    def stages(self) -> pd.DataFrame:
        """CPU time by stage of the profiled cells; see `orchestrator.analysis.profiles.stages`."""
        from orchestrator.analysis.profiles import stages

        return stages(self)

    def quality(self) -> pd.DataFrame:
        """Which cells have several modes, drift, or alike neighbours; see `analysis.quality.quality`."""
        from orchestrator.analysis.quality import quality

        return quality(self)

    def noise_floor(self) -> pd.DataFrame:
        """What a variant carried against itself, where the run asked for it; see `analysis.noise_floor.noise_floor`."""
        from orchestrator.analysis.noise_floor import noise_floor

        return noise_floor(self)

    def verify(self) -> "Verdicts":
        """What the run shows about the paper's claims; see `analysis.claims.verify`."""
        from orchestrator.analysis.claims import verify

        return verify(self)

    def compare(self, other: "Run | Path | str") -> "Comparison":
        """Another run (or its path) against this one, cell by cell; see `analysis.comparing.compare`."""
        from orchestrator.analysis.comparing import compare

        return compare(self, other if isinstance(other, Run) else load(other))

    def counts(self) -> dict[str, int]:
        """Trials by status: ok, failed, invalid, missing."""
        found = self.trials["status"].value_counts()
        return {status: int(found.get(status, 0)) for status in ("ok", "failed", "invalid", "missing")}

    @property
    def run_id(self) -> str:
        """The run's name: when it began, and a few letters that tell it from others."""
        return str(self.meta.get("run_id", self.path.name))

    @property
    def title(self) -> str:
        """What was run, on what, and how it went, in a line."""
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
    """The columns of a frame of trials that hold levels: those that every run has, and then paths of the spec."""
    return [*LEVELS, *sorted(str(name) for name in frame.columns if factors.is_path(str(name)))]


def on_one_testbed(trials: pd.DataFrame) -> pd.DataFrame:
    """Of each variant the trials of one testbed, that with its fewest cores: what core counts are compared in."""
    first = trials.sort_values(["cores", "order"]).groupby("variant")["testbed"].first()
    return trials[trials["testbed"] == trials["variant"].map(first)]


def _shared(trials: pd.DataFrame) -> "pd.Series[bool]":
    return trials["shared_computer"].fillna(False).astype(bool)


def load(path: Path | str) -> Run:
    """A run, from its directory; of a folder that holds runs (results/scaling), the one that began last.

    The Parquet files are read where they are; without them the tables are derived from the attempts. Raises UserError
    where there is no run.
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
    # Missing, damaged, or from an older version: they are derived, so derive them again.
    from orchestrator.store.tables import tables

    return tables(path)


def _parquet(path: Path) -> "pa.Table":
    from pyarrow import parquet as pq

    with path.open("rb") as file:  # a name that is not UTF-8 is none to Arrow
        return pq.read_table(file)


def _frame(table: "pa.Table") -> pd.DataFrame:
    from orchestrator.store.tables import MIXED, level_of_text

    frame: pd.DataFrame = table.to_pandas()
    for field in table.schema:
        if MIXED.encode() in (field.metadata or {}):
            frame[field.name] = frame[field.name].map(level_of_text).astype(object)
    if "value" not in frame:  # of runs of before there were quantities of the user's own
        frame = frame.assign(value=float("nan"))
    numbers = ["value"] + [name for name in frame.columns if name.endswith(("_bps", "_pps", "_ratio"))]
    frame[numbers] = frame[numbers].astype("float64")
    # Runs of earlier versions do not say which boot it was, and count each block as one.
    blocks = "block " + frame["block"].astype("string")
    known = frame["boot_id"].astype("string") if "boot_id" in frame else pd.Series(pd.NA, frame.index, "string")
    frame["boot"] = known.fillna(blocks).astype(object)
    return frame
