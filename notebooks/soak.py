# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Long runs
#
# Whether the rate of the last minutes is that of the first, whether memory is lost, and when packets are dropped.
#
# Reads one run's directory and nothing else. `orch report RUN` executes it; here in Jupyter, set `run_dir` to a run of
# `exp/soak.yaml`.

# %% tags=["parameters"]
run_dir = "../results/example"
figures_dir = ""  # where the figures are written as PNG and SVG; empty: they are shown only

# %%
import orchestrator as orch
from orchestrator.analysis import figures, long_runs
from orchestrator.analysis.readable import readable

run = orch.load(run_dir)


def show(drawing: figures.Drawing) -> figures.Drawing:
    if figures_dir:
        drawing.save(figures_dir)
    return drawing


print(run.run_id, run.title, sep="\n")

# %% [markdown]
# ## Over time

# %%
show(figures.over_time(run))

# %% [markdown]
# ## The first and the last tenth of each trial
#
# Throughput ratio: the mean rate of the last tenth of a trial over that of its first tenth. Memory lost: how much less
# memory was available in the last tenth of the samples than in the first. Slab grown: how much the kernel's own objects
# grew.

# %%
readable(run, long_runs.first_and_last(run))
