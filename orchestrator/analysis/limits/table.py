# SPDX-License-Identifier: Apache-2.0
"""The limit of every cell of a run as a table."""

import pandas as pd

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.limits.rules import limit_of

LIMIT_COLUMNS = ["n", "limit", "what", "where", "how_sure", "why", "lifted_by"]


def limits(run: Run) -> pd.DataFrame:
    """Return one row per cell whose CPUs were sampled: its limit (see `orchestrator.analysis.limits.rules`).

    Columns: the levels; n (trials); limit (in a few words); what, where, how_sure, why and lifted_by; measured_in.
    """
    rows = []
    for load in run.loads:
        found = limit_of(load)
        row = {**load.key.row(), "n": load.n, "limit": found.label, "why": " ".join(found.why)}
        rows.append(row | {name: getattr(found, name) for name in ("what", "where", "how_sure", "lifted_by")})
    return pd.DataFrame(rows, columns=[*run.levels, *LIMIT_COLUMNS]).assign(measured_in=run.measured_in)
