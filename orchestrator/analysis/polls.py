# SPDX-License-Identifier: Apache-2.0
"""The CPUs on which NAPI polls ran: the traced trials of a run as a tidy frame, and a summary of the spread over
CPUs."""

import math
from pathlib import Path

import pandas as pd

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.frames import places_of_cpus
from orchestrator.analysis.run_data import levels_of
from orchestrator.errors import UserError
from orchestrator.store.reading import parse_json

OTHERS = -1  # in place of a CPU's number: it belongs to another role
_COLUMNS = ["host", "role", "tunnel", "time_s", "cpu", "polls", "packets", "empty", "measured_in"]


def polls(run: Run) -> pd.DataFrame:
    """Return one row per ok traced trial, tunnel, CPU and time bin in which the tunnel was polled.

    Columns: trial_id, the levels, host, role, tunnel (its number), time_s (start of the bin, from the first poll on),
    cpu, polls, packets (that these polls delivered), empty (the polls that delivered none; missing in older runs),
    measured_in. Tunnels that share a device are numbered in the order of their packets. If each role has its own CPUs,
    cpu is the number among those of the role, from 0 on, as in `Run.per_core`, and OTHERS for a CPU of another role.
    Raises UserError if a file of the run is damaged.
    """
    keys = ["trial_id", *run.levels]
    columns = [*keys, *_COLUMNS]
    parts: list[pd.DataFrame] = []
    rows = run.attempts[(run.attempts["kind"] == "trace") & (run.attempts["status"] == "ok")]
    for attempt in rows.drop_duplicates("trial_id").to_dict("records"):
        folder = run.path / "trials" / attempt["trial_id"] / str(attempt["attempt"])
        try:
            frame = _recorded(folder)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            file = folder / "polls.json"
            raise UserError(f"{file} cannot be read ({error}). Restore it from a copy of the run.") from error
        parts.append(frame.assign(**{key: attempt[key] for key in keys}, measured_in=run.measured_in))
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _recorded(folder: Path) -> pd.DataFrame:
    """Return the polls.json in an attempt's folder, with those columns of `polls` that are not the trial's."""
    found = parse_json((folder / "polls.json").read_bytes())
    frame = pd.DataFrame(found["rows"], columns=found["columns"])
    probes = parse_json((folder / "attempt.json").read_bytes()).get("probes") or {}
    frame = frame[frame["role"] != ""]
    if places := places_of_cpus(probes.get("per_cpu") or ()):
        where = zip(frame["role"], frame["cpu"], strict=True)
        frame["cpu"] = [places.get((role, int(cpu)), OTHERS) for role, cpu in where]
    frame["tunnel"] = frame["device"].str.extract(r"(\d+)$", expand=False).astype("int64")
    frame["time_s"] = frame["bin"] * float(found["bin_s"])
    if "empty" not in frame:
        frame["empty"] = math.nan
    return frame.astype({"polls": "int64", "packets": "int64", "cpu": "int64", "empty": "float64"})


def spread(frame: pd.DataFrame) -> pd.DataFrame:
    """Return how polls spread over CPUs, one row per cell and role.

    Columns: the levels, role, polls, packets_per_poll; ``empty``: the share (0 to 1) of the polls that delivered
    nothing, because the tunnel's queue was empty or its first packet was not decrypted yet; ``busiest_cpu``: the share
    (0 to 1) of all polls on the CPU with the most polls, bin by bin, which is 1 if all tunnels are polled on one CPU at
    a time; ``one_cpu``: the share of a tunnel's polls in a bin on that tunnel's main CPU, which is 1 if a tunnel stays
    on one CPU; and measured_in.
    """
    levels = levels_of(frame)
    rows = []
    for (*key, measured_in), mine in frame.groupby([*levels, "role", "measured_in"], dropna=False):
        total = int(mine["polls"].sum())
        moments = mine.groupby(["trial_id", "time_s", "cpu"])["polls"].sum().groupby(level=[0, 1]).max().sum()
        alone = mine.groupby(["trial_id", "time_s", "tunnel"])["polls"].max().sum()
        empty = mine["empty"].sum(min_count=1) / total
        shares = {"empty": empty, "busiest_cpu": moments / total, "one_cpu": alone / total}
        rows.append([*key, total, mine["packets"].sum() / total, *shares.values(), measured_in])
    columns = [*levels, "role", "polls", "packets_per_poll", "empty", "busiest_cpu", "one_cpu", "measured_in"]
    return pd.DataFrame(rows, columns=columns)
