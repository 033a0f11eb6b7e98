# SPDX-License-Identifier: Apache-2.0
"""Changes since a run was begun, and which of its attempts each of them concerns. Pure.

The experiment, the variants with the build ids of their modules, the environment and the program are compared;
comments, descriptions and the order of keys do not count. A trial's id is a hash of its parameters: changed parameters
make new trials, and concern no existing attempt.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.spec.role_cpus import HALF_ENDS, OWN_CPUS
from orchestrator.store.clock import clock_of

# Parts of a spec that affect neither what is measured nor how it is judged: they may change without a question.
_FREE = ("notebooks", "claims", "retries", "on_failure", "description")
_ABSENT = "nothing"


@dataclass(frozen=True, slots=True)
class Change:
    """A change of ``what`` from ``was`` to ``now`` (texts).

    ``concerns``: the variants whose attempts it concerns; None for all attempts, empty for none.
    """

    what: str
    was: str
    now: str
    concerns: tuple[str, ...] | None

    def __str__(self) -> str:
        return f"{self.what}: {self.was} -> {self.now}"


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return the changes between two descriptions of a run (contents of run.json)."""
    return [
        *_spec_changes(before.get("spec") or {}, after.get("spec") or {}),
        *_variant_changes(before.get("variants") or {}, after.get("variants") or {}),
        *_environment_changes(before, after),
    ]


def spec_changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether the spec has changed so that a new plan is needed."""
    return any(True for _ in _spec_changes(before.get("spec") or {}, after.get("spec") or {}))


def _spec_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for path, was, now in differences(before, after):
        top = path.split(".")[0]
        if top not in _FREE:
            yield Change(f"spec: {path}", was, now, None if top in ("limits", "testbed", "busy") else ())


def _variant_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name in sorted(before.keys() & after.keys()):
        for path, was, now in differences(before[name], after[name]):
            yield Change(f"variant {name}: {path}", was, now, (name,))


def _environment_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for part in ("computer", "testbed"):
        old = (before.get("environment") or {}).get(part) or {}
        new = (after.get("environment") or {}).get(part) or {}
        for path, was, now in differences(_steady(old), _steady(new)):
            yield Change(f"{part}: {path}", was, now, None)
    old, new = ((side.get("environment") or {}).get("testbeds") or {} for side in (before, after))
    for name in sorted(old.keys() | new.keys()):  # the testbeds of a pool
        for path, was, now in differences(_steady(old.get(name) or {}), _steady(new.get(name) or {})):
            yield Change(f"testbed {name}: {path}", was, now, None)
    old, new = (_with_clock(side.get("testbed") or {}) for side in (before, after))
    for path, was, now in differences(old, new):
        if path != "max_cores":  # follows from the plan
            yield Change(f"testbed: {path}", was, now, None)
    old, new = ((side.get("source") or {}).get("program_hash") for side in (before, after))
    if old != new:
        yield Change("the program that measures", str(old), str(new), None)
    old, new = ((side.get("source") or {}).get("extensions") or {} for side in (before, after))
    for path, was, now in differences(old, new):
        yield Change(f"the program that measures: {path}", was, now, None)
    old, new = ((side.get("source") or {}).get("packages") for side in (before, after))
    if old and new:  # runs of older versions lack them
        for path, was, now in differences(old, new):
            yield Change(f"the program that measures: {path}", was, now, None)


def _with_clock(testbed: Mapping[str, Any]) -> dict[str, Any]:
    """Return a testbed's description from run.json, with the defaults for what older versions do not state.

    These are a real clock, shared CPUs, plain veth links, and for the client and the server half as many CPUs of their
    own as a gateway has.
    """
    told: dict[str, Any] = {"role_cpus": "shared", "links": "veth", **testbed, "clock": clock_of(testbed)}
    if told["role_cpus"] == OWN_CPUS:
        told.setdefault("ends", HALF_ENDS)
    if isinstance(testbed.get("members"), Mapping):  # a pool
        told["members"] = {name: _with_clock(member) for name, member in testbed["members"].items()}
    return told


def _steady(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return an environment without what may differ between two builds of the same thing, and without the modules,
    which are compared by variant."""
    steady = {name: value for name, value in environment.items() if name not in ("modules", "memory_kib")}
    if isinstance(steady.get("computer"), Mapping):
        steady["computer"] = _steady(steady["computer"])
    kept = {"kernel": ("release", "source_version", "compiler", "key"), "disk": ("crypto",)}
    for name, keys in kept.items():
        if isinstance(steady.get(name), Mapping):
            steady[name] = {key: value for key, value in steady[name].items() if key in keys}
    if isinstance(steady.get("image_packages"), list):
        steady["image_packages"] = dict(line.split(" ", 1) for line in steady["image_packages"])
    return steady


def differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield (path, before, after) for each value that differs. Lists are compared as a whole, and an absent value
    equals None."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in [*before, *(key for key in after if key not in before)]:
            below = f"{path}.{key}" if path else str(key)
            yield from differences(before.get(key), after.get(key), below)
    elif before != after:
        yield path, _text(before), _text(after)


def _text(value: Any) -> str:
    if value is None:
        return _ABSENT
    if isinstance(value, list):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_text(item)}" for key, item in value.items()) + "}"
    return str(value)
