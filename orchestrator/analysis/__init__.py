# SPDX-License-Identifier: Apache-2.0
"""From a run's directory to frames, figures and a report. It needs no testbed.

Nothing heavy is imported here: a notebook imports what it uses, and pandas takes a second.
"""

from collections.abc import Callable, Sequence
from pathlib import Path


def make_report(
    run_dir: Path,
    progress: Callable[[str], None] | None = None,
    notebooks: Sequence[str] = (),
    *,
    pdf: bool = False,
) -> Path:
    """Derive everything of a run again: its tables, executed notebooks, figures and report.html.

    ``progress`` is told in a few words what is being done. ``notebooks``: names of notebooks to execute beside those
    that the run has. ``pdf``: write the figures as PDF too. Returns the path of report.html. Raises UserError
    where ``run_dir`` is not a run directory, where there is no such notebook, or where the report cannot be written.
    """
    from orchestrator.analysis.report import make_report as make

    return make(run_dir, progress, notebooks, pdf=pdf)
