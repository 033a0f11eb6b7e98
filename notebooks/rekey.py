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
# # What a rekey costs, and what roaming costs
#
# WireGuard makes new keys 120 s after a handshake. Here trials last until then, and their rate is drawn second by
# second with the moment of the handshake. In runs with `tunnel.roam_every` gateway-a changes its UDP ports instead.
#
# Reads one run's directory and nothing else. `orch report RUN` executes it; here in Jupyter, set `run_dir` to a run of
# `exp/rekey.yaml` or `exp/roaming.yaml`.

# %% tags=["parameters"]
run_dir = "../results/example"
figures_dir = ""  # where the figures are written as PNG and SVG; empty: they are shown only

# %%
import orchestrator as orch
from orchestrator.analysis import figures, rekeys
from orchestrator.analysis.readable import readable

run = orch.load(run_dir)


def show(drawing: figures.Drawing) -> figures.Drawing:
    if figures_dir:
        drawing.save(figures_dir)
    return drawing


print(run.run_id, run.title, sep="\n")

# %% [markdown]
# ## Second by second

# %%
show(figures.rekey(run))

# %% [markdown]
# ## What was lost
#
# Remains: the lowest second at the rekey, or at the change of ports, as a share of the trial's median second. Lowest
# elsewhere: the same for all other seconds. The event has a cost if the first is clearly below the second.

# %%
readable(run, rekeys.cost(run) if rekeys.roams(run).empty else rekeys.roaming_cost(run))
