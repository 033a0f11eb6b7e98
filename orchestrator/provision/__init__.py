# SPDX-License-Identifier: Apache-2.0
"""Provisioning: ansible-runner over playbooks/, its events shown as progress."""

from orchestrator.provision.modules import WantedModule, from_here, variables
from orchestrator.provision.playbook import Outcome, Target, run_playbook

__all__ = ["Outcome", "Target", "WantedModule", "from_here", "run_playbook", "variables"]
