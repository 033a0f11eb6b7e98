# SPDX-License-Identifier: Apache-2.0
"""A run's directory: what is in it, how it is written so that nothing is lost, and how it is read."""

from orchestrator.store.reading import is_run, read_attempts, read_run
from orchestrator.store.tables import tables, write_tables
from orchestrator.store.writing import RunDirectory, new_run_id

__all__ = ["RunDirectory", "is_run", "new_run_id", "read_attempts", "read_run", "tables", "write_tables"]
