# SPDX-License-Identifier: Apache-2.0
"""A run's directory: its contents, writing it without losing anything, and reading it."""

from orchestrator.store.headline import HeadlineValue, headline
from orchestrator.store.reading import find_run, is_run, read_attempts, read_run, read_stopping, runs_below
from orchestrator.store.tables import tables, write_tables
from orchestrator.store.writing import RunDirectory, StoreError, new_run_id

__all__ = [
    "HeadlineValue",
    "RunDirectory",
    "StoreError",
    "find_run",
    "headline",
    "is_run",
    "new_run_id",
    "read_attempts",
    "read_run",
    "read_stopping",
    "runs_below",
    "tables",
    "write_tables",
]
