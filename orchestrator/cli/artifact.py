# SPDX-License-Identifier: Apache-2.0
"""`orch artifact`: the artifact appendix, docs/artifact.md, made from the specs and the claims.

Its times are those of `orch plan` on a computer without earlier runs, so that the page is the same wherever it is made.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.spec import Experiment
    from orchestrator.spec.claims import ClaimCells

_TEMPLATE = Path(__file__).with_name("artifact.md.j2")
_LAPTOP_CORES = 2
_CORES = (_LAPTOP_CORES, 8, 32)
_VIRTUAL_CORES = 32


def artifact() -> None:
    """Print the artifact appendix, as it is in docs/artifact.md: claims, experiments, times, disk, hardware."""
    print(appendix())


def appendix() -> str:
    """Return the page in Markdown."""
    from jinja2 import Environment, StrictUndefined

    from orchestrator.analysis.claims import STANDINGS, load_claims
    from orchestrator.doctor.checks import DISK_NEEDED, GIB, MEMORY_NEEDED, PYTHONS
    from orchestrator.paths import EXPERIMENTS
    from orchestrator.spec import OWN_CPUS, load_experiment, machine_cpus
    from orchestrator.spec.catalog import known_specs
    from orchestrator.store.clock import NOT_MODELLED

    environment = Environment(autoescape=False, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"cells": _cells}
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    claims = load_claims()
    specs = {name: load_experiment(EXPERIMENTS / f"{name}.yaml") for name in known_specs()}
    sources: dict[str, list[str]] = {}
    for claim in claims:
        sources.setdefault(claim.source.text, []).append(claim.claim)
    return template.render(
        laptop_cores=_LAPTOP_CORES,
        memory_gib=MEMORY_NEEDED // GIB,
        disk_gib=DISK_NEEDED // GIB,
        python=[".".join(map(str, version)) for version in PYTHONS],
        smoke=_times_and_disk(load_experiment(EXPERIMENTS / "scaling.yaml", tier="smoke"), _LAPTOP_CORES)[0],
        claims=claims,
        sources=sources,
        standings=STANDINGS,
        cores=_CORES,
        virtual_cores=_VIRTUAL_CORES,
        virtual_cpus=machine_cpus(_VIRTUAL_CORES, OWN_CPUS),
        rows=list(_sizes(specs)),
        specs=specs,
        not_modelled=NOT_MODELLED,
    )


def _cells(cells: "ClaimCells") -> str:
    tunnels = "one per core" if cells.tunnels == "per-core" else str(cells.tunnels)
    from orchestrator.spec.cells import more_words

    more = "".join(f", {word}" for word in more_words(cells.more))
    return f"{cells.variant}, tunnels: {tunnels}{more}"


def _sizes(specs: "dict[str, Experiment]") -> Iterator[dict[str, Any]]:
    """Yield a row for each tier of each experiment, with its times and disk space on computers of several sizes."""
    from orchestrator.spec import load_experiment

    for name, base in specs.items():
        for tier in base.tiers or [""]:
            spec = load_experiment(base.path, tier=tier or None)
            what = base.tiers[tier].description if tier else ""
            spans = [", ".join(filter(None, _times_and_disk(spec, cores))) for cores in _CORES]
            spans.append(", ".join(filter(None, _times_and_disk(spec, _VIRTUAL_CORES, _LAPTOP_CORES))))
            yield {"name": name, "tier": tier, "what": what, "spans": spans}


def _times_and_disk(spec: "Experiment", cores: int, slots: int | None = None) -> tuple[str, str]:
    """Return the time and the disk space, as text, that an experiment takes in the lab of a computer with ``cores``
    cores.

    With ``slots``, it is measured in virtual time: on that many cores, with up to ``cores`` virtual CPUs per gateway.
    The time is a range if the number of rounds depends on the results.
    """
    from orchestrator.cli.lessons import untaught
    from orchestrator.cli.spec import duration, size
    from orchestrator.errors import UserError
    from orchestrator.plan import estimate, lab_capabilities, make_plan, virtual_lab_capabilities
    from orchestrator.spec import OWN_CPUS
    from orchestrator.spec.catalog import known_variants

    try:
        variants = known_variants()
        able = lab_capabilities(cores, variants)
        if slots is not None:
            able = virtual_lab_capabilities(cores, slots, variants, OWN_CPUS)
        plan = make_plan(spec, able)
    except UserError:
        return "nothing to measure", ""
    lessons = untaught(slots, able.role_cpus)
    most = estimate(plan, lessons)
    least = estimate(plan, lessons, plan.repetitions.min) if plan.repetitions.width is not None else most
    times = dict.fromkeys(duration(part.seconds) for part in (least, most))
    return " to ".join(times), size(most.disk_bytes)
