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
# # Where the polls of many tunnels run
#
# WireGuard takes decrypted packets out of a tunnel's queue in a poll, one at a time for each tunnel. With polls in
# softirq context a poll that is due again is queued on the CPU that polls already, and moves only after its queue was
# empty: under load, the polls of several tunnels that meet on a CPU stay there (the "black hole"). Threads of their own
# are spread by the scheduler.
#
# Reads one run's directory and nothing else. `orch report RUN` executes it; here in Jupyter, set `run_dir` to a run of
# `exp/black-hole.yaml`.

# %% tags=["parameters"]
run_dir = "../results/example-black-hole"
figures_dir = ""  # where the figures are written as PNG and SVG; empty: they are shown only

# %%
import orchestrator as orch
from orchestrator.analysis import cells, figures, polls, quality
from orchestrator.analysis.readable import readable

run = orch.load(run_dir)


def show(drawing: figures.Drawing) -> figures.Drawing:
    if figures_dir:
        drawing.save(figures_dir)
    return drawing


print(run.run_id, run.title, sep="\n")

# %% [markdown]
# ## Where the polls ran (F4)

# %%
show(figures.where_polls_ran(run))

# %% [markdown]
# Busiest CPU: the share of all polls that one CPU had at a time; 1 is the black hole. One CPU: the share of a tunnel's
# polls that one CPU had at a time; 1 is a tunnel that stays where it is. The table has both gateways; gateway-b
# decrypts the traffic.

# %%
readable(run, polls.spread(polls.polls(run)))

# %% [markdown]
# ## What it costs (F2)
#
# Of the trials in which nothing was recorded.

# %%
show(figures.throughput_tunnels(run))

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
