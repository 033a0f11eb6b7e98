# SPDX-License-Identifier: Apache-2.0
"""Profiles of the CPUs: sampled CPU time by stage, flame graphs, and files for speedscope."""

from orchestrator.analysis.profiles.flame import flame_graph
from orchestrator.analysis.profiles.samples import Profile, Stack, profiles
from orchestrator.analysis.profiles.speedscope import speedscope
from orchestrator.analysis.profiles.stages import STAGES, stage_of
from orchestrator.analysis.profiles.table import STAGE_COLUMNS, differences, stages, stages_of

__all__ = [
    "STAGES",
    "STAGE_COLUMNS",
    "Profile",
    "Stack",
    "differences",
    "flame_graph",
    "profiles",
    "speedscope",
    "stage_of",
    "stages",
    "stages_of",
]
