# SPDX-License-Identifier: Apache-2.0
"""Tool ``command``: the processes of the user's own programs in a trial, and the number that they print. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from orchestrator.agent.processes import FILES
from orchestrator.agent.traffic_messages import Client, Server
from orchestrator.measure.layout import receiver_address, sender_address
from orchestrator.measure.readings import value_in
from orchestrator.measure.streams import BadReport
from orchestrator.tools.command.traffic import Command, CommandTraffic
from orchestrator.tools.protocol import client, server

if TYPE_CHECKING:
    from orchestrator.measure.attempt import Attempt

_SHOWN = 200  # characters of what a program printed


@dataclass(frozen=True, slots=True)
class ClientRun:
    """One client of a trial, and its server. ``tunnel``: its tunnel, None if it is for all."""

    name: str
    tunnel: int | None
    arguments: Mapping[str, str]

    @property
    def where(self) -> str:
        """Its name in a sentence."""
        return "the client" if self.tunnel is None else f"the client of tunnel {self.tunnel}"


def runs(traffic: CommandTraffic, tunnels: int, duration_s: float) -> list[ClientRun]:
    """Return the clients of a trial, with the values of their arguments' placeholders."""
    command = command_of(traffic)
    version = traffic.ip_version
    everyone = ",".join(receiver_address(tunnel, version) for tunnel in range(1, tunnels + 1))
    common = {
        "port": str(command.port),
        "tunnels": str(tunnels),
        "addresses": everyone,
        "duration": f"{duration_s:g}",
        "warm_up": f"{traffic.warm_up_s:g}",
        "files": FILES,
    }
    numbers = range(1, tunnels + 1) if command.each == "tunnel" else (1,)
    return [
        ClientRun(
            str(tunnel) if command.each == "tunnel" else "all",
            tunnel if command.each == "tunnel" else None,
            {
                **common,
                "tunnel": str(tunnel),
                "address": receiver_address(tunnel, version),
                "source": sender_address(tunnel, version),
            },
        )
        for tunnel in numbers
    ]


def servers(attempt: "Attempt", command: Command, wanted: Sequence[ClientRun]) -> list[Server]:
    """Return the servers of an attempt; empty if the command has no server."""
    if not command.server:
        return []
    port = command.port if command.ready == "listens" else None
    return [
        server(attempt, f"server-{run.name}", _filled(command.server, run), run.arguments["address"], port)
        for run in wanted
    ]


def clients(attempt: "Attempt", command: Command, wanted: Sequence[ClientRun]) -> list[Client]:
    """Return the clients of an attempt."""
    return [client(attempt, f"client-{run.name}", _filled(command.client, run)) for run in wanted]


def _filled(arguments: Sequence[str], run: ClientRun) -> list[str]:
    return [argument.format_map(run.arguments) for argument in arguments]


def command_of(traffic: CommandTraffic) -> Command:
    """Return the commands of a trial's traffic.

    Raises BadReport if there are none, which the check of a spec refuses.
    """
    if traffic.command is None:
        raise BadReport("traffic.command is missing, and the tool is command.")
    return traffic.command


def read_runs(command: Command, wanted: Sequence[ClientRun], processes: Mapping[str, Mapping[str, Any]]) -> list[float]:
    """Return the number of each client, in the quantity's unit.

    Raises BadReport if a client or server failed, or if what a client printed has no such number.
    """
    for run in wanted:
        served = processes.get(f"server-{run.name}")
        if served is not None and served["status"]:
            raise BadReport(f"The server of {run.where} {_ended(served)}")
    return [_read(command, run, processes[f"client-{run.name}"]) for run in wanted]


def combined(values: Sequence[float], how: str) -> float:
    """Return the trial's number from those of its tunnels: their sum, mean or median."""
    return math.fsum(values) if how == "sum" else fmean(values) if how == "mean" else median(values)


def _read(command: Command, run: ClientRun, process: Mapping[str, Any]) -> float:
    who = run.where[0].upper() + run.where[1:]
    if process["status"] is None:
        raise BadReport(f"{who} did not end within {command.deadline_s:g} s after its planned time: {_last(process)}.")
    if process["status"] != 0:
        raise BadReport(f"{who} {_ended(process)}")
    try:
        return value_in(process["out"], command.read)
    except ValueError as error:
        raise BadReport(f"{who}: {error}; it printed {_last(process)}.") from error


def _ended(process: Mapping[str, Any]) -> str:
    status = process["status"]
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    return f"{how}: {_last(process)}."


def _last(process: Mapping[str, Any]) -> str:
    lines = (process["err"] or process["out"]).strip().splitlines()
    return f'"{lines[-1][-_SHOWN:].rstrip(".")}"' if lines else "nothing"
