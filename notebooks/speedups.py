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
# # Speed-ups (F5)
#
# Speed-ups of each variant over the reference, and the ratios that the paper's claims are about, beside the published
# values. Reads one run's directory, and the published values of `experiments/claims`. `orch report RUN` executes
# it; here in Jupyter, set `run_dir` to any run (or to a folder of runs: the latest is taken).

# %% tags=["parameters"]
run_dir = "../results/example"
figures_dir = ""  # where the figures are written as PNG and SVG; empty: they are shown only

# %%
import orchestrator as orch
from orchestrator.analysis import cells, figures
from orchestrator.analysis.readable import readable

run = orch.load(run_dir)


def show(drawing: figures.Drawing) -> figures.Drawing:
    if figures_dir:
        drawing.save(figures_dir)
    return drawing


print(run.run_id, run.title, sep="\n")

# %% [markdown]
# ## Between variants
#
# Each trial is compared with the reference's trial of the same block and round, so that drift affects both alike.

# %%
show(figures.speed_ups(run))

# %%
readable(run, cells.ratios(run))

# %% [markdown]
# ## Beside the published values
#
# Purple values are published ones, for other hardware. The table says whether each claim is reproduced, and why not.

# %%
verdicts = run.verify()
if verdicts:  # none with `claims: none` in the spec
    show(figures.published(run))

# %%
verdicts
