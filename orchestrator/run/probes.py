# SPDX-License-Identifier: Apache-2.0
"""From two raw samples of a host to what happened between them. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

_CPU_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")  # proc_stat(5)
_DEVICE_FIELDS = {
    "rx_bytes": 0,
    "rx_packets": 1,
    "rx_drops": 3,
    "tx_bytes": 8,
    "tx_packets": 9,
    "tx_drops": 11,
}


def per_cpu_seconds(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, float]]:
    """Seconds that each CPU spent in each state; ``nice`` is counted as ``user``."""
    rate = before["ticks_per_s"]
    rows = []
    for cpu in sorted(after["cpus"], key=int):
        if cpu not in before["cpus"]:
            continue
        pairs = zip(_CPU_FIELDS, before["cpus"][cpu], after["cpus"][cpu], strict=True)
        spent = {name: (new - old) / rate for name, old, new in pairs}
        spent["user"] += spent.pop("nice")
        rows.append({"cpu": int(cpu), **{f"{name}_s": round(value, 4) for name, value in spent.items()}})
    return rows


def _softirq_table(text: str) -> dict[str, list[int]]:
    lines = text.splitlines()
    count = len(lines[0].split())
    table = {}
    for line in lines[1:]:
        name, _, rest = line.partition(":")
        table[name.strip()] = [int(value) for value in rest.split()[:count]]
    return table


def softirqs(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, int]]:
    """How often each CPU ran each kind of softirq."""
    old, new = _softirq_table(before["softirqs"]), _softirq_table(after["softirqs"])
    cpus = sorted(int(cpu) for cpu in after["cpus"])
    return [
        {
            "cpu": cpu,
            **{kind: counts[cpu] - old[kind][cpu] for kind, counts in new.items() if cpu < len(counts)},
        }
        for cpu in cpus
    ]


def _devices(text: str) -> dict[str, list[int]]:
    """Counters of /proc/net/dev by device."""
    devices = {}
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        devices[name.strip()] = [int(value) for value in rest.split()]
    return devices


def interfaces(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, dict[str, int]]]:
    """{role: {device: {counter: increase}}}; devices without traffic are left out."""
    result: dict[str, dict[str, dict[str, int]]] = {}
    for role, text in after["interfaces"].items():
        old = _devices(before["interfaces"][role])
        rows = {}
        for device, counts in _devices(text).items():
            base = old.get(device, [0] * len(counts))
            grown = {name: counts[i] - base[i] for name, i in _DEVICE_FIELDS.items()}
            if any(grown.values()):
                rows[device] = grown
        result[role] = rows
    return result


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def between(samples: Sequence[Mapping[str, Any]], surroundings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The probes of one host from the two samples around the measured window, and what was around all traffic."""
    before, after = samples
    first, last = surroundings
    return {
        "window_s": round(after["at_monotonic_s"] - before["at_monotonic_s"], 4),
        "clock_step_s": round(
            (after["clock_s"] - before["clock_s"]) - (after["at_monotonic_s"] - before["at_monotonic_s"]), 4
        ),
        "per_cpu": per_cpu_seconds(before, after),
        "softirqs": softirqs(before, after),
        "interfaces": interfaces(before, after),
        "interrupts_moved": [
            number
            for number, cpus in sorted(last["interrupts"].items(), key=lambda item: int(item[0]))
            if first["interrupts"].get(number, cpus) != cpus
        ],
        "throttled": None if last["throttled"] is None else last["throttled"] - (first["throttled"] or 0),
        "frequency_khz_before": _mean(first["frequency_khz"]),
        "frequency_khz_after": _mean(last["frequency_khz"]),
    }


def of_hosts(measured: Mapping[str, Mapping[str, Any]], duration_s: float) -> dict[str, Any]:
    """The probes of an attempt of a planned duration from what the agents' ``measure`` answered, by host.

    Rows of CPUs say their host. Of what is one number a host, the worst counts: the window and the step of the clock
    that are farthest off, the lowest frequency after; packets and throttling are added up.
    """
    parts = {host: between(answer["samples"], answer["surroundings"]) for host, answer in measured.items()}
    rows = {
        name: [{"host": host, **row} for host, part in parts.items() for row in part[name]]
        for name in ("per_cpu", "softirqs")
    }
    throttled = [part["throttled"] for part in parts.values() if part["throttled"] is not None]
    slowed = min(parts.values(), key=_slowing)
    before = [answer["before"] for answer in measured.values()]
    alone = len(parts) == 1
    return {
        "window_s": max((part["window_s"] for part in parts.values()), key=lambda window: abs(window - duration_s)),
        "clock_step_s": max((part["clock_step_s"] for part in parts.values()), key=abs),
        **rows,
        "interfaces": {role: found for part in parts.values() for role, found in part["interfaces"].items()},
        "interrupts_moved": [
            number if alone else f"{host}: {number}"
            for host, part in parts.items()
            for number in part["interrupts_moved"]
        ],
        "throttled": sum(throttled) if throttled else None,
        "frequency_khz_before": slowed["frequency_khz_before"],
        "frequency_khz_after": slowed["frequency_khz_after"],
        "others": {host: answer["others"] for host, answer in measured.items()},
        "before": {
            "seconds": max(part["seconds"] for part in before),
            "packets": sum(part["packets"] for part in before),
        },
    }


def _slowing(part: Mapping[str, Any]) -> float:
    """How the frequency of a host's CPUs changed, as a factor; 1 where it does not say."""
    before, after = part["frequency_khz_before"], part["frequency_khz_after"]
    return after / before if before and after else 1.0
