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
# # Quality of the measurements
#
# A median summarizes a cell well if its trials have a single mode, do not drift, and do not depend on the trials around
# them. This notebook shows every trial against time, round and order, with a test of each question.
#
# It reads one run's directory and works on any run. `orch report RUN --notebook quality` executes it, and so does a
# spec with `notebooks: [scaling, quality]`; in Jupyter, set `run_dir` to any run (or to a folder of runs: the latest is
# taken).

# %% tags=["parameters"]
run_dir = "../results/example"
figures_dir = ""  # where the figures are written as PNG and SVG; empty: they are shown only

# %%
import orchestrator as orch
from orchestrator.analysis import figures, quality
from orchestrator.analysis.readable import readable

run = orch.load(run_dir)


def show(drawing: figures.Drawing) -> figures.Drawing:
    if figures_dir:
        drawing.save(figures_dir)
    return drawing


print(run.run_id, run.title, sep="\n")

# %% [markdown]
# ## Summary

# %%
print(*quality.quality_notes(run), *quality.place_notes(run), sep="\n")

# %% [markdown]
# ## Round by round
#
# The trials of each cell in the order of their rounds. A line that rises or falls is drift; a line that jumps between
# two levels is a cell with two modes, whose median may be a value that no trial came near.

# %%
show(figures.value_against_round(run))

# %% [markdown]
# The tests for every cell: modes, drift within a boot (Kendall's tau with the order of trials), and neighbours (the
# rank correlation of successive trials). Both are from -1 to 1, and 0 without an effect. The p-values are corrected for
# the number of cells: below 0.05, an effect is significant.

# %%
readable(run, quality.quality(run))

# %% [markdown]
# All cells of a boot together, each relative to its own median: drift of the whole computer rather than of one cell.

# %%
readable(run, quality.drift_of_boots(run))

# %% [markdown]
# ## Against time
#
# The same trials against time. A change at the same time in several panels comes from the computer, not from a variant.
# Gaps are other blocks, retries, or waiting for other load to end.

# %%
show(figures.value_against_time(run))

# %% [markdown]
# ## Against the order within a round
#
# The order is drawn anew for each round. If the place in a round mattered, for example because the first trial is
# slower, the marks would rise or fall together from left to right.

# %%
show(figures.value_against_order(run))

# %%
readable(run, quality.drift_in_rounds(run))

# %% [markdown]
# ## Noise floor
#
# The ratio of a variant to itself, measured twice in each round, if the spec asks for it (`noise_floor`). A ratio
# between variants that is no larger is no evidence of a difference.

# %%
readable(run, run.noise_floor())
