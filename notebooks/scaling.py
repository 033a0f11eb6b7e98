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
# # Throughput against cores and tunnels
#
# Reads one run's directory and nothing else. `orch report RUN` executes it; here in Jupyter, set `run_dir` to any run
# (or to a folder of runs: the latest is taken).

# %% tags=["parameters"]
run_dir = "../results/example"
figures_dir = ""  # where the figures are written as PNG and SVG; empty: they are shown only

# %%
import orchestrator as orch
from orchestrator.analysis import cells, figures, latency, quality
from orchestrator.analysis.readable import readable

run = orch.load(run_dir)


def show(drawing: figures.Drawing) -> figures.Drawing:
    if figures_dir:
        drawing.save(figures_dir)
    return drawing


print(run.run_id, run.title, sep="\n")

# %% [markdown]
# ## What was measured
#
# One row per cell. Medians are of valid trials only; with fewer than six trials the bounds are the range of the values.

# %%
readable(run, cells.cells(run))

# %% [markdown]
# ## Ratios between variants
#
# Trials are paired by block and round, so that drift affects both sides of a ratio alike.

# %%
readable(run, cells.ratios(run))

# %% [markdown]
# ## One tunnel (F1)

# %%
show(figures.one_tunnel(run))

# %% [markdown]
# ## More tunnels at fixed cores (F2)

# %%
show(figures.throughput_tunnels(run))

# %% [markdown]
# ## One tunnel per core (F3)

# %%
show(figures.one_tunnel_a_core(run))

# %%
readable(run, cells.efficiencies(run))

# %% [markdown]
# ## Further factors
#
# Keys of the spec that vary besides variant, cores and tunnels; most runs have none.

# %%
if run.further_factors:
    show(figures.further_factors(run))

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
# The same by stage, if the spec asks for profiles (`probes: {profile: trial}`).

# %%
if run.profiles:
    show(figures.packet_stages(run))

# %% [markdown]
# ## Round-trip times
#
# Of echo requests sent beside the traffic, if the spec asked for them (`probes: {latency: {}}`).

# %%
if latency.timed_beside_traffic(run):
    show(figures.round_trips(run))

# %%
readable(run, latency.latency_cells(run)) if latency.timed_beside_traffic(run) else None

# %% [markdown]
# What limited each cell, by rule (`docs/explain.md`).

# %%
readable(run, run.limits()[["variant", "cores", "tunnels", "limit", "why"]])
