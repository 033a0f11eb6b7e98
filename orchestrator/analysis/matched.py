# SPDX-License-Identifier: Apache-2.0
"""Loads that every variant of a run can carry: shares of the throughput of the slowest one."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.analysis.dataset import Run
from orchestrator.errors import UserError
from orchestrator.paths import as_argument
from orchestrator.spec.fields import MAX

BITRATE = "traffic.bitrate"


@dataclass(frozen=True, slots=True)
class MatchedLoads:
    """Loads for a spec.

    ``slowest``: the variant with the lowest throughput; ``throughput_bps``: its median over all tunnels and directions,
    in bit/s; ``rates_bps``: {share (0 to 1): rate of each tunnel in each direction, in bit/s}.
    """

    slowest: str
    throughput_bps: float
    rates_bps: dict[float, float]

    @property
    def override(self) -> str:
        """Return the argument of ``--set`` that measures these loads, and in addition one at full speed."""
        rates = ", ".join(f"{rate / 1e6:.6g} Mbit/s" for rate in self.rates_bps.values())
        return f"factors.{BITRATE}=[{MAX}, {rates}]"


def matched_loads(run: Run, shares: Sequence[float]) -> MatchedLoads:
    """Return the loads that are ``shares`` (0 to 1) of the throughput of the slowest variant.

    The run must have measured throughput at full speed with one number of cores and of tunnels, since a spec has one
    list of loads, which are given per tunnel. Raises UserError if it did not, or if a variant has no valid trial.
    """
    cells = run.cells()
    if BITRATE in cells:
        cells = cells[cells[BITRATE].astype(str) == MAX]
    median = run.quantity.of("median")
    if not run.quantity.is_throughput or median not in cells or cells[median].isna().all():
        why = "it has no valid throughput that was measured without a bit rate"
        raise UserError(f"{run.path} does not show the highest load: {why}. Give a run with traffic.bitrate: max.")
    cells = cells[cells[median].notna()]
    places = [name for name in run.levels if name not in ("variant", BITRATE)]
    several = [name for name in places if cells[name].nunique() > 1]
    if several:
        raise UserError(
            f"{run.path} has several levels of {' and '.join(several)}, and a load is a share of what one place "
            "carries. Give a run with one level of each."
        )
    missing = [name for name in run.variants if name not in set(cells["variant"])]
    if missing:
        raise UserError(
            f"{run.path} has no valid trial of {', '.join(missing)}, which may be the slowest. Retry it with the "
            f"run's spec: `orch run SPEC --resume {as_argument(run.path)}`."
        )
    slowest = min(cells.to_dict("records"), key=lambda row: row[median])
    traffic = (run.meta.get("spec") or {}).get("traffic") or {}
    direction = slowest.get("traffic.direction", traffic.get("direction"))
    ways = int(slowest["tunnels"]) * (2 if direction == "both" else 1)
    carried = float(slowest[median])
    return MatchedLoads(str(slowest["variant"]), carried, {share: share * carried / ways for share in shares})
