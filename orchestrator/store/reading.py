# SPDX-License-Identifier: Apache-2.0
"""Reading a run's directory, which may be incomplete after an interruption, or in an archive."""

import contextlib
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from orchestrator.errors import UserError
from orchestrator.listing import entries, files_below
from orchestrator.store import shape
from orchestrator.store.archive import TRIALS, open_archive, say_if_changed
from orchestrator.store.shape import ATTEMPT, RUN, SCHEMA, misfit

STOPPING, JOURNAL = "stopping.json", "journal.jsonl"
_RUN_ID = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-")  # see `new_run_id`
_LARGE = re.compile(rb"[0-9]{20}|[0-9][eE]\+?[0-9]{3}")  # what may be a number beyond the limits of `parse_json`
_MOST = 2**64
_SHOWN = 40  # characters of a number in a sentence
_SURROGATE = re.compile(rb"\\u[dD][89abAB]|\\u[dD][c-fC-F]")


def is_run(path: Path) -> bool:
    """Return whether ``path`` is a run's directory."""
    return (path / "run.json").is_file()


def runs_below(folder: Path) -> list[Path]:
    """Return the runs in a folder and in its subfolders, such as results/EXPERIMENT or results.

    Raises UserError if one of these cannot be read, because a run in it would silently be left out.
    """
    try:
        children = [Path(entry.path) for entry in entries(folder) if entry.is_dir()]
        children += [Path(entry.path) for child in children for entry in entries(child) if entry.is_dir()]
        return [child for child in children if is_run(child)]
    except OSError as error:
        raise UserError(
            f"{error.filename} cannot be read ({error.strerror}), and there may be runs in it. Change its permissions, "
            "or name the run itself."
        ) from error


def _runs_anywhere(folder: Path) -> list[Path]:
    """Return the runs at the least depth at which a folder has any: an archiver may keep all folders of a path."""
    runs = [file.parent for file in files_below(folder) if file.name == "run.json"]
    least = min((len(run.parts) for run in runs), default=0)
    return [run for run in runs if len(run.parts) == least]


def find_run(path: Path) -> Path:
    """Return the directory of the run at a path: the path itself, or the newest run below, in an archive at any depth.

    An archive is unpacked into a private folder that is removed when this process ends. If a measurement in a folder
    differs from the checksums that came with it, standard error says so. Raises UserError if there is no run.
    """
    packed = path.is_file()
    if packed and is_run(path.parent) and not is_zipfile(path):
        raise UserError(f"{path} is a file of a run. Name the run's folder: {path.parent}")
    folder = open_archive(path) if packed else path
    if is_run(folder):
        found = folder
    elif below := _runs_anywhere(folder) if packed else runs_below(folder) if folder.is_dir() else []:
        found = newest_first(below)[0]
    elif packed:
        inner = ", ".join(str(file.relative_to(folder)) for file in files_below(folder) if is_zipfile(file))
        what = f"it holds {inner}. Unpack it, and name what is inside" if inner else "it has no run.json"
        raise UserError(f"{path} has no run: {what}.")
    else:
        raise UserError(
            f"{path} is not a run directory: there is no run.json in it, nor one or two folders below. "
            "Runs are in results/EXPERIMENT/RUN-ID."
        )
    found = found.resolve()
    if not packed:
        say_if_changed(found)
    return found


def newest_first(runs: Iterable[Path]) -> list[Path]:
    """Return runs sorted by when they began, newest first. Their ids tell; for folders with other names run.json does,
    or else the file's time."""
    return sorted(runs, key=lambda run: (_began(run), run.name), reverse=True)


def _began(run: Path) -> str:
    """Return when a run began, in ISO 8601, in UTC to the second, which sorts as text."""
    if named := _RUN_ID.match(run.name):
        return "{}-{}-{}T{}:{}:{}".format(*named.groups())
    file = run / "run.json"
    unusable = (OSError, ValueError, LookupError, TypeError, RecursionError, OverflowError)
    with contextlib.suppress(*unusable):
        return _in_utc(datetime.fromisoformat(json.loads(file.read_bytes())["started_at"]))
    with contextlib.suppress(*unusable):
        return _in_utc(datetime.fromtimestamp(file.stat().st_mtime, UTC))
    return ""


