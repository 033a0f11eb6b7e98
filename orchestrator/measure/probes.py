# SPDX-License-Identifier: Apache-2.0
"""The changes between two raw samples of a host. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.agent.hops import device_counts

_CPU_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")  # proc_stat(5)
_DEVICE_FIELDS = {  # columns of /proc/net/dev; some NICs count what they discard in fifo
    "rx_bytes": (0,),
    "rx_packets": (1,),
    "rx_drops": (3, 4),
    "tx_bytes": (8,),
    "tx_packets": (9,),
    "tx_drops": (11,),
}


def per_cpu_seconds(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, float]]:
    """Return the seconds that each CPU spent in each state, and its ``cycles`` if counted.

    ``nice`` counts as ``user``. In virtual time the kernel knows exactly how long each CPU was busy, and the part that
    its ticks missed counts as ``softirq``: an idle CPU has no ticks, so an interrupt that ends its idleness, with all
    the packets that it receives, is idle time to the counters.
    """
    rate = before["ticks_per_s"]
    began, ended = before.get("virtual_time") or {}, after.get("virtual_time") or {}
    rows = []
    for cpu in sorted(after["cpus"], key=int):
        if cpu not in before["cpus"]:
            continue
        pairs = zip(_CPU_FIELDS, before["cpus"][cpu], after["cpus"][cpu], strict=True)
        spent = {name: (new - old) / rate for name, old, new in pairs}
        spent["user"] += spent.pop("nice")
        exact = f"cpu{cpu}_busy_ns"
        if exact in began and exact in ended:
            seen = sum(spent[name] for name in ("user", "system", "irq", "softirq"))
            missed = max(0.0, (ended[exact] - began[exact]) / 1e9 - seen)
            spent["softirq"] += missed
            spent["idle"] = max(0.0, spent["idle"] - missed)
        row = {"cpu": int(cpu), **{f"{name}_s": round(value, 4) for name, value in spent.items()}}
        counted = [sample.get("cycles", {}).get(cpu) for sample in (before, after)]
        if None not in counted:
            row["cycles"] = counted[1] - counted[0]
        rows.append(row)
    return rows


def energy_joules(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the energy between two samples in joules, by zone (package-0, dram of intel-rapl:0:0).

    Returns None without a counter. A counter wraps to 0 after its range. Two wraps look like one; the range
    of a package lasts for at least some minutes.
    """
    zones = {}
    for zone, now in (after.get("energy") or {}).items():
        then = (before.get("energy") or {}).get(zone)
        if then is not None:
            grown = now["uj"] - then["uj"]
            name = now["name"] if now["name"].startswith("package") else f"{now['name']} of {zone}"
            zones[name] = round((grown if grown >= 0 else grown + now["range_uj"] + 1) / 1e6, 6)
    return zones or None


def _softirq_table(text: str) -> dict[str, dict[int, int]]:
    """Return {kind: {cpu: times}}. The first line names the CPUs of the columns, which may have gaps."""
    lines = text.splitlines()
    cpus = [int(name.removeprefix("CPU")) for name in lines[0].split()]
    table = {}
    for line in lines[1:]:
        name, _, rest = line.partition(":")
        table[name.strip()] = dict(zip(cpus, map(int, rest.split()), strict=False))
    return table


def softirqs(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, int]]:
    """Return how many times each CPU ran each kind of softirq."""
    old, new = _softirq_table(before["softirqs"]), _softirq_table(after["softirqs"])
    return [
        {"cpu": cpu, **{kind: counts[cpu] - old[kind][cpu] for kind, counts in new.items() if cpu in counts}}
        for cpu in sorted(int(cpu) for cpu in after["cpus"] if cpu in before["cpus"])
    ]


def interfaces(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, dict[str, int]]]:
    """Return {role: {device: {counter: increase}}}; devices without traffic are left out."""
    result: dict[str, dict[str, dict[str, int]]] = {}
    for role, text in after["interfaces"].items():
        old = device_counts(before["interfaces"][role])
        rows = {}
        for device, counts in device_counts(text).items():
            base = old.get(device, [0] * len(counts))
            grown = {name: sum(counts[i] - base[i] for i in columns) for name, columns in _DEVICE_FIELDS.items()}
            if any(grown.values()):
                rows[device] = grown
        result[role] = rows
    return result


