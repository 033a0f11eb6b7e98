# SPDX-License-Identifier: Apache-2.0
"""The data dictionary: every frame of a run with the type, unit and meaning of each column.

`orch schema data` prints it as Markdown for docs/data.md; `Run.dictionary` is the same as a frame. A test compares it
with the frames of real runs.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pandas as pd

from orchestrator.store import columns as stored
from orchestrator.store.columns import Column

_F, _I, _S, _B = "double", "int64", "string", "bool"
_MEASURED_IN = Column("measured_in", _S, "", "The run's clock in words: real time, or how virtual time was made.")
_FACTOR = Column(
    "a.path", "any", "", "A further factor of the spec: a column for each, named by its path.", "such runs"
)
_BOOT = Column("boot", _S, "", "The boot of the hosts that measured the trial; what was measured in one boot is alike.")
_HOST = Column("host", _S, "", "The host.")
_ROLE = Column("role", _S, "", "client, gateway-a, gateway-b or server; empty where roles share CPUs.")
_CPU = Column("cpu", _I, "", "The CPU, numbered among those of its role, or of the host where roles share them.")
_N = Column("n", _I, "trials", "Ok trials that the numbers are made of.")
_BOOTS = Column("boots", _I, "boots", "Boots that these trials are of.")
_INTERVAL = Column(
    "interval", _S, "", "What low and high are: a 95 % interval (within a boot, over boots) or the range."
)
_UNPAIRED = Column("unpaired", _I, "trials", "Trials without a counterpart in their block and round.")
_MODES = Column("modes", _S, "", "Whether the values have several modes: empty, probable or certain.")
_REFERENCE = Column("reference", _S, "", "The variant that the ratio is against.")
_ATTEMPT_KEYS = (
    *(stored.TRIAL_ID, stored.KIND, stored.BLOCK, stored.ROUND, stored.REPETITION, stored.STATUS),
    *(stored.VARIANT, stored.CORES, stored.TUNNELS, stored.ATTEMPT, stored.PACKET_SIZE, _FACTOR),
)
_CELL = (*stored.LEVELS, _FACTOR)


@dataclass(frozen=True, slots=True)
class Table:
    """A frame. ``name``: the expression that returns it, given a run; ``what``: the end of "One row per ..."."""

    name: str
    what: str
    columns: tuple[Column, ...]


def _spread(what: str, unit: str = "", end: str = "") -> tuple[Column, ...]:
    """Return the columns median, low, high and interval of a value, with a suffix to their names."""
    named = (("median", f"Median of {what}."), ("low", "Lower end of its interval."), ("high", "Upper end."))
    return (*(Column(f"{name}{end}", _F, unit, meaning) for name, meaning in named), _INTERVAL)


_STATUSES = tuple(
    Column(status, _I, "trials", f"Trials that are {status}.") for status in ("failed", "invalid", "missing")
)
_BASELINE = Column("baseline_bps", _F, "bit/s", "The same traffic without a tunnel, with as many address pairs.")
_OF_BASELINE = Column("of_baseline", _F, "", "The median as a share of the baseline.")
_BOUND = Column(
    "generator_bound", _B, "", "Whether the cell is so near the baseline that the generator may be the limit."
)
_BUSY_S = Column(
    "busy_s", _F, "s", "CPU time that /proc/stat counted as busy in the profiled window, all CPUs together."
)


def _modes(prefix: str, end: str, unit: str) -> tuple[Column, ...]:
    return tuple(
        column
        for side in ("lower", "upper")
        for column in (
            Column(f"{side}{prefix}{end}", _F, unit, f"Median of the {side} mode.", "cells with modes"),
            Column(f"{side}{prefix}_n", _I, "trials", f"Trials in the {side} mode; 0 without modes."),
        )
    )


def _compared(of: str, name: str, unit: str) -> tuple[Column, ...]:
    return (
        *_CELL,
        *(Column(f"n_{side}", _I, "trials", f"Ok trials (of ratios: pairs) of run {side.upper()}.") for side in "ab"),
        *(Column(name.format(side), _F, unit, f"{of} in run {side.upper()}.") for side in "ab"),
        Column("ratio", _F, "", "B over A."),
        *(
            Column(end, _F, "", f"{word} end of the ratio's interval.")
            for end, word in (("low", "Lower"), ("high", "Upper"))
        ),
        _INTERVAL,
        Column("p", _F, "", "p-value of the test of a difference."),
        Column("p_holm", _F, "", "The same after Holm's correction for the number of cells."),
        Column("outcome", _S, "", "differs, no difference seen, or cannot tell."),
        Column("reason", _S, "", "Why one cannot tell."),
    )


_FITTED = tuple(
    Column(f"{name}{end}{unit and '_bps'}", _F, unit, f"{text}{word}.")
    for name, unit, text in (
        ("one_core", "bit/s", "Fitted throughput with one core"),
        ("sigma", "", "Serial share of the work (contention)"),
        ("kappa", "", "Cost of keeping cores consistent; of the USL"),
    )
    for end, word in (("", ""), ("_low", ", lower end of its interval"), ("_high", ", upper end of its interval"))
)

TABLES = (
    Table("trials", "planned trial: its accepted attempt, or else the last (trials.parquet)", (
        *stored.SHARED, _FACTOR, stored.ATTEMPTS, _BOOT)),
    Table("attempts", "attempt, also of those that do not count (attempts.parquet)", (
        *stored.SHARED, _FACTOR, stored.ATTEMPT, _BOOT)),
    Table("per_core", "CPU of an ok trial: the shares (0 to 1) of its time in the measured window", (
        *_ATTEMPT_KEYS, _HOST, _ROLE, _CPU,
        Column("user", _F, "", "Share in programs."),
        Column("system", _F, "", "Share in the kernel, on behalf of programs and in kernel threads."),
        Column("softirq", _F, "", "Share in softirqs."),
        Column("irq", _F, "", "Share in hard interrupts."),
        Column("steal", _F, "", "Share that a hypervisor took."),
        Column("iowait", _F, "", "Share idle with disk requests outstanding."),
        Column("idle", _F, "", "Share idle."),
        Column("window_s", _F, "s", "Length of the measured window."),
        Column("cycles", _F, "cycles", "Cycles of this CPU in it.", "hosts with such a counter"),
        Column("joules", _F, "J", "Energy of its host's processors in it, the same for all CPUs.", "hosts with RAPL"),

        _MEASURED_IN)),
    Table("per_second", "second of an ok trial with TCP or UDP", (
        *_ATTEMPT_KEYS,
        Column("second", _I, "s", "The second after the warm-up, from 1 on."),
        Column("throughput_bps", _F, "bit/s", "What the receivers counted in it, all tunnels together."),
        _MEASURED_IN)),
    Table("per_stream", "receiver of an ok trial", (
        *_ATTEMPT_KEYS,
        Column("tunnel", _I, "", "The tunnel's number, from 1 on."),
        Column("direction", _S, "", "forward: from the client to the server; reverse."),
        Column("throughput_bps", _F, "bit/s", "What it counted."),
        Column("retransmits", _I, "segments", "TCP segments that its sender sent again.", "TCP"),
        _MEASURED_IN)),
    Table("softirqs", "CPU and kind of softirq of an ok trial", (
        *_ATTEMPT_KEYS, _HOST, _ROLE, _CPU,
        Column("softirq", _S, "", "The kind, as /proc/softirqs names it: NET_RX, NET_TX, TIMER, and so on."),
        Column("count", _I, "times", "How often it ran on this CPU in the measured window."),
        _MEASURED_IN)),
    Table("interfaces", "network interface of an ok trial: its counters over the measured window", (
        *_ATTEMPT_KEYS, replace(_ROLE, meaning="client, gateway-a, gateway-b or server."),
        Column("interface", _S, "", "The interface: lan0, wan0; wg1 and so on are tunnels."),
        Column("window_s", _F, "s", "How long was counted."),
        *(
            Column(f"{way}_{what}", _I, unit, f"{what.capitalize()} that it {did}.")
            for way, did in (("rx", "received"), ("tx", "sent"))
            for what, unit in (("bytes", "bytes"), ("packets", "packets"))
        ),
        *(
            Column(f"{way}_drops", _I, "packets", f"Packets that it dropped on {word}.")
            for way, word in (("rx", "reception"), ("tx", "transmission"))
        ),
        _MEASURED_IN)),
    Table("drops", "place at which an ok trial lost packets", (
        *_ATTEMPT_KEYS, replace(_ROLE, meaning="Where: client, gateway-a, gateway-b or server."),
        Column("where", _S, "", "An interface and direction (wan0 rx), or what a generator's packets were lost in."),
        Column("packets", _I, "packets", "How many."),
        Column("load", _I, "", "The number of the generator's load, from 1 on.", "tool pktgen"),
        _MEASURED_IN)),
    Table("over_time", "host and sample during an ok trial; of specs with sample_every", (
        *_ATTEMPT_KEYS, _HOST,
        Column("at_s", _F, "s", "When, after the measured window began."),
        Column("memory_available", _I, "bytes", "Memory that programs could still get (MemAvailable)."),
        Column("slab", _I, "bytes", "Memory of the kernel's own objects, among them sockets and peers (Slab)."),
        Column("drops", _I, "packets", "Packets that all interfaces of its roles have dropped since at_s 0."),
        _MEASURED_IN)),
    Table("probed", "probe of the spec at a place, of an ok trial; of specs with probes", (
        *_ATTEMPT_KEYS,
        Column("probe", _S, "", "Its name in the spec."), _HOST,
        replace(_ROLE, meaning="Where its command ran; empty of a tracepoint, which the whole host counts."),
        Column("value", _F, "that of the column unit", "The number that was read or counted.", "probes with one"),
        Column("unit", _S, "", "The unit of `value`.", "probes with one"),
        _MEASURED_IN)),
    Table("cells()", "planned cell; of a quantity of the user's own, columns end in _value for _bps", (
        *_CELL, _N, _BOOTS, *_STATUSES,
        Column("invalid_attempts", _I, "attempts", "Invalid attempts, also of trials that a later attempt made ok."),
        *_spread("the ok trials", "bit/s", "_bps"), _BASELINE, _OF_BASELINE, _BOUND, _MODES,
        *_modes("_mode", "_bps", "bit/s"),
        Column("limit", _S, "", "What limited the cell, in a few words; see limits()."), _MEASURED_IN)),
    Table("ratios()", "cell of a variant beside the reference variant's, paired by block and round", (
        *_CELL, _REFERENCE, replace(_N, unit="pairs", meaning="Pairs."), _BOOTS, _UNPAIRED,
        *_spread("the pairs' ratios"), _MODES, _MEASURED_IN)),
    Table("efficiencies()", "cell with one tunnel per core: its throughput over cores times that of one core", (
        *_CELL, Column("reference_cores", _I, "cores", "The number of cores that it is against: 1."), _N, _BOOTS,
        *_spread("the efficiency (1: linear scaling)"), _MEASURED_IN)),
    Table("fits()", "law of scaling that was fitted to a variant's throughput against cores", (
        stored.VARIANT, Column("tunnels", _S, "", "per core, or the fixed number of tunnels."),
        Column("law", _S, "", "Amdahl's law or the USL."),
        Column("core_counts", _I, "", "How many core counts were fitted."), _N, _BOOTS,
        Column("fitted", _B, "", "Whether there is a fit."), Column("reason", _S, "", "Why there is none."),
        *_FITTED,
        Column("largest_deviation", _F, "", "Largest deviation of a core count from the curve, as a share."),
        Column("notes", _S, "", "What one must know of the fit."), _FACTOR, _MEASURED_IN)),
    Table("limits()", "cell whose CPUs were sampled: what limited it (docs/explain.md)", (
        *_CELL, _N, Column("limit", _S, "", "The limit in a few words."),
        Column("what", _S, "", "Its kind."), Column("where", _S, "", "The role or host."),
        Column("how_sure", _S, "", "How sure the rule is."), Column("why", _S, "", "The evidence, in sentences."),
        Column("lifted_by", _S, "", "What would lift it."), _MEASURED_IN)),
    Table("costs()", "cell whose CPUs were sampled: what it cost in CPU time", (
        *_CELL, _N, Column("throughput_bps", _F, "bit/s", "Median of the throughput."),
        Column("busy_cores", _F, "cores", "CPUs' worth of time that the whole path took."),
        Column("gateway_cores", _F, "cores", "The same of the two gateways alone.", "roles with their own CPUs"),
        Column("bps_a_busy_core", _F, "bit/s", "Throughput per gateway core; per busy core where roles share CPUs."),
        Column("ns_a_packet", _F, "ns", "The same CPU time for each packet of 1420 bytes."),
        Column("cycles_a_packet", _F, "cycles", "Cycles for each packet of 1420 bytes.", "hosts with such a counter"),
        Column("joules_a_gbit", _F, "J", "Energy of the processors for each Gbit.", "hosts with RAPL"),
 _MEASURED_IN)),
    Table("stages()", "profiled cell and stage of a packet's path", (
        *_CELL, Column("stage", _S, "", "The stage."),
        Column("seconds", _F, "s", "CPU time in it, in the profiled window."),
        Column("ns_a_packet", _F, "ns", "The same for each 1420 bytes that arrived.", "stages but idle"),
        Column("share", _F, "", "Its share (0 to 1) of all stages but idle.", "stages but idle"), _BUSY_S,
        Column("covered", _F, "", "All stages together as a share of busy_s."), _MEASURED_IN)),
    Table("quality()", "cell with a valid trial: modes, drift and likeness of neighbours", (
        *_CELL, _N, _MODES, *_modes("", "", "bit/s or packets/s"),
        Column("drift", _F, "", "Kendall's tau of the values with their order within a boot."),
        Column("drift_p", _F, "", "Its p-value, corrected by Holm for the number of cells."),
        Column("neighbours", _F, "", "Autocorrelation of the values' ranks at lag 1."),
        Column("neighbours_p", _F, "", "Its p-value, corrected likewise."), _MEASURED_IN)),
    Table("noise_floor()", "cell that was measured twice", (
        *_CELL, Column("against", _S, "", "The variant that was measured again."),
        replace(_N, unit="pairs", meaning="Pairs."), _UNPAIRED, *_spread("the second over the first"),
        Column("floor_low", _F, "", "Lower end of the band that is no more than noise."),
        Column("floor_high", _F, "", "Its upper end."), _MEASURED_IN)),
    Table("compare(other).cells", "cell of either run", _compared("Median", "median_{}_bps", "bit/s")),
    Table("compare(other).speed_ups", "ratio to the reference variant of either run", _compared(
        "Median of the ratio to the reference variant", "speed_up_{}", "")),
)  # fmt: skip


def dictionary() -> pd.DataFrame:
    """Return one row per column of every frame: table, column, type (of Arrow), unit, meaning and only (which runs or
    rows have a value; empty for all)."""
    rows = [
        (table.name, one.name, one.type, one.unit, one.meaning, one.only) for table in TABLES for one in table.columns
    ]
    return pd.DataFrame(rows, columns=["table", "column", "type", "unit", "meaning", "only"])


def markdown() -> str:
    """Return the dictionary as a page of Markdown; see the module."""
    lines = [
        "<!-- SPDX-License-Identifier: Apache-2.0 -->",
        "<!-- Written by `orch schema data > docs/data.md`. -->",
        "# Data dictionary",
        "",
        "The frames of a run in Python, `run = orchestrator.load(RUN)`, with every column. `run.trials` and",
        "`run.attempts` are stored as `trials.parquet` and `attempts.parquet`, whose schemas carry units and meanings",
        "as field metadata; the others are derived from them and from the attempts' own files.",
        "`run.dictionary()` returns this page as a frame, and `orchestrator.load_all(RUN, RUN, ...)` has the frames of",
        "several runs with two additional columns, `run` and `experiment`.",
        "",
        "Shares are from 0 to 1. Intervals are explained in `docs/statistics.md`, statuses in `docs/results.md`. A run",
        "whose spec varies further keys has a column for each of them, named by its path, such as `traffic.streams`.",
        "`run.trials` and `run.attempts` of a spec with probes have a column for each of their numbers, named",
        "`probe_NAME_ROLE`, or for a tracepoint `probe_NAME_HOST`, with the unit in the field's metadata.",
    ]
    for table in TABLES:
        lines += ["", f"## `run.{table.name}`", "", f"One row per {table.what}.", ""]
        lines += ["| column | type | unit | meaning |", "|---|---|---|---|"]
        lines += [_line(one) for one in table.columns if one != _FACTOR]
    return "\n".join(lines) + "\n"


def _line(one: Column) -> str:
    only = f" Only for {one.only}." if one.only else ""
    return f"| `{one.name}` | {one.type} | {one.unit} | {one.meaning}{only} |"


def names_of(table: str) -> Iterable[str]:
    """Return the names of a table's columns, except those of further factors. Raises KeyError if there is no such
    table."""
    found = {one.name: one for one in TABLES}[table]
    return [column.name for column in found.columns if column != _FACTOR]
