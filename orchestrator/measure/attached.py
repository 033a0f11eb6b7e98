# SPDX-License-Identifier: Apache-2.0
"""The spec's own probes during a trial: the requests to the agents, and what is kept of the answers."""

import signal
from collections.abc import Mapping, MutableMapping
from typing import Any

from orchestrator.agent.traffic_messages import AttachedProbes
from orchestrator.measure.attempt import Attempt
from orchestrator.measure.readings import value_in
from orchestrator.measure.streams import BadReport
from orchestrator.plan import PROFILE
from orchestrator.spec import Probe

_PREFIX = "probe-"
_ENDED_WELL = (0, -signal.SIGINT, 128 + signal.SIGINT)
_TIMES = "times"


def _name(probe: str, role: str) -> str:
    return f"{_PREFIX}{probe}-{role}"


def _of_trial(attempt: Attempt) -> Mapping[str, Probe]:
    """Return the probes during a trial; none while the kernel records polls or CPUs are sampled."""
    return {} if attempt.trial.kind in ("trace", PROFILE) else attempt.conditions.probes


def requests(attempt: Attempt) -> dict[str, AttachedProbes]:
    """Return the spec's own probes to run, by host."""
    found: dict[str, AttachedProbes] = {}
    traffic, placement = attempt.trial.traffic, attempt.placement
    for name, probe in _of_trial(attempt).items():
        for role in (role for role in probe.roles if role in attempt.roles):
            host = placement.host_of(role)
            asked = found.setdefault(host, {"commands": [], "tracepoints": []})
            if probe.command is not None:
                words = {
                    "duration": f"{traffic.duration_s:g}",
                    "role": role,
                    "host": host,
                    "tunnels": str(attempt.trial.levels.tunnels),
                }
                arguments = [argument.format_map(words) for argument in probe.command]
                asked["commands"].append(
                    {"role": role, "name": _name(name, role), "timed": probe.timed, "arguments": arguments}
                )
            elif probe.tracepoint is not None and all(one["name"] != name for one in asked["tracepoints"]):
                asked["tracepoints"].append({"name": name, "event": probe.tracepoint, "filter": probe.filter})
    return found


def taken_out(processes: MutableMapping[str, Any]) -> dict[str, Any]:
    """Remove the probes' processes from those of the trial, and return them."""
    return {name: processes.pop(name) for name in list(processes) if name.startswith(_PREFIX)}


def of_hosts(
    attempt: Attempt, measured: Mapping[str, Mapping[str, Any]], printed: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Return the results of the spec's own probes, as a part of the attempt's probes; empty without any.

    The outcome keeps what the commands printed. Raises BadReport if a command failed, or printed no number.
    """
    for name, process in printed.items():
        for kind in ("out", "err"):
            if process[kind]:
                attempt.outcome.raw[f"{name}.{kind}"] = process[kind]
    rows = []
    for name, probe in _of_trial(attempt).items():
        about = {"probe": name, "unit": probe.unit}
        if probe.tracepoint is not None:
            rows += [
                {**about, "host": host, "role": "", "value": answer["tracepoints"][name], "unit": probe.unit or _TIMES}
                for host, answer in measured.items()
                if name in answer["tracepoints"]
            ]
            continue
        for role in probe.roles:
            if (of_role := printed.get(_name(name, role))) is not None:
                value = _read(f"The probe {name} at {role}", probe, of_role)
                rows.append({**about, "host": attempt.placement.host_of(role), "role": role, "value": value})
    return {"own": rows} if rows else {}


def _read(who: str, probe: Probe, process: Mapping[str, Any]) -> float | None:
    lines = (process["err"] or process["out"]).strip().splitlines()
    last = f'"{lines[-1][-200:].rstrip(".")}"' if lines else "nothing"
    if process["status"] is None:
        raise BadReport(f"{who} did not end in time: {last}.")
    if process["status"] not in _ENDED_WELL:
        raise BadReport(f"{who} ended with status {process['status']}: {last}.")
    if probe.read is None:
        return None
    try:
        return value_in(process["out"], probe.read)
    except ValueError as error:
        raise BadReport(f"{who}: {error}; it printed {last}.") from error
