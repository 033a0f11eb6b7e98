# SPDX-License-Identifier: Apache-2.0
"""orch: reproduce a networking paper from a declarative spec."""

__version__ = "0.1.0"
