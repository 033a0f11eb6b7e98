# SPDX-License-Identifier: Apache-2.0
"""What limits each cell of a run, by rule, with the evidence; and what a cell costs in CPU time."""

from orchestrator.analysis.limits.costs import COST_COLUMNS, costs
from orchestrator.analysis.limits.loads import CellLoad, Group, loads
from orchestrator.analysis.limits.rules import GENERATOR, LETTERS, PROBABLY, SURELY, Limit, limit_of
from orchestrator.analysis.limits.table import LIMIT_COLUMNS, limits

__all__ = [
    "COST_COLUMNS",
    "GENERATOR",
    "LETTERS",
    "LIMIT_COLUMNS",
    "PROBABLY",
    "SURELY",
    "CellLoad",
    "Group",
    "Limit",
    "costs",
    "limit_of",
    "limits",
    "loads",
]
