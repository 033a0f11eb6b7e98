# SPDX-License-Identifier: Apache-2.0
"""Durable writes: a file is there whole, or not at all."""

import json
import os
import secrets
from pathlib import Path
from typing import Any


def to_json(value: Any) -> str:
    """JSON as it is stored: sorted keys, no NaN (a NaN would not be JSON), a newline at the end."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def sync_directory(path: Path) -> None:
    """Make renames and new names inside ``path`` survive a power loss."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and flush it to the disk. The caller takes care of the name."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes | str) -> None:
    """Put ``data`` at ``path`` atomically: a reader sees the old content or the new one, never a part."""
    raw = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        write_synced(temporary, raw)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
