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
# The tests for every cell: modes, drift within a boot (Kendall's tau), and the correlation of successive trials. The
# p-values are corrected for the number of cells.

# %%
readable(run, quality.quality(run))

# %% [markdown]
# All cells of a boot together, each relative to its own median: drift of the whole computer rather than of one cell.

# %%
readable(run, quality.drift_of_boots(run))

# %% [markdown]
# ## Against time
#
# The same trials on the clock. What happens at one time in several panels was done by the computer and not by a
# variant. Gaps are other blocks, retries, or waiting for other load to end.

# %%
show(figures.value_against_time(run))

# %% [markdown]
# ## Against the order within a round
#
# The order of a round is drawn anew for each round. If the first trial of a round, or whatever follows a certain place,
# were slower, the marks would fall or rise together from left to right.

# %%
show(figures.value_against_order(run))

# %%
readable(run, quality.drift_in_rounds(run))

# %% [markdown]
# ## Noise floor
#
# A variant measured twice in each round and compared with itself, if the spec asked for it (`noise_floor`). A ratio
# between variants that is no larger shows nothing.

# %%
readable(run, run.noise_floor())
