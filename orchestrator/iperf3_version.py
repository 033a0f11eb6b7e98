# SPDX-License-Identifier: Apache-2.0
"""Capabilities of iperf3 by version. Source: RELNOTES.md of iperf3."""

import re

# The first version that has an option and reports usable results with it: in 3.10, --bidir reports two sums under the
# same name, and --udp no sum of what was received. Versions older than all of these are not supported.
SINCE = {"--idle-timeout": (3, 10), "--bidir": (3, 11), "--udp": (3, 11)}
THREADS_SINCE = (3, 16)  # from here on, each stream of a process has a thread
OLDEST = min(SINCE.values())  # that can be used at all


def version(said: str | None) -> tuple[int, int] | None:
    """Return the version in iperf3's output, such as iperf 3.12 (cJSON 1.7.15); None if it contains none."""
    found = re.match(r"iperf (\d{1,4})\.(\d{1,4})(?!\d)", said or "")
    return (int(found[1]), int(found[2])) if found else None


def name_of(version: tuple[int, int]) -> str:
    """Return a version as text, such as 3.10."""
    return ".".join(map(str, version))
