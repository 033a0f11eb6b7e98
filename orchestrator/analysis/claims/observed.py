# SPDX-License-Identifier: Apache-2.0
"""The part of a run on which claims are judged, as plain values, so that tests can invent runs without writing
files."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.analysis.cells import cells, values_of
from orchestrator.analysis.claims.standing import OWN_CLAIMS, VerdictScope, facts_of, standing_of, standing_of_own
from orchestrator.analysis.dataset import Run
from orchestrator.spec import Cell, Limits
from orchestrator.spec.variants import UPSTREAM
from orchestrator.store.clock import REAL, REAL_TIME


@dataclass(frozen=True, slots=True)
class CellFacts:
    """Facts about a planned cell other than its throughputs.

    ``not_ok``: how many of its trials are failed, invalid, missing, or ok but measured during others on a shared
    computer. ``of_baseline``: its throughput as a share of that without a tunnel; None if that was not measured.
    ``builds``: how many builds of its module its trials used. ``marked``: how many of its ok trials exceeded a limit
    that the spec only reports.
    """

    not_ok: Mapping[str, int] = field(default_factory=dict)
    invalid_attempts: int = 0
    generator_bound: bool = False
    of_baseline: float | None = None
    builds: int = 1
    marked: int = 0


@dataclass(frozen=True, slots=True)
class Observed:
    """A run as the rules of `judging` see it.

    ``cells``: every planned cell. ``values``: {cell: {(testbed, boot, (block, round)): throughput in bit/s}} of ok
    trials. ``unpatched``: the variants that use the kernel's own module. ``relaxed``: the limits that this spec only
    reports, although they are enforced by default.
    """

    standing: VerdictScope
    cells: Mapping[Cell, CellFacts]
    values: Mapping[Cell, Mapping[tuple[Any, ...], float]]
    unpatched: frozenset[str]
    relaxed: tuple[str, ...] = ()
    experiment: str = "another experiment"
    clock: str = REAL
    measured_in: str = REAL_TIME
    standing_of_own: VerdictScope = OWN_CLAIMS  # for claims of the spec's own

    @property
    def variants(self) -> set[str]:
        """Return the planned variants."""
        return {key.variant for key in self.cells}


def observe(run: Run) -> Observed:
    """Return the part of a run on which claims are judged."""
    described = run.meta.get("variants") or {}
    spec = run.meta.get("spec") or {}
    report_only = (spec.get("limits") or {}).get("report_only") or ()
    if spec.get("busy") == "mark":
        report_only = dict.fromkeys((*report_only, "competing_load", "steal"))
    facts = facts_of(run.meta, run.topology, run.clock)
    return Observed(
        standing_of(facts),
        _facts(run),
        values_of(run, run.measured),
        frozenset(name for name, about in described.items() if (about or {}).get("build") == UPSTREAM),
        tuple(name for name in report_only if name not in Limits().report_only),
        str(run.meta.get("experiment", "another experiment")),
        run.clock,
        run.measured_in,
        standing_of_own(facts),
    )


def _facts(run: Run) -> dict[Cell, CellFacts]:
    beside = Counter(map(Cell.of, run.shared.to_dict("records")))
    builds: dict[Cell, set[Any]] = {}
    marked: Counter[Cell] = Counter()
    for trial in run.measured.to_dict("records"):
        key = Cell.of(trial)
        builds.setdefault(key, set()).add(trial["variant_build"])
        marked[key] += isinstance(trial["marks"], str) and trial["marks"] != ""
    found = {}
    for row in cells(run).to_dict("records"):
        key = Cell.of(row)
        not_ok = {status: row[status] for status in ("failed", "invalid", "missing")} | {"shared_computer": beside[key]}
        share = row["of_baseline"]
        found[key] = CellFacts(
            {status: count for status, count in not_ok.items() if count},
            row["invalid_attempts"],
            row["generator_bound"],
            None if share != share else share,  # NaN: not measured
            len(builds.get(key, ())),
            marked[key],
        )
    return found
