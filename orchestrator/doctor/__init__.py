# SPDX-License-Identifier: Apache-2.0
"""What the lab needs of this computer: a table of requirements, how each is tried, and its remedy."""

from orchestrator.doctor.requirement import Finding, Need, Observation, Requirement
from orchestrator.doctor.table import examine, requirements

__all__ = ["Finding", "Need", "Observation", "Requirement", "examine", "requirements"]
