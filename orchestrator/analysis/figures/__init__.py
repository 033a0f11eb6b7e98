# SPDX-License-Identifier: Apache-2.0
"""The figures, one module per family. Each is a function from a Run to a Drawing that never raises if data are
sparse."""

from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.further import further_factors
from orchestrator.analysis.figures.over_time import over_time
from orchestrator.analysis.figures.packet_cost import packet_cost
from orchestrator.analysis.figures.packet_rate import packet_rate
from orchestrator.analysis.figures.per_core import per_core_load
from orchestrator.analysis.figures.polls import where_polls_ran
from orchestrator.analysis.figures.published import published
from orchestrator.analysis.figures.rekey import rekey
from orchestrator.analysis.figures.round_trips import round_trips
from orchestrator.analysis.figures.scheduling import scheduling
from orchestrator.analysis.figures.speed_ups import speed_ups
from orchestrator.analysis.figures.stages import packet_stages
from orchestrator.analysis.figures.throughput_cores import one_tunnel, one_tunnel_a_core
from orchestrator.analysis.figures.throughput_tunnels import throughput_tunnels
from orchestrator.analysis.figures.value_round import value_against_order, value_against_round, value_against_time

__all__ = [
    "Drawing",
    "further_factors",
    "one_tunnel",
    "one_tunnel_a_core",
    "over_time",
    "packet_cost",
    "packet_rate",
    "packet_stages",
    "per_core_load",
    "published",
    "rekey",
    "round_trips",
    "scheduling",
    "speed_ups",
    "throughput_tunnels",
    "value_against_order",
    "value_against_round",
    "value_against_time",
    "where_polls_ran",
]
