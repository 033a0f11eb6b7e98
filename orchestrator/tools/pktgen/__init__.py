# SPDX-License-Identifier: Apache-2.0
"""Tool ``pktgen``: a packet rate, sent by the kernel's generator and counted on arrival."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.programs import Program
from orchestrator.spec.document import Mapping
from orchestrator.spec.problems import Problem
from orchestrator.spec.tool_checks import text_of
from orchestrator.tools.pktgen.traffic import PktgenTraffic
from orchestrator.tools.protocol import Tool

if TYPE_CHECKING:
    from orchestrator.measure.attempt import Attempt
    from orchestrator.spec import Cell


class Pktgen(Tool):
    """The tool ``pktgen``."""

    summary = "a rate of packets"
    schema = PktgenTraffic
    packet_sizes = True
    traceable = False
    profiled = True
    probed = True
    places_losses = True
    binds = True
    programs = (Program("nft", "nftables"),)  # counts what arrives

    def problems(self, tree: Mapping) -> Iterator[Problem]:
        yield from super().problems(tree)
        traffic = tree.entries["traffic"]
        assert isinstance(traffic, Mapping)
        if text_of(tree, "topology") == "gateway-to-gateway":
            message = "pktgen writes to an interface and bypasses the routes and tunnels of its host, so a gateway"
            yield Problem(
                f"{message} cannot use it. Use the topology site-to-site, in which the client sends.",
                tree.keys["topology"],
            )
        if "search" in traffic.entries and "probes" in tree.entries:
            message = "Nothing runs beside the loads of a search. Remove probes, or give a rate instead."
            yield Problem(message, tree.keys["probes"])
        if "rate" not in traffic.entries and "search" not in traffic.entries:
            message = 'pktgen needs a rate. Add "rate", in packets per second, such as 200 kpps or max.'
            yield Problem(f'{message} Or add "search", such as {{goals: [ndr, pdr]}}.', tree.keys["traffic"])
        if "search" in traffic.entries and "rate" in traffic.entries:
            yield Problem("rate and search exclude each other. Remove one of them.", traffic.keys["rate"])

    def largest_packet(self, levels: "Cell") -> int | None:
        from orchestrator.tools.pktgen.loads import largest_packet

        return largest_packet(levels.packet_size)

    def run(self, attempt: "Attempt") -> None:
        from orchestrator.tools.pktgen.packet_rate import measure_packet_rate

        measure_packet_rate(attempt)

    def clean_up(self, attempt: "Attempt") -> None:
        from orchestrator.tools.pktgen.loads import end_loads

        end_loads(attempt)


TOOL = Pktgen()
