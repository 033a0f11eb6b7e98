# SPDX-License-Identifier: Apache-2.0
"""Provisioning: ansible-runner over playbooks/, its events shown as progress."""

from orchestrator.provision.playbook import Outcome, Target, run_playbook

__all__ = ["Outcome", "Target", "run_playbook"]
