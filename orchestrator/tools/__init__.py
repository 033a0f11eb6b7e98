# SPDX-License-Identifier: Apache-2.0
"""Tools: what sends traffic through the tunnels and says what it came to. A spec chooses one with ``traffic.tool``."""

from orchestrator.measure.streams import BadReport
from orchestrator.tools.protocol import Jobs, Reading, Tool, client, server

__all__ = ["BadReport", "Jobs", "Reading", "Tool", "client", "server"]
