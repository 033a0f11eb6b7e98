# SPDX-License-Identifier: Apache-2.0
"""Provisioning: ansible-runner over playbooks/, its events shown as progress."""

from orchestrator.provision.modules import WantedModule, from_here, installed_at, variables
from orchestrator.provision.playbook import PlaybookResult, Target, run_playbook

__all__ = ["PlaybookResult", "Target", "WantedModule", "from_here", "installed_at", "run_playbook", "variables"]
