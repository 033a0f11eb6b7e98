# SPDX-License-Identifier: Apache-2.0
"""What a cell costs: Gbit/s a busy core and CPU time a packet, by role, beside its throughput."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.limits.loads import Load

INNER_PACKET_BYTES = 1420  # the default MTU of a WireGuard device: what a full TCP segment fills
COST_COLUMNS = ["n", "throughput_bps", "busy_cores", "gateway_cores", "bps_a_busy_core", "ns_a_packet"]


@dataclass(frozen=True)
class Part:
    """CPU time of a packet at one place: a role (or a host that roles share), in softirqs ("softirq") or not ("other").

    ``ns``: nanoseconds for each 1420 bytes of throughput.
    """

    group: str
    kind: str
    ns: float


def parts_of(load: Load) -> list[Part]:
    """The CPU time of a packet by role and kind, in the path's order; together they are all the time that CPUs of the
    path were busy."""
    found = []
    for group in load.groups:
        for kind, cpus in (("other", group.total - group.softirqs), ("softirq", group.softirqs)):
            found.append(Part(group.name, kind, cpus * packet_ns(load.throughput_bps)))
    return found


def packet_ns(throughput_bps: float) -> float:
    """How long a packet of 1420 bytes takes at a throughput in bit/s, in nanoseconds."""
    return 1e9 * 8 * INNER_PACKET_BYTES / throughput_bps


def costs(run: Run) -> pd.DataFrame:
    """One row a cell whose CPUs were sampled.

    Columns: the levels; n (trials); throughput_bps (median); busy_cores, how many CPUs' worth of time the whole path
    took (generator and server with it), and gateway_cores of the two gateways alone (NaN where roles share CPUs);
    bps_a_busy_core, throughput by gateway_cores, by busy_cores where roles share CPUs; ns_a_packet, the same CPU time
    in nanoseconds for each packet of 1420 bytes; measured_in.
    """
    rows: list[dict[str, Any]] = []
    for load in run.loads:
        busy = sum(group.total for group in load.groups)
        gateways = sum(group.total for group in load.groups if group.name.startswith("gateway"))
        spent = busy if load.shared else gateways
        rows.append(
            {
                **load.key.row(),
                "n": load.n,
                "throughput_bps": load.throughput_bps,
                "busy_cores": busy,
                "gateway_cores": float("nan") if load.shared else gateways,
                "bps_a_busy_core": load.throughput_bps / spent if spent else float("nan"),
                "ns_a_packet": spent * packet_ns(load.throughput_bps),
            }
        )
    return pd.DataFrame(rows, columns=[*run.levels, *COST_COLUMNS]).assign(measured_in=run.measured_in)
