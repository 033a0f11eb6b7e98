# SPDX-License-Identifier: Apache-2.0
"""Tool ``iperf3``: the throughput of TCP or UDP, as its receivers count it."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from orchestrator.iperf3_version import OLDEST, SINCE, name_of, version
from orchestrator.programs import Program
from orchestrator.spec import document
from orchestrator.spec.problems import Problem
from orchestrator.spec.validation import build
from orchestrator.tools.iperf3.traffic import Iperf3Traffic
from orchestrator.tools.protocol import Jobs, Reading, Tool

if TYPE_CHECKING:
    from orchestrator.measure.attempt import Attempt
    from orchestrator.measure.driving import Processes


class Iperf3(Tool):
    """The tool ``iperf3``."""

    summary = "the throughput of TCP or UDP"
    schema = Iperf3Traffic
    sizes_instead = "iperf3 has mss and datagram."
    binds = True
    programs = (Program("iperf3", "iperf3"),)

    def problems(self, tree: document.Mapping) -> Iterator[Problem]:
        """Yield the problems of every tool, and that of TCP slower than the block size of iperf3 allows."""
        yield from super().problems(tree)
        node = tree.entries["traffic"]
        found = build(Iperf3Traffic, node)[0]
        if found is not None and found.too_slow and isinstance(node, document.Mapping):
            place = node.entries.get("bitrate")
            yield Problem(f"traffic.bitrate: {found.too_slow}.", place.span if place else tree.keys["traffic"])

    def outdated(self, versions: Mapping[str, str | None]) -> str:
        known = version(versions.get("iperf3"))
        if known is None or known >= OLDEST:
            return ""
        least = f"{name_of(OLDEST)}, and {name_of(SINCE['--udp'])} for UDP and both directions"
        return f"iperf3 {name_of(known)} is too old: its trials need {least}"

    def prepare(self, attempt: "Attempt") -> Jobs:
        from orchestrator.tools.iperf3.goodput import prepare

        return prepare(attempt)

    def read(self, attempt: "Attempt", processes: "Processes") -> Reading:
        from orchestrator.tools.iperf3.goodput import read

        return read(attempt, processes)


TOOL = Iperf3()
