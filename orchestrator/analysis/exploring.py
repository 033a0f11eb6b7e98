# SPDX-License-Identifier: Apache-2.0
"""A notebook for exploring one run: created once in the run's folder, and from then on the user's own."""

from pathlib import Path

from orchestrator.analysis.notebooks import KERNEL

NAME = "explore.ipynb"

_TEXT = """
# # {title}
#
# This notebook is yours: `orch notebook` made it once and leaves it as it is. It reads the run around it.

# %%
import orchestrator as orch

run = orch.load("..")
run

# %% [markdown]
# ## Cells, ratios, scaling
#
# Medians with their intervals; below six trials it is the range, and is called so.

# %%
run.cells()

# %%
run.ratios()

# %%
run.efficiencies()

# %%
run.fits()

# %% [markdown]
# ## Claims

# %%
run.verify()

# %% [markdown]
# ## Every trial
#
# `run.attempts` has those that failed or are invalid, with the reasons; `run.per_core` what each CPU did, and
# `run.per_second`, `run.softirqs`, `run.interfaces`, `run.drops` and `run.over_time` the rest. Against another run:
# `run.compare("../../OTHER-RUN")`; several runs in one frame: `orch.load_all("../..").cells()`.

# Whether trials drift or depend on their order: `orch report RUN --notebook quality`, or the last figure here.

# %%
run.measured.head()

# %% [markdown]
# What the columns of all frames mean:

# %%
run.dictionary()

# %%
from orchestrator.analysis import figures

figures.throughput_tunnels(run)

# %%
figures.value_against_time(run)
"""


def notebook_of(run_dir: Path, title: str) -> Path:
    """Return the path of a run's notebook, which is created if it does not exist. Raises OSError if that fails."""
    import jupytext
    import nbformat

    path = run_dir / "notebooks" / NAME
    if not path.exists():
        notebook = jupytext.reads("# %% [markdown]" + _TEXT.format(title=title), fmt="py:percent")
        notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
        path.parent.mkdir(exist_ok=True)
        path.write_text(nbformat.writes(notebook), encoding="utf-8")
    return path