def _in_utc(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError if it is none, or has a number that no measurement has: NaN,
    infinity, or an integer of more than 64 bits."""
    if _LARGE.search(data):
        return json.loads(data, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_short)
    return json.loads(data, parse_constant=_refuse_constant)


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text[:_SHOWN]} is too large a number")
    return value


def _short(text: str) -> int:
    if abs(value := int(text)) >= _MOST:
        raise ValueError(f"a number of {len(text)} digits is too large")
    return value


def _read_object(path: Path, expected: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return the object in a JSON file, checked against a shape; ``what`` names the kind of file in error messages.
    Raises UserError."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            data = file.read()
        value = parse_json(data)
        if _SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode()
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {path.parent} is not a run's directory.") from None
    except UnicodeEncodeError as error:
        raise UserError(
            f"{path} has half a character (a lone surrogate). Restore it from a copy of the run."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}). Restore it from a copy of the run.") from error
    if isinstance(value, dict) and isinstance(written := value.get("schema"), int) and written > SCHEMA:
        raise UserError(
            f"{path} was written by a newer version of orch, in schema {written}; this one reads up to {SCHEMA}. Take "
            "that version, or a newer one."
        )
    if wrong := misfit(value, expected):
        raise UserError(
            f"{path} is not a valid {what} of orch: {wrong}. Restore it from a copy, or name another folder."
        )
    return dict(value)


def _without_waiting(path: str, flags: int) -> int:
    """Open a file. In place of one, a pipe to which nobody writes is empty; it would otherwise be waited for."""
    return os.open(path, flags | os.O_NONBLOCK)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def read_run(path: Path) -> dict[str, Any]:
    """Return the content of run.json. Raises UserError if ``path`` is not a run's directory."""
    return _read_object(path / "run.json", RUN, "run")


def read_stopping(path: Path) -> list[dict[str, Any]]:
    """Return the rows of stopping.json: why each cell of each finished block has its number of rounds. Empty if there
    is no such file."""
    file = path / STOPPING
    return list(_read_object(file, shape.STOPPING, "stopping.json")["cells"]) if file.exists() else []


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events in a run's journal; truncated lines are skipped, and a run without a journal has none. Raises
    UserError if the journal cannot be read."""
    file = path / JOURNAL
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}). Change its permissions.") from error
    for line in text.split("\n"):
        try:
            event = parse_json(line.encode())
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            yield event


@dataclass
class Scan:
    """The contents of a run's trials/: complete attempts, in no order; those that cannot be read, with the error; and
    those that were cut off."""

    attempts: list[dict[str, Any]] = field(default_factory=list)
    damaged: dict[Path, UserError] = field(default_factory=dict)
    cut_off: list[Path] = field(default_factory=list)


def _folders(path: str) -> Iterator["os.DirEntry[str]"]:
    try:
        with os.scandir(path) as found:
            for entry in found:
                if entry.is_dir():
                    yield entry
                elif entry.is_symlink() and not os.path.exists(entry.path):
                    raise UserError(
                        f"{entry.path} leads nowhere, so that attempts would be left out. Restore its target."
                    )
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}), so that attempts would be left out. Change its permissions."
        ) from error


def scan(path: Path) -> Scan:
    """Read every attempt of a run. Raises UserError if a folder cannot be read."""
    found = Scan()
    for trial in _folders(os.path.join(path, TRIALS)):
        for entry in _folders(trial.path):
            if entry.name.isdigit():
                folder = Path(entry.path)
                try:
                    found.attempts.append(_read_object(folder / "attempt.json", ATTEMPT, "attempt"))
                except UserError as error:
                    found.damaged[folder] = error
            elif entry.name.startswith(".") and entry.name.endswith(".tmp"):
                found.cut_off.append(Path(entry.path))
    return found


def read_attempts(path: Path, run: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return every finished attempt, in the order of the plan, then of the attempts' numbers. Raises UserError if one
    cannot be read.

    Folders with a temporary name are attempts that were cut off: they do not count. An ok attempt that a later session
    repeats, because something had changed, is returned as invalid, with the reason; its file stays unchanged. ``run``:
    the content of run.json, if at hand.
    """
    found = scan(path)
    if found.damaged:
        raise next(iter(found.damaged.values()))
    attempts = found.attempts
    attempts.sort(key=lambda attempt: (attempt["order"], attempt["attempt"]))
    return as_counted(attempts, read_run(path) if run is None else run)


def as_counted(attempts: Iterable[dict[str, Any]], run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return attempts as they count in a run: ok ones that a later session repeats are invalid."""
    repeating = [session for session in run.get("sessions") or () if session.get("repeats")]
    if not repeating:
        return list(attempts)
    counted = []
    for attempt in attempts:
        later = next((session for session in repeating if _is_repeated(attempt, session)), None)
        if later is not None and attempt["status"] == "ok":
            reason = f"it is from before a change, and is repeated: {later['repeats']['because']}"
            attempt = {**attempt, "status": "invalid", "reasons": [*attempt["reasons"], reason]}
        counted.append(attempt)
    return counted


def _is_repeated(attempt: Mapping[str, Any], session: Mapping[str, Any]) -> bool:
    variants = session["repeats"]["variants"]
    concerned = variants is None or attempt["levels"]["variant"] in variants
    return concerned and attempt.get("session", 1) < session["session"]
