# SPDX-License-Identifier: Apache-2.0
"""Tool ``command``: the user's own programs between the ends for a fixed time, and the number that they print.

A client that is given the warm-up excludes it itself. Any other client is run once before, for the warm-up, and its
output is discarded; its server is restarted.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from orchestrator.spec.document import Mapping
from orchestrator.spec.own_tools import OwnQuantity
from orchestrator.spec.problems import Problem
from orchestrator.spec.traffic import Traffic
from orchestrator.tools.command.traffic import CommandTraffic
from orchestrator.tools.protocol import Jobs, Reading, Tool

if TYPE_CHECKING:
    from orchestrator.measure.attempt import Attempt
    from orchestrator.measure.driving import Processes
    from orchestrator.tools.command.runs import ClientRun


class OwnCommand(Tool):
    """The tool ``command``."""

    summary = "a quantity of your own, by programs of your own"
    schema = CommandTraffic

    def quantity(self, traffic: Traffic) -> OwnQuantity | None:
        return traffic.quantity

    def problems(self, tree: Mapping) -> Iterator[Problem]:
        yield from super().problems(tree)
        traffic = tree.entries["traffic"]
        if isinstance(traffic, Mapping) and "command" not in traffic.entries:
            message = "The tool command runs your own programs. Add command, with client, read and quantity"
            yield Problem(f"{message} (docs/traffic.md).", traffic.keys["tool"])

    def prepare(self, attempt: "Attempt") -> Jobs:
        from orchestrator.tools.command import runs

        traffic, tunnels = CommandTraffic.of(attempt.trial.traffic), attempt.trial.levels.tunnels
        command, warm_up_s = runs.command_of(traffic), traffic.warm_up_s

        def jobs(wanted: "Sequence[ClientRun]", warm_up_s: float, duration_s: float, measured: bool = True) -> Jobs:
            return Jobs(
                runs.servers(attempt, command, wanted),
                lambda: runs.clients(attempt, command, wanted),
                warm_up_s,
                duration_s,
                grace_s=command.deadline_s,
                files=attempt.conditions.files,
                measured=measured,
            )

        if warm_up_s and not command.warms_up_itself:
            warming = runs.runs(traffic, tunnels, warm_up_s)
            before = jobs(warming, 0.0, warm_up_s, measured=False)
            runs.read_runs(command, warming, before.drive(attempt).processes)
            warm_up_s = 0.0
        return jobs(runs.runs(traffic, tunnels, traffic.duration_s), warm_up_s, traffic.duration_s)

    def read(self, attempt: "Attempt", processes: "Processes") -> Reading:
        from orchestrator.tools.command import runs

        traffic = CommandTraffic.of(attempt.trial.traffic)
        command = runs.command_of(traffic)
        wanted = runs.runs(traffic, attempt.trial.levels.tunnels, traffic.duration_s)
        values = runs.read_runs(command, wanted, processes)
        each = [{"tunnel": run.tunnel, "value": value} for run, value in zip(wanted, values, strict=True)]
        return Reading(
            runs.combined(values, command.combine),
            {"values": each, "combine": command.combine if len(values) > 1 else None},
            {} if command.each == "tunnel" else {"unused": []},
        )


TOOL = OwnCommand()
