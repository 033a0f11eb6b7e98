# SPDX-License-Identifier: Apache-2.0
"""Publishing a run: one archive with a description of its contents, searched for secrets before it is written."""

from orchestrator.publish.export import ALLOWABLE, Exported, export_run

__all__ = ["ALLOWABLE", "Exported", "export_run"]
