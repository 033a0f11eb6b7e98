# SPDX-License-Identifier: Apache-2.0
"""The agent: one file of standard-library Python that runs on every host of a testbed."""

from pathlib import Path

AGENT_FILE = Path(__file__).with_name("agent.py")
