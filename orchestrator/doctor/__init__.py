# SPDX-License-Identifier: Apache-2.0
"""The lab's requirements on this computer: a table of them, how each is checked, and how to fix it."""

from orchestrator.doctor.table import IDLE, examine, requirements
from orchestrator.requirement import Checked, Need, Observation, Requirement

__all__ = ["IDLE", "Checked", "Need", "Observation", "Requirement", "examine", "requirements"]
