# SPDX-License-Identifier: Apache-2.0
"""Profiles in the file format of speedscope (https://www.speedscope.app/file-format-schema.json)."""

from typing import Any

from orchestrator.analysis.profiles.samples import Profile

SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def speedscope(profile: Profile) -> dict[str, Any]:
    """Return the content of the file: one sampled profile per role, or per host if roles share CPUs; weights are in
    ns."""
    frames: dict[str, int] = {}
    grouped: dict[str, tuple[list[list[int]], list[int]]] = {}
    for stack in profile.stacks:
        samples, weights = grouped.setdefault(stack.role or stack.host, ([], []))
        samples.append([frames.setdefault(name, len(frames)) for name in (stack.task, *stack.calls)])
        weights.append(stack.ns)
    return {
        "$schema": SCHEMA,
        "name": str(profile.key),
        "exporter": "orch",
        "shared": {"frames": [{"name": name} for name in frames]},
        "profiles": [
            {
                "type": "sampled",
                "name": name,
                "unit": "nanoseconds",
                "startValue": 0,
                "endValue": sum(weights),
                "samples": samples,
                "weights": weights,
            }
            for name, (samples, weights) in grouped.items()
        ],
    }
