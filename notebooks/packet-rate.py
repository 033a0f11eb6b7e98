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
# # Packet rate
#
# How many packets per second pass the tunnels, by the size of the packets: what was found by a search with bounds, or
# what arrived of a given rate. Loss-bounded rates and TCP's throughput are different quantities, so no figure has both.
#
# Reads one run's directory and nothing else. `orch report RUN` executes it; here in Jupyter, set `run_dir` to a run of
# `exp/packet-rate.yaml`.

# %% tags=["parameters"]
run_dir = "../results/example-packet-rate"
figures_dir = ""  # where the figures are written as PNG and SVG; empty: they are shown only

# %%
import orchestrator as orch
from orchestrator.analysis import figures, latency, packets, quality
from orchestrator.analysis.readable import readable

run = orch.load(run_dir)


def show(drawing: figures.Drawing) -> figures.Drawing:
    if figures_dir:
        drawing.save(figures_dir)
    return drawing


print(run.run_id, run.title, sep="\n")

# %% [markdown]
# ## Packet rate against packet size (F6)

# %%
show(figures.packet_rate(run))

# %%
readable(run, packets.packet_cells(run))

# %% [markdown]
# ## What limits each cell
#
# By rule (`docs/explain.md`), from CPU times during the load just above the rate that was found, or at that rate if no
# load lost too many packets.

# %%
readable(run, run.limits()[["variant", "cores", "tunnels", "packet_size", "limit", "why"]])

# %% [markdown]
# The cost of a packet by stage, if the spec asks for profiles (`probes: {profile: trial}`).

# %%
if run.profiles:
    show(figures.packet_stages(run))

# %% [markdown]
# ## Latency under load
#
# Round-trip times through the first tunnel beside shares of the rate that was found, where the spec asked for them
# (`probes: {latency: {…}}`). The table has the median of the trials for each quantile, and the longest time of all. The
# variant none is the baseline without a tunnel. In the lab each time has about 0.1 ms of system calls in it. p99.9
# needs 1000 answers in a load.

# %%
if not latency.latencies(run).empty:
    show(figures.round_trips(run))

# %%
print(latency.too_few_answers(run))

# %%
readable(run, latency.latency_cells(run))

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
