# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Where the work is scheduled
#
# The same tunnels with encryption, decryption and polls on any core, on one core for each tunnel, in threads, or on the
# core that has the packet.
#
# Reads one run's directory and nothing else. `orch report RUN` executes it; here in Jupyter, set `run_dir` to a run of
# `exp/scheduling.yaml`.

# %% tags=["parameters"]
run_dir = "../results/example-scheduling"
figures_dir = ""  # where the figures are written as PNG and SVG; empty: they are shown only

# %%
import orchestrator as orch
from orchestrator.analysis import cells, figures, quality
from orchestrator.analysis.readable import readable

run = orch.load(run_dir)


def show(drawing: figures.Drawing) -> figures.Drawing:
    if figures_dir:
        drawing.save(figures_dir)
    return drawing


print(run.run_id, run.title, sep="\n")

# %% [markdown]
# ## Throughput by scheduling (F7)

# %%
show(figures.scheduling(run))

# %%
readable(run, cells.ratios(run))

# %% [markdown]
# ## Round by round
#
# Every trial in the order of measurement. A median says little about a cell that has several modes, drifts, or whose
# successive trials are correlated. The table has the tests, corrected for the number of cells.

# %%
show(figures.value_against_round(run))

# %%
readable(run, quality.quality(run))

# %% [markdown]
# ## Where the time went

# %%
show(figures.per_core_load(run))

# %%
show(figures.packet_cost(run))

# %% [markdown]
# What limited each cell, by rule (`docs/explain.md`).

# %%
readable(run, run.limits()[["variant", "cores", "tunnels", "limit", "why"]])
