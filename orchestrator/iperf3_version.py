# SPDX-License-Identifier: Apache-2.0
"""What versions of iperf3 can do. (RELNOTES.md of iperf3)"""

import re

# The first version that knows an option, or whose report with it can be read: in 3.10 --bidir has two sums of the same
# name, and --udp has none of what was received. What is older than all is not looked for.
SINCE = {"--idle-timeout": (3, 10), "--bidir": (3, 11), "--udp": (3, 11)}
THREADS_SINCE = (3, 16)  # from here on, each stream of a process has a thread
OLDEST = min(SINCE.values())  # that carries any traffic


def version(said: str | None) -> tuple[int, int] | None:
    """The version in what iperf3 says of itself, such as iperf 3.12 (cJSON 1.7.15); None where it says none."""
    found = re.match(r"iperf (\d{1,4})\.(\d{1,4})(?!\d)", said or "")
    return (int(found[1]), int(found[2])) if found else None


def name_of(version: tuple[int, int]) -> str:
    """As people write it: 3.10."""
    return ".".join(map(str, version))
