# SPDX-License-Identifier: Apache-2.0
"""The required content of a run's JSON files: the parts that other code reads without checking that they exist.

A shape is a type; a tuple of the allowed values; a compiled pattern for a text; ``[shape]`` for a list whose items have
it; ``{key: shape}`` for an object with these keys, and any others; `Maybe` of a shape, for a value that may be absent
or null; or `Each` of a shape, for an object with any keys.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SCHEMA = 1  # version of run.json, attempt.json, stopping.json: raised when an older version could misread them
_SHOWN = 40  # characters of a wrong value in a message


@dataclass(frozen=True, slots=True)
class Maybe:
    """The shape of a value that may be absent or null."""

    shape: Any


@dataclass(frozen=True, slots=True)
class Each:
    """The shape of an object with any keys, whose values all have ``shape``."""

    shape: Any


_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)  # safe as a file's name: it cannot lead to another folder
_QUANTITY = {"name": str, "unit": str, "label": Maybe(str), "better": ("higher", "lower")}
_LEVELS = {"variant": str, "cores": int, "tunnels": int}
_TRAFFIC = {
    "warm_up_s": float,
    "duration_s": float,
    "tool": Maybe(str),
    "protocol": Maybe(str),
    "streams": Maybe(int),
    "flows": Maybe(int),
    "command": Maybe({"quantity": _QUANTITY}),
    "quantity": Maybe(_QUANTITY),
    "search": Maybe({"final_duration_s": Maybe(float)}),
}
_TRIAL = {
    "trial_id": _NAME,
    "kind": str,
    "block": int,
    "round": int,
    "order": int,
    "repetition": int,
    "levels": _LEVELS,
    "traffic": _TRAFFIC,
}
_TESTBED = {
    "name": str,
    "hosts": Maybe([{"name": str, "roles": [str]}]),
    "clock": Maybe(str),
    "cores": Maybe(int),
    "slots": Maybe(int),
    "quantum_s": Maybe(float),
}
_FACTORS = {"variant": Maybe(list)}
_SOURCE = {"commit": Maybe(str), "dirty": Maybe(bool), "changes": Maybe([str])}
_SESSION = {
    "session": int,
    "state": Maybe(str),
    "started_at": Maybe(str),
    "was": Maybe({"source": Maybe(_SOURCE)}),
    "changes": Maybe([{"what": str, "was": str, "now": str}]),
}
_OVERHEAD = {"overhead": Maybe({"headers": int, "trailer": int, "multiple": int, "within_mtu": bool})}
_REPEATS = {"because": str, "variants": Maybe([str])}

# The parts of the environment: the testbed, and this computer.
_BED = {"image_packages": Maybe([re.compile(r"\S+ .*")]), "kernel": Maybe(dict)}
_COMPUTER = {"cpu_models": Maybe([str])}
_LIMITS = {"headroom": Maybe(float), "report_only": Maybe([str])}
_CPU_TIMES = dict.fromkeys(("user_s", "system_s", "softirq_s", "irq_s", "steal_s", "iowait_s", "idle_s"), Maybe(float))
_LATENCY = {
    **dict.fromkeys(("at", "sent", "n"), float),
    **dict.fromkeys(("offered_pps", "p50_s", "p90_s", "p99_s", "p999_s", "max_s"), Maybe(float)),
}
_LOAD = {
    **dict.fromkeys(("sent", "received", "seconds", "offered_pps", "received_pps", "loss_ratio"), float),
    **dict.fromkeys(("rate_pps", "received_bytes"), Maybe(float)),
    "drops": Maybe(Each(float)),
}
# CPU times and energy, in the probes of an attempt or of one load of a packet generator.
_PROBED = {
    "window_s": Maybe(float),
    "per_cpu": Maybe([{"cpu": int, "role": Maybe(str), "host": Maybe(str), "cycles": Maybe(int), **_CPU_TIMES}]),
    "energy_j": Maybe(Each(Maybe(Each(float)))),
}
_COUNTERS = Maybe(Each(Maybe(float)))
_MEASURED = (
    *(
        "throughput_bps",
        "value",
        "duration_s",
        "retransmits",
        "handshake_age_s",
        "overhead_s",
        "sent_pps",
        "received_pps",
    ),
    *("loss_ratio", "ndr_lower_pps", "ndr_upper_pps", "pdr_lower_pps", "pdr_upper_pps"),
)

RUN = {
    "run_id": Maybe(_NAME),
    "experiment": _NAME,
    "tier": Maybe(str),
    "spec": Maybe(
        {
            "factors": Maybe(_FACTORS),
            "limits": Maybe(_LIMITS),
            "traffic": Maybe(dict),
            "notebooks": Maybe([str]),
            "claims": Maybe(str),
        }
    ),
    "spec_text": Maybe(str),
    "overrides": Maybe([str]),
    "arguments": Maybe({"testbed": Maybe(str), "order": Maybe(str)}),
    "plan": {
        "topology": str,
        "seed": Maybe(int),
        "repetitions": Maybe(
            {"min": int, "max": int, "width": Maybe(float), "boots": Maybe(int), "reference": Maybe(str)}
        ),
        "left_out": Maybe([{"what": str, "reason": str}]),
        "blocks": [{"index": Maybe(int), "cores": int, "boot": Maybe(int), "trials": [_TRIAL]}],
    },
    "variants": Maybe(
        Each({**dict.fromkeys(("description", "build", "build_id"), Maybe(str)), "settings": Maybe(dict), **_OVERHEAD})
    ),
    "versions": Maybe(dict),
    "source": Maybe(_SOURCE),
    "testbed": {**_TESTBED, "members": Maybe(Each(_TESTBED))},
    "environment": Maybe({"computer": Maybe(_COMPUTER), "testbed": Maybe(_BED), "testbeds": Maybe(Each(_BED))}),
    "sessions": Maybe([{**_SESSION, "repeats": Maybe(_REPEATS)}]),
    "given_up": Maybe([{"block": int, "reason": str}]),
    "started_at": Maybe(str),
    "ended_at": Maybe(str),
    "state": Maybe(str),
}
ATTEMPT = {
    **_TRIAL,
    "attempt": int,
    "topology": str,
    "testbed": str,
    "status": ("ok", "failed", "invalid"),
    "reasons": [str],
    "marks": Maybe([str]),
    "started_at": str,
    "session": Maybe(int),
    "measurements": Maybe(
        {
            **dict.fromkeys(_MEASURED, Maybe(float)),
            "rates_bps": Maybe([float]),
            "handshakes_in_traffic": Maybe([{"gateway": str, "device": str, "at_s": float}]),
            "roams": Maybe([{"at_s": float, "took_s": float}]),
            "latency": Maybe([_LATENCY]),
            "loads": Maybe([_LOAD]),
            "profiled_load": Maybe(_LOAD),
            "quantity": Maybe(_QUANTITY),
        }
    ),
    "probes": Maybe(
        {
            **_PROBED,
            "bounds": Maybe(Each(Maybe({"lower": Maybe(_PROBED), "upper": Maybe(_PROBED)}))),
            "profiled_load": Maybe(_PROBED),
            "over_time": Maybe([{"host": str, **dict.fromkeys(("at_s", "memory_available", "slab", "drops"), float)}]),
            "own": Maybe([{"probe": str, "host": str, "role": str, "value": Maybe(float), "unit": Maybe(str)}]),
            "softirqs": Maybe([{"cpu": int, "role": Maybe(str), "host": Maybe(str)}]),
            "interfaces": Maybe(Each(Each(_COUNTERS))),
            "virtual_time": Maybe(dict),
        }
    ),
}
STOPPING = {
    "cells": [
        {
            "block": int,
            "rounds": int,
            "goal": Maybe(float),
            "reason": Maybe(str),
            "variant": Maybe(str),
            "tunnels": Maybe(int),
            "width": Maybe(float),
        }
    ]
}
# In journal.jsonl: the event "prepared" of a block's hosts.
_CONTROL = {"cpus": int, "times_one": float, "core_alone": Maybe(float)}
PREPARED = {"block": Maybe(int), "testbed": Maybe(str), "hosts": Maybe(Each({"control": Maybe(_CONTROL)}))}

_WORDS: Mapping[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


_Check = Callable[[Any], bool]
_CHECKS: dict[int, tuple[Any, _Check]] = {}  # by the id() of a shape, which is kept alive in the value


def _check_of(shape: Any) -> _Check:
    """Return a function that checks whether a value fits a shape. It is built once per shape, as a run has thousands of
    attempts."""
    found = _CHECKS.get(id(shape))
    if found is None:
        found = _CHECKS[id(shape)] = (shape, _check(shape))
    return found[1]


def _check(shape: Any) -> _Check:
    if isinstance(shape, Maybe | Each):
        inner = _check(shape.shape)
        if isinstance(shape, Maybe):
            return lambda value: value is None or inner(value)
        return lambda value: type(value) is dict and all(map(inner, value.values()))
    if isinstance(shape, dict):
        return _check_of_object([(key, _check(below), isinstance(below, Maybe)) for key, below in shape.items()])
    if isinstance(shape, list):
        each = _check(shape[0])
        return lambda value: type(value) is list and all(map(each, value))
    if isinstance(shape, tuple):
        return lambda value: type(value) is str and value in shape
    if isinstance(shape, re.Pattern):
        return lambda value: type(value) is str and bool(shape.fullmatch(value))
    if shape is float:
        return lambda value: type(value) is float or type(value) is int
    return lambda value: type(value) is shape


def _check_of_object(parts: Sequence[tuple[str, _Check, bool]]) -> _Check:
    """Return a check of an object. ``parts``: for each key, the check of its value, and whether it may be absent."""

    def check(value: Any) -> bool:
        if type(value) is not dict:
            return False
        for key, inner, optional in parts:
            found = value.get(key)
            if not (optional if found is None else inner(found)):
                return False
        return True

    return check


def misfit(value: Any, shape: Any, place: str = "") -> str | None:
    """Return why a JSON value does not fit a shape, in words with the place (``plan.blocks[2].cores``); None if it
    fits."""
    if not place and _check_of(shape)(value):
        return None  # the common case; the code below finds the place of a mismatch
    if isinstance(shape, Maybe):
        return None if value is None else misfit(value, shape.shape, place)
    if isinstance(shape, Each):
        return (
            _first(value, place, lambda key: shape.shape, list(value)) if isinstance(value, dict) else _no(place, dict)
        )
    if isinstance(shape, dict):
        return _first(value, place, shape.__getitem__, list(shape)) if isinstance(value, dict) else _no(place, dict)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return _no(place, list)
        found = (misfit(item, shape[0], f"{place}[{index}]") for index, item in enumerate(value))
        return next((wrong for wrong in found if wrong), None)
    if isinstance(shape, tuple):
        return None if value in shape else f"{place} is not one of {', '.join(shape)}"
    if isinstance(shape, re.Pattern):
        named = isinstance(value, str) and shape.fullmatch(value)
        return None if named else f"{place} is {str(value)[:_SHOWN]!r}, which is not a valid name"
    allowed = (int, float) if shape is float else shape
    good = isinstance(value, allowed) and (shape is bool or not isinstance(value, bool))
    return None if good else _no(place, shape)


def _first(value: Mapping[str, Any], place: str, shape_of: Any, keys: list[str]) -> str | None:
    for key in keys:
        below = f"{place}.{key}" if place else key
        shape = shape_of(key)
        if key not in value and not isinstance(shape, Maybe):
            return f"{below} is missing"
        if wrong := misfit(value.get(key), shape, below):
            return wrong
    return None


def _no(place: str, kind: Any) -> str:
    return f"{place or 'it'} is not {_WORDS[kind]}"
