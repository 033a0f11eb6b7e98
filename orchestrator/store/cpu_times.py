# SPDX-License-Identifier: Apache-2.0
"""The time that each CPU spent in each state in the measured window of an attempt. Pure."""

from collections.abc import Mapping
from typing import Any

from orchestrator.store.clock import VIRTUAL, clock_of

_IDLE = ("idle_s", "iowait_s")


def cpu_times(attempt: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of an attempt's ``probes.per_cpu``, corrected in virtual time so that a CPU's idle time does not
    exceed the part of the window in which it was not busy.

    By the counters of /proc/stat, an interrupt that ends a CPU's idling is idle time, with all the packets that it
    receives. The clock of virtual time counts it as busy time, and runs of earlier versions stored it as both.
    """
    probes = attempt.get("probes") or {}
    rows = [dict(row) for row in probes.get("per_cpu") or ()]
    window_s = probes.get("window_s")
    if clock_of(attempt) != VIRTUAL or not window_s:
        return rows
    for row in rows:
        busy = sum(value or 0.0 for name, value in row.items() if name.endswith("_s") and name not in _IDLE)
        idle = sum(row.get(name) or 0.0 for name in _IDLE)
        if idle > 0:
            fits = min(1.0, max(0.0, window_s - busy) / idle)
            row.update({name: (row.get(name) or 0.0) * fits for name in _IDLE})
    return rows
