# SPDX-License-Identifier: Apache-2.0
"""trials.parquet and attempts.parquet, which are derived from run.json and the attempts and can be rebuilt at any time.

The models of a spec take half a second to import, so functions import them only when needed.
"""

import io
import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import UserError
from orchestrator.store.archive import TRIALS
from orchestrator.store.clock import clock_of
from orchestrator.store.columns import ATTEMPT, ATTEMPTS, SHARED
from orchestrator.store.cpu_times import cpu_times
from orchestrator.store.files import replace_file
from orchestrator.store.reading import read_attempts, read_run, read_stopping

if TYPE_CHECKING:
    import pyarrow as pa

# Trials with pktgen: the counts at one rate, or the bounds of the rates that a search found.
_PACKET_RATES = (
    *("sent_pps", "received_pps", "loss_ratio"),
    *("ndr_lower_pps", "ndr_upper_pps", "pdr_lower_pps", "pdr_upper_pps"),
)
MIXED = "mixed"  # key in the metadata of a column that has texts and numbers
# The clock that timed a trial, and the settings of virtual time: fields of an attempt, and of a testbed in run.json.
CLOCK_FIELDS = ("clock", "slots", "quantum_s")
# Counters of virtual time in the measured window.
_VIRTUAL_TIME = ("lent_s", "lent_share", "forced", "skew_s", "dilation")


def _path_fields(plan: Mapping[str, Any]) -> list["pa.Field"]:
    """Return a field for each factor of a plan that is a key of the spec: its path, and the type of its levels."""
    import pyarrow as pa

    from orchestrator.spec.factors import is_path

    found: dict[str, set[type]] = {}
    for block in plan["blocks"]:
        for trial in block["trials"]:
            for name, level in trial["levels"].items():
                if is_path(name) and level is not None:
                    found.setdefault(name, set()).add(type(level))
    kinds = {frozenset({bool}): pa.bool_(), frozenset({int}): pa.int64()}
    kinds |= dict.fromkeys((frozenset({float}), frozenset({int, float})), pa.float64())
    about = {"meaning": "The level of a factor: the value of this key of the spec."}
    return [
        pa.field(
            name,
            kinds.get(frozenset(types), pa.string()),
            metadata=about | ({MIXED: "numbers are written as text"} if str in types and len(types) > 1 else {}),
        )
        for name, types in sorted(found.items())
    ]