def received(measured: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Return the bytes that each interface has received from before the traffic to its very end: {role: {device:
    bytes}}."""
    changes = [interfaces(*answer["surroundings"]) for answer in measured.values()]
    return {
        role: {device: counts["rx_bytes"] for device, counts in devices.items()}
        for change in changes
        for role, devices in change.items()
    }


def virtual_time(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, Any]:
    """Return what happened between two readings of a host's /proc/virtual_time, in seconds and counts.

    ``virtual_s``, ``wall_s``: how much time passed for the host's virtual CPUs and for the computer that runs them;
    ``dilation``: wall_s per virtual_s. ``lent_s``: how long virtual CPUs ran beyond their quantum, and ``lent_share``
    of their busy time. ``forced``: how many times one lost its slot although it held a lock. ``skew_s``: the largest
    difference between the clocks of two busy ones since the first reading. ``stolen_s``: how long the computer did not
    run one that had a slot. ``switches``: how many times a slot was given.
    """

    def grown(name: str) -> int:
        return after[name] - before[name]

    busy_ns = sum(grown(name) for name in after if name.startswith("cpu") and name.endswith("_busy_ns"))
    virtual_s, wall_s = grown("virtual_ns") / 1e9, grown("host_ns") / 1e9
    return {
        "slots": after["slots"],
        "cpus": after["cpus"],
        "quantum_s": after["quantum_ns"] / 1e9,
        "virtual_s": round(virtual_s, 6),
        "wall_s": round(wall_s, 6),
        "dilation": round(wall_s / virtual_s, 4) if virtual_s > 0 else None,
        "lent_s": round(grown("lent_ns") / 1e9, 6),
        "lent_share": round(grown("lent_ns") / busy_ns, 6) if busy_ns > 0 else 0.0,
        "forced": grown("forced"),
        "skew_s": after["skew_ns"] / 1e9,
        "stolen_s": round(grown("stolen_ns") / 1e9, 6),
        "switches": grown("switches"),
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def between(samples: Sequence[Mapping[str, Any]], surroundings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the probes of one host from the samples around the measured window and those around all traffic."""
    before, after = samples
    first, last = surroundings
    began, ended = before.get("virtual_time"), after.get("virtual_time")
    return {
        "virtual_time": virtual_time(began, ended) if began and ended else None,
        "window_s": round(after["at_monotonic_s"] - before["at_monotonic_s"], 4),
        "clock_step_s": round(
            (after["clock_s"] - before["clock_s"]) - (after["at_monotonic_s"] - before["at_monotonic_s"]), 4
        ),
        "per_cpu": per_cpu_seconds(before, after),
        "energy_j": energy_joules(before, after),
        "softirqs": softirqs(before, after),
        "interfaces": interfaces(before, after),
        "interrupts_moved": [
            number
            for number, cpus in sorted(last["interrupts"].items(), key=lambda item: int(item[0]))
            if first["interrupts"].get(number, cpus) != cpus
        ],
        "throttled": None if last["throttled"] is None else last["throttled"] - (first["throttled"] or 0),
        "tcp_pressures": max(last["tcp_pressures"] - first["tcp_pressures"], int(first["tcp_pressed"])),
        "frequency_khz_before": _mean(first["frequency_khz"]),
        "frequency_khz_after": _mean(last["frequency_khz"]),
    }


def over_time(measured: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what the agents' ``measure`` read during the traffic, one row per host and time.

    ``at_s``: seconds after the measured window began; ``memory_available`` and ``slab`` (the kernel's own objects,
    including socket buffers and peers) in bytes; ``drops``: packets that the interfaces of the host's roles have
    dropped since ``at_s`` 0.
    """
    rows = []
    for host, answer in measured.items():
        readings: Sequence[Mapping[str, Any]] = answer.get("readings") or ()
        for reading in readings:
            rows.append(
                {
                    "host": host,
                    "at_s": round(reading["at_monotonic_s"] - readings[0]["at_monotonic_s"], 3),
                    "memory_available": reading["available"],
                    "slab": reading["slab"],
                    "drops": _dropped(reading) - _dropped(readings[0]),
                }
            )
    return rows


def _dropped(reading: Mapping[str, Any]) -> int:
    """Return how many packets all interfaces have dropped up to a reading."""
    places = (*_DEVICE_FIELDS["rx_drops"], *_DEVICE_FIELDS["tx_drops"])
    devices = (counts for text in reading["interfaces"].values() for counts in device_counts(text).values())
    return sum(counts[place] for counts in devices for place in places)


def of_hosts(
    measured: Mapping[str, Mapping[str, Any]], duration_s: float, owners: Mapping[int, str] | None = None
) -> dict[str, Any]:
    """Return the probes of an attempt of a planned duration from the answers of the agents' ``measure``, by host.

    Rows of CPUs have their host, and their role if CPUs belong to roles (``owners``: {cpu: role}). Of values that a
    host has once, the worst counts: the window and the clock step that are farthest off, and the largest drop in
    frequency; packets, throttling events and ``tcp_pressures`` are added up. ``virtual_time`` is that of the only host
    of a testbed in virtual time, and absent in real time.
    """
    parts = {host: between(answer["samples"], answer["surroundings"]) for host, answer in measured.items()}
    rows = {
        name: [{"host": host, **_owner(row, owners), **row} for host, part in parts.items() for row in part[name]]
        for name in ("per_cpu", "softirqs")
    }
    throttled = [part["throttled"] for part in parts.values() if part["throttled"] is not None]
    slowed = min(parts.values(), key=_slowing)
    before = [answer["before"] for answer in measured.values()]
    alone = len(parts) == 1
    virtual = [part["virtual_time"] for part in parts.values() if part["virtual_time"] is not None]
    return {
        **({"virtual_time": virtual[0]} if virtual else {}),
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
        "tcp_pressures": sum(part["tcp_pressures"] for part in parts.values()),
        "frequency_khz_before": slowed["frequency_khz_before"],
        "frequency_khz_after": slowed["frequency_khz_after"],
        "energy_j": {host: part["energy_j"] for host, part in parts.items()},
        **({"over_time": rows_over_time} if (rows_over_time := over_time(measured)) else {}),
        "others": {host: answer["others"] for host, answer in measured.items()},
        "before": {
            "seconds": max(part["seconds"] for part in before),
            "packets": sum(part["packets"] for part in before),
        },
    }


def _owner(row: Mapping[str, Any], owners: Mapping[int, str] | None) -> dict[str, str | None]:
    return {"role": owners.get(int(row["cpu"]))} if owners else {}


def _slowing(part: Mapping[str, Any]) -> float:
    """Return the frequency of a host's CPUs after the traffic relative to that before it; 1 if unknown."""
    before, after = part["frequency_khz_before"], part["frequency_khz_after"]
    return after / before if before and after else 1.0
