# SPDX-License-Identifier: Apache-2.0
"""Writing a run's directory. Only the process that owns the run does this."""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.store.files import replace_file, sync_directory, to_json, write_synced


def now() -> str:
    """The time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_run_id() -> str:
    """A run id that sorts by time and does not collide: 20260102T030405Z-9f3c."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


class RunDirectory:
    """One run's directory, open for writing.

    An attempt is written under a temporary name, flushed and renamed: after a kill it is there whole or not at all.
    The journal is flushed line by line.
    """

    def __init__(self, path: Path, description: Mapping[str, Any]) -> None:
        self.path = path
        (path / "trials").mkdir(parents=True)
        self._description = dict(description)
        self._write_description()
        self._journal = (path / "journal.jsonl").open("ab")
        self.journal("run-started")

    def _write_description(self) -> None:
        replace_file(self.path / "run.json", to_json(self._description))

    def update(self, **fields: Any) -> None:
        """Change top-level fields of run.json."""
        self._description.update(fields)
        self._write_description()

    def journal(self, event: str, **details: Any) -> None:
        """Append one line to the journal and flush it to the disk."""
        line = json.dumps({"at": now(), "event": event, **details}, allow_nan=False, ensure_ascii=False)
        self._journal.write(line.encode() + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def next_attempt(self, trial_id: str) -> int:
        """The number of the next attempt of a trial, from 1."""
        folder = self.path / "trials" / trial_id
        if not folder.is_dir():
            return 1
        return 1 + max((int(entry.name) for entry in folder.iterdir() if entry.name.isdigit()), default=0)

    def add_attempt(self, attempt: Mapping[str, Any], raw: Mapping[str, str]) -> Path:
        """Store a finished attempt and its raw tool output (file name -> text). Returns its directory.

        Raises FileExistsError rather than overwrite an attempt, and OSError when the disk is full; in both cases
        nothing of the new attempt is left.
        """
        folder = self.path / "trials" / str(attempt["trial_id"])
        final = folder / str(attempt["attempt"])
        if final.exists():
            raise FileExistsError(f"{final} is there already; an attempt is never overwritten")
        folder.mkdir(exist_ok=True)
        temporary = folder / f".{attempt['attempt']}.{secrets.token_hex(4)}.tmp"
        try:
            temporary.mkdir()
            for name, text in raw.items():
                write_synced(temporary / name, text.encode())
            write_synced(temporary / "attempt.json", to_json(attempt).encode())
            sync_directory(temporary)
            temporary.rename(final)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_directory(folder)
        sync_directory(folder.parent)
        self.journal(
            "attempt",
            trial_id=attempt["trial_id"],
            attempt=attempt["attempt"],
            status=attempt["status"],
            reasons=attempt["reasons"],
        )
        return final

    def finish(self, state: str) -> None:
        """Record how the run ended (``finished`` or ``interrupted``) and close the journal."""
        self.update(state=state, ended_at=now())
        self.journal("run-ended", state=state)
        self._journal.close()
