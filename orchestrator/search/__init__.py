# SPDX-License-Identifier: Apache-2.0
"""Search for the highest packet rate whose loss stays within a goal, as bounds instead of one number.

The package is pure: the function that measures a load is passed in.
"""

from orchestrator.search.binary import search_binary
from orchestrator.search.bounds import known_bounds
from orchestrator.search.goals import GOALS, Goal, GoalBounds, LoadSample, Offered, Progress, SearchSpace
from orchestrator.search.mlr import search_mlr

SEARCHES = {"mlrsearch": search_mlr, "binary": search_binary}

__all__ = [
    "GOALS",
    "SEARCHES",
    "Goal",
    "GoalBounds",
    "LoadSample",
    "Offered",
    "Progress",
    "SearchSpace",
    "known_bounds",
    "search_binary",
    "search_mlr",
]
