# SPDX-License-Identifier: Apache-2.0
"""Plans: ordered trials from an experiment and a testbed's capabilities. Nothing here reads or writes anything."""

from orchestrator.plan.capabilities import Capabilities, lab_capabilities, virtual_lab_capabilities
from orchestrator.plan.estimate import (
    Estimate,
    Lessons,
    block_estimate,
    combined_estimate,
    dilation,
    estimate,
    lessons_key,
    trial_seconds,
)
from orchestrator.plan.making import ORDERS, make_plan
from orchestrator.plan.trials import (
    NO_VARIANT,
    PROFILE,
    Block,
    LeftOut,
    Plan,
    Repetitions,
    Trial,
    nearest_baseline,
    nearest_pairs,
    reference_variant,
    without_tunnel,
)

__all__ = [
    "NO_VARIANT",
    "ORDERS",
    "PROFILE",
    "Block",
    "Capabilities",
    "Estimate",
    "LeftOut",
    "Lessons",
    "Plan",
    "Repetitions",
    "Trial",
    "block_estimate",
    "combined_estimate",
    "dilation",
    "estimate",
    "lab_capabilities",
    "lessons_key",
    "make_plan",
    "nearest_baseline",
    "nearest_pairs",
    "reference_variant",
    "trial_seconds",
    "virtual_lab_capabilities",
    "without_tunnel",
]
