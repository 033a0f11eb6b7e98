# SPDX-License-Identifier: Apache-2.0
"""Analysis of a run: from its directory to frames, figures and a report. No testbed is needed.

Nothing heavy is imported here: a notebook imports what it uses, and importing pandas takes a second.
"""

from collections.abc import Callable, Sequence
from pathlib import Path


def make_report(
    run_dir: Path,
    progress: Callable[[str], None] | None = None,
    notebooks: Sequence[str] = (),
    *,
    pdf: bool = False,
    own: bool = False,
) -> Path:
    """Derive everything from a run again: its tables, executed notebooks, figures and report.html. Return the report's
    path.

    ``progress`` is called with a few words on each step. ``notebooks``: more notebooks to execute: names of orch's, and
    paths of your own. ``pdf``: also write the figures as PDF. ``own``: also execute the run's copies of the notebooks
    that its spec names by path; they may do anything on this computer, so set it only for runs that you trust.

    Raises UserError if ``run_dir`` is not a run directory, if a notebook does not exist or fails, or if the report
    cannot be written.
    """
    from orchestrator.analysis.report import make_report as make

    return make(run_dir, progress, notebooks, pdf=pdf, own=own)