def _probe_rows(attempt: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the values that the spec's own probes gave, each with the name of its column: ``probe_NAME_PLACE``.

    The place is a role, or the host of a tracepoint. Dots are replaced, because they mark the name of a factor.
    """
    for row in (attempt.get("probes") or {}).get("own") or ():
        if row["value"] is not None:
            yield f"probe_{row['probe']}_{row['role'] or row['host']}".replace(".", "_"), row


def _probe_fields(attempts: Iterable[Mapping[str, Any]]) -> list["pa.Field"]:
    """Return a field for each value of the spec's own probes, in the order in which the attempts have them."""
    import pyarrow as pa

    found = {column: row for attempt in attempts for column, row in _probe_rows(attempt)}
    meaning = "What the probe {} of the spec read or counted at {}."
    return [
        pa.field(
            column,
            pa.float64(),
            metadata={"unit": row["unit"] or "", "meaning": meaning.format(row["probe"], row["role"] or row["host"])},
        )
        for column, row in found.items()
    ]


def _level_text(level: Any) -> Any:
    """Return a level as text for a column with texts and numbers, such as never and 4.0."""
    return level if level is None or isinstance(level, str) else json.dumps(level)


def level_of_text(text: Any) -> Any:
    """Return the level that `_level_text` wrote; None for an empty field of a table."""
    if not isinstance(text, str):
        return None
    try:
        level = json.loads(text)
    except ValueError:
        return text
    return level if isinstance(level, bool | int | float) else text


def _cpu_busy(attempt: Mapping[str, Any]) -> float | None:
    """Return the share of all CPUs' time, 0 to 1, that was not idle in the measured window; None if there are no
    counters.

    If roles have CPUs of their own, only the gateways' count.
    """
    from orchestrator.spec import GATEWAYS

    rows = [row for row in cpu_times(attempt) if row.get("role") in (None, *GATEWAYS)]
    total = sum(value for row in rows for key, value in row.items() if key.endswith("_s"))
    idle = sum(row.get("idle_s", 0.0) + row.get("iowait_s", 0.0) for row in rows)
    return 1 - idle / total if total > 0 else None


def _trial_fields(trial: Mapping[str, Any], topology: str, testbed: str) -> dict[str, Any]:
    from orchestrator.spec.factors import is_path

    levels, traffic = trial["levels"], trial["traffic"]
    return {
        **{key: trial[key] for key in ("trial_id", "kind", "block", "round", "order", "repetition")},
        **{key: levels[key] for key in ("variant", "cores", "tunnels")},
        **{key: level for key, level in levels.items() if is_path(key)},
        "packet_size": None if levels.get("packet_size") is None else str(levels["packet_size"]),
        "warm_up_s": traffic["warm_up_s"],
        "planned_duration_s": traffic["duration_s"],
        "topology": topology,
        "testbed": testbed,
    }


def _clock_fields(of: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stored clock of an attempt or a testbed; for older versions, which stored none, it is real."""
    return {**{name: of.get(name) for name in CLOCK_FIELDS}, "clock": clock_of(of)}


def _attempt_row(attempt: Mapping[str, Any]) -> dict[str, Any]:
    measurements = attempt.get("measurements") or {}
    virtual = (attempt.get("probes") or {}).get("virtual_time") or {}
    return {
        **_trial_fields(attempt, attempt["topology"], attempt["testbed"]),
        "status": attempt["status"],
        "reasons": "; ".join(attempt["reasons"]),
        **{
            key: measurements.get(key)
            for key in (
                *("throughput_bps", "value", "duration_s", "retransmits", "handshake_age_s", "overhead_s"),
                *_PACKET_RATES,
            )
        },
        **_quantity_fields(attempt["traffic"]),
        **{key: attempt.get(key) for key in ("realtime", "crypto", "variant_build", "kernel_release", "boot_id")},
        "started_at": datetime.fromisoformat(attempt["started_at"]),
        "cpu_busy": _cpu_busy(attempt),
        "attempt": attempt["attempt"],
        "session": attempt.get("session", 1),
        "marks": "; ".join(attempt.get("marks") or ()),
        "shared_computer": bool(attempt.get("shared_computer")),
        **_clock_fields(attempt),
        **{name: virtual.get(name) for name in _VIRTUAL_TIME},
        **{column: float(row["value"]) for column, row in _probe_rows(attempt)},
    }


def _quantity_fields(traffic: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that say what a trial's ``value`` is; empty fields for tools whose columns say it."""
    found = quantity_of(traffic) or {}
    return {"quantity": found.get("name"), "unit": found.get("unit"), "better": found.get("better")}


def quantity_of(traffic: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the quantity that a trial with this traffic measures: its name, unit, label, and which values are better.
    None for the program's own quantities."""
    return (traffic.get("command") or {}).get("quantity") or traffic.get("quantity")


def _readable_row(path: Path, attempt: Mapping[str, Any]) -> dict[str, Any]:
    """Return `_attempt_row`. Raises UserError if the attempt holds values of the wrong kind."""
    try:
        return _attempt_row(attempt)
    except (ValueError, TypeError, AttributeError) as error:
        file = path / TRIALS / attempt["trial_id"] / str(attempt["attempt"]) / "attempt.json"
        raise UserError(f"{file} is not a valid attempt ({error}). Restore it from a copy of the run.") from error


def accepted(attempts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the attempt that represents its trial: the first ok one, else the last; None if there is none."""
    for attempt in attempts:
        if attempt["status"] == "ok":
            return attempt
    return attempts[-1] if attempts else None


def needed_trials(
    plan: Mapping[str, Any], attempted: Container[str], stopping: Iterable[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """Yield the trials of a plan, except those of rounds that the stopping rule made unnecessary.

    ``stopping``: the cells of stopping.json. A block that did not finish needs ``min`` rounds and every round that was
    begun.
    """
    ends: dict[int, int] = {}
    for cell in stopping:
        ends[cell["block"]] = max(cell["rounds"], ends.get(cell["block"], 0))
    fewest = (plan.get("repetitions") or {}).get("min", 0)
    adaptive = (plan.get("repetitions") or {}).get("width") is not None
    for block in plan["blocks"]:
        trials = block["trials"]
        last = ends.get(block.get("index", 0))
        if last is None and adaptive:
            last = max((t["round"] for t in trials if t["trial_id"] in attempted), default=0)
            last = max(last, fewest)
        yield from (trial for trial in trials if last is None or trial["round"] <= last)


def tables(path: Path) -> tuple["pa.Table", "pa.Table"]:
    """Return the tables (trials, attempts) of a run's directory.

    ``trials`` has one row for each trial of the plan, in its order, except for rounds that the stopping rule made
    unnecessary; a trial without an attempt has the status ``missing``. ``attempts`` has one row for each finished
    attempt. Both have a column for each further factor and for each value of the spec's own probes. Raises UserError if
    a file is not valid.
    """
    import pyarrow as pa

    run = read_run(path)
    attempts = read_attempts(path, run)
    rows = [_readable_row(path, attempt) for attempt in attempts]
    by_trial: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_trial.setdefault(row["trial_id"], []).append(row)
    plan = run["plan"]
    given_up = {gap["block"]: gap["reason"] for gap in run.get("given_up") or ()}
    trial_rows = []
    for trial in needed_trials(plan, by_trial, read_stopping(path)):
        mine = by_trial.get(trial["trial_id"], [])
        reason = given_up.get(trial["block"], "it was not attempted")
        missing = {"status": "missing", "reasons": reason, **_clock_fields(run["testbed"])}
        missing |= _quantity_fields(trial["traffic"])
        found = accepted(mine) or missing
        testbed = found.get("testbed", run["testbed"]["name"])  # in a pool, the one that measured it
        fields = _trial_fields(trial, plan["topology"], testbed)
        trial_rows.append({**found, **fields, "attempts": len(mine)})
    shared = [*(column.arrow for column in SHARED), *_path_fields(plan), *_probe_fields(attempts)]
    trial_schema, attempt_schema = (pa.schema([*shared, own.arrow]) for own in (ATTEMPTS, ATTEMPT))

    def table(source: Sequence[Mapping[str, Any]], schema: "pa.Schema") -> "pa.Table":
        mixed = {field.name for field in schema if MIXED.encode() in (field.metadata or {})}
        rows = [
            {name: _level_text(row.get(name)) if name in mixed else row.get(name) for name in schema.names}
            for row in source
        ]
        try:
            return pa.Table.from_pylist(rows, schema)
        except (pa.ArrowException, TypeError, OverflowError) as error:
            raise UserError(f"{path} is not a valid measurement ({error}). Restore it from a copy.") from error

    return table(trial_rows, trial_schema), table(rows, attempt_schema)


def write_tables(path: Path) -> None:
    """Write trials.parquet and attempts.parquet of a run's directory, each atomically."""
    import pyarrow.parquet as pq

    for name, table in zip(("trials", "attempts"), tables(path), strict=True):
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        replace_file(path / f"{name}.parquet", buffer.getvalue())
