# SPDX-License-Identifier: Apache-2.0
"""Choosing the settings to apply, from what can be tuned on a host and what its file asks for. Pure.

TRIED says how thoroughly each kind of setting was tested; `orch doctor` shows it, and docs/testbeds.md lists it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.errors import TestbedError
from orchestrator.spec import Tuning

# Where each kind was seen to work: lab, qemu, hardware; or only with recorded files and outputs (fixture).
TRIED = {
    "governor": "qemu",
    "turbo": "fixture",
    "deepest_idle": "qemu",
    "smt": "qemu",
    "irqbalance": "qemu",
    "channels": "qemu",
    "interrupts": "qemu",
    "hash": "qemu",
    "ring": "qemu",
    "coalesce": "qemu",
    "offloads": "qemu",
    "steering": "lab",
}
_HASHES = {"ports": "sdfn", "addresses": "sd"}
_PERFORMANCE = "performance"  # a governor, and the energy preference that it brings
_KEYS = {"deepest_idle_s": "deepest_idle", "coalesce_s": "coalesce"}
# The pattern of the names of each key's settings.
_NAMES = {
    "governor": r"/(scaling_governor|energy_performance_preference)$",
    "turbo": r"/(no_turbo|boost)$",
    "deepest_idle": r"/cpuidle/",
    "smt": r"/smt/control$",
    "irqbalance": r"^service/irqbalance$",
    "channels": r"^nic/[^/]+/channels$",
    "interrupts": r"^irq/",
    "hash": r"^nic/[^/]+/hash-",
    "ring": r"^nic/[^/]+/ring-",
    "coalesce": r"^nic/[^/]+/(coalesce|adaptive)-",
    "offloads": r"^nic/[^/]+/feature-",
    "steering": r"/rps_cpus$",
}
Settings = dict[str, str]


def before_links(host: str, tuning: Tuning, tunables: Mapping[str, Any], cores: int) -> Settings:
    """Return the settings that affect which others exist: frequency, idle states, services and queues, {name: value}.

    Raises TestbedError if the file asks for a setting that the host does not have.
    """
    return _chosen(host, tuning, _of_computer(tuning, tunables), _of_queues(tuning, tunables, cores))


def threads_of(tuning: Tuning, tunables: Mapping[str, Any]) -> Settings:
    """Return the part of `before_links` that brings the second threads of cores online, or takes them offline."""
    smt = tunables["smt"]
    return {} if tuning.smt is None or smt is None else {smt["name"]: "on" if tuning.smt else "off"}


def after_queues(host: str, tuning: Tuning, tunables: Mapping[str, Any], cpus: Sequence[int]) -> Settings:
    """Return the settings that direct interrupts and packets to CPUs, once the queues exist.

    They come from the interfaces' ``interrupts`` and ``steering`` in ``tunables``. ``cpus``: the CPUs of the block.
    """
    return _chosen(host, tuning, _of_interrupts(tuning, tunables, cpus))


def key_of(name: str) -> str:
    """Return the key of ``tuning`` that a setting of this module belongs to."""
    return next(key for key, pattern in _NAMES.items() if re.search(pattern, name))


def overview(tuning: Tuning, tunables: Mapping[str, Any], cpus: Sequence[int]) -> dict[str, Settings]:
    """Return the settings that would be applied, by the key of the file; empty for keys that the host does not
    support."""
    found: dict[str, Settings] = {}
    parts = (_of_computer(tuning, tunables), _of_queues(tuning, tunables, len(cpus)))
    for part in (*parts, _of_interrupts(tuning, tunables, cpus)):
        for key, settings in part:
            found.setdefault(key, {}).update(settings or {})
    return found


def asked_by_name(tuning: Tuning) -> set[str]:
    """Return the keys that the file of a host sets. Others may be left out if the host refuses them."""
    return {_KEYS.get(name, name) for name in tuning.model_fields_set}


def _chosen(host: str, tuning: Tuning, *parts: Iterator[tuple[str, Settings | None]]) -> Settings:
    chosen: Settings = {}
    asked = asked_by_name(tuning)
    for part in parts:
        for key, settings in part:
            if settings is None:
                if key in asked:
                    raise TestbedError(f"{host} has nothing that tuning.{key} could set. Remove it, or set it to null.")
                continue
            chosen |= settings
    return chosen


def _of_computer(tuning: Tuning, tunables: Mapping[str, Any]) -> Iterator[tuple[str, Settings | None]]:
    if tuning.governor is not None:
        able = {path: one for path, one in tunables["governors"].items() if tuning.governor in one["choices"]}
        # The governor changes the energy preference too, and amd_pstate does not change it back.
        preferences = [one["preference"]["name"] for one in able.values() if one.get("preference")]
        with_it = preferences if tuning.governor == _PERFORMANCE else []
        yield "governor", dict.fromkeys([*able, *with_it], tuning.governor) or None
    turbo = tunables["turbo"]
    if tuning.turbo is not None:
        on_or_off = None if turbo is None else turbo["off"] if not tuning.turbo else str(1 - int(turbo["off"]))
        yield "turbo", None if turbo is None else {turbo["name"]: str(on_or_off)}
    if tuning.deepest_idle_s is not None:
        most_us = tuning.deepest_idle_s * 1e6
        states = {one["name"]: str(int(one["latency_us"] > most_us)) for one in tunables["idle"]}
        yield "deepest_idle", states or None
    if tuning.smt is not None:
        yield "smt", threads_of(tuning, tunables) or None
    if tuning.irqbalance is not None:
        state = "active" if tuning.irqbalance else "inactive"
        yield "irqbalance", None if tunables["irqbalance"] is None else {"service/irqbalance": state}


def _of_queues(tuning: Tuning, tunables: Mapping[str, Any], cores: int) -> Iterator[tuple[str, Settings | None]]:
    for nic, can in tunables["nics"].items():
        if tuning.channels is not None:
            wanted = cores if tuning.channels == "per-core" else tuning.channels
            yield "channels", _number(f"nic/{nic}/channels", wanted, can["channels"], tuning.channels == "per-core")
        if tuning.hash is not None:
            letters = _HASHES[tuning.hash]
            yield "hash", {f"nic/{nic}/hash-udp4": letters} if can["hash-udp4"] else None
        if tuning.ring is not None:
            for ring in ("ring-rx", "ring-tx"):
                has = can[ring]
                descriptors = has["most"] if has and tuning.ring == "most" else tuning.ring
                yield "ring", _number(f"nic/{nic}/{ring}", descriptors, has, False)
        if tuning.coalesce_s is not None:
            # A NIC with adaptive coalescing refuses a fixed time (ice, i40e, iavf), so that is switched off first.
            adaptive = {f"nic/{nic}/adaptive-rx": "off"} if can.get("adaptive-rx") == "on" else {}
            usecs = {f"nic/{nic}/coalesce-rx-usecs": str(round(tuning.coalesce_s * 1e6))}
            yield "coalesce", {**adaptive, **usecs} if can["coalesce-rx-usecs"] is not None else None
        for name, on in tuning.offloads.items():
            features = can.get("groups", {}).get(name, [name])
            yield "offloads", {f"nic/{nic}/feature-{one}": "on" if on else "off" for one in features}


def _number(name: str, wanted: Any, has: Mapping[str, int] | None, as_many: bool) -> Settings | None:
    """Return a setting for a number of queues or descriptors. ``as_many``: use the maximum if the wanted number is
    higher."""
    if has is None or (wanted > has["most"] and not as_many):
        return None
    return {name: str(min(wanted, has["most"]))}


def _of_interrupts(
    tuning: Tuning, tunables: Mapping[str, Any], cpus: Sequence[int]
) -> Iterator[tuple[str, Settings | None]]:
    for can in tunables["nics"].values():
        if tuning.interrupts is not None and "interrupts" in can:
            where = {f"irq/{number}": str(cpus[queue % len(cpus)]) for number, queue in can["interrupts"]}
            yield "interrupts", where or None
        if tuning.steering is not None and "steering" in can:
            off = {path: _zero_like(mask) for path, mask in can["steering"].items() if path.endswith("rps_cpus")}
            yield "steering", off or None


def _zero_like(mask: str) -> str:
    """Return a CPU mask without any CPU, as wide as the given one."""
    return "".join("0" if character != "," else "," for character in mask)
