# SPDX-License-Identifier: Apache-2.0
"""Tools that send traffic through the tunnels and measure it. A spec chooses one with ``traffic.tool``."""

from orchestrator.measure.streams import BadReport
from orchestrator.tools.protocol import Jobs, Reading, Tool, client, server

__all__ = ["BadReport", "Jobs", "Reading", "Tool", "client", "server"]
