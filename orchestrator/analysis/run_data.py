# SPDX-License-Identifier: Apache-2.0
"""The stored content of a run: its metadata and trials, and which trials count."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import pandas as pd

from orchestrator.analysis.quantity import Quantity, quantity_of
from orchestrator.plan import reference_variant
from orchestrator.spec import factors
from orchestrator.store.clock import REAL, VIRTUAL, RunVirtualTime, in_its_time, label_of, virtual_time

LEVELS = ("variant", "cores", "tunnels", "packet_size")  # columns of every run
_HEADROOM = 0.10  # for runs whose spec does not set it


@dataclass(frozen=True, repr=False)
class RunData:
    """The stored content of one run. ``meta`` is the content of run.json.

    ``trials``: one row per planned trial, in the plan's order: the accepted attempt, or else the last; status ok,
    failed, invalid or missing. ``attempts``: one row per attempt, with the reasons if it is not ok. ``boot`` in both:
    the same value for everything measured in one boot of a testbed's hosts. ``note``: a sentence for figures, and
    ``whole``, the whole run, if this is a part of one: the rates of false alarms are those over all its cells.
    """

    path: Path
    meta: Mapping[str, Any]
    trials: pd.DataFrame
    attempts: pd.DataFrame
    note: str = ""
    whole: Self | None = None

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
    def virtual_time(self) -> RunVirtualTime | None:
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
    def traffic(self) -> Mapping[str, Any]:
        """Return the traffic of the first measured trial of the plan; empty without one."""
        blocks = (self.meta.get("plan") or {}).get("blocks") or ()
        trials = (trial for block in blocks for trial in block["trials"] if trial["kind"] == "measure")
        return next((trial["traffic"] for trial in trials), {})

    @property
    def testbed(self) -> Mapping[str, Any]:
        """Return the entry for the testbed in run.json."""
        found: Mapping[str, Any] = self.meta.get("testbed") or {}
        return found

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
