# SPDX-License-Identifier: Apache-2.0
"""Sentences on a plan, shown before it is carried out."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.plan import Capabilities, Plan
    from orchestrator.spec import Experiment
    from orchestrator.stats import Detectable


def told_by_comparing(planned: "Plan") -> "Detectable":
    """Return the difference that `orch compare` can detect between two runs of a plan, each with its minimum of
    rounds."""
    from orchestrator.stats import detectable

    cells = len({cell for block in planned.blocks for cell in block.cells})
    trials = planned.repetitions.min * planned.repetitions.boots
    return detectable(cells, trials, trials, boots=planned.repetitions.boots)


def comparing_sentence(planned: "Plan") -> str:
    """Return a sentence on the difference that `orch compare` can detect between two runs of a plan."""
    return f"Between two runs of this plan (`orch compare`), {told_by_comparing(planned).sentence}."


def probes_sentence(experiment: "Experiment") -> str:
    """Return a sentence on what the probes of an experiment measure, and when; empty without probes."""
    parts = []
    if experiment.trace is not None:
        parts.append(f"{experiment.trace} in one more trial of each cell")
    if getattr(experiment.traffic, "latency", None) is not None:
        apart = experiment.traffic.tool == "pktgen"
        parts.append(f"latency beside {'loads of its own' if apart else 'the traffic of each trial'}")
    if experiment.probes:
        parts.append(f"{', '.join(experiment.probes)} beside the traffic of each trial")
    return f"Probes: {'; '.join(parts)}." if parts else ""


def boots_sentence(planned: "Plan", able: "Capabilities") -> str:
    """Return sentences on a plan's boots; empty if each block has one boot."""
    boots = planned.repetitions.boots
    if boots == 1:
        return ""
    spread = "in passes over the core counts, each in its own order" * (planned.order == "random")
    said = f"Each number of cores has {boots} boots, {spread or 'pass by pass'}."
    if not able.restarts:
        said += (
            " This testbed does not restart its hosts for a block: it sets CPUs, links and settings again, so that "
            "all of them count as one boot, and what differs from one restart to the next is not in the results. "
            "`restart: true` in the file of hosts that are reached by SSH allows restarts."
        )
    return said


def clock_sentence(planned: "Plan", able: "Capabilities") -> str:
    """Return one or two sentences on a plan's virtual time; empty in real time."""
    from orchestrator.spec import OWN_CPUS, machine_cpus
    from orchestrator.store.clock import RunVirtualTime

    if able.slots is None:
        return ""
    cores = max(block.cores for block in planned.blocks)
    each = cores if able.role_cpus == OWN_CPUS else None
    time = RunVirtualTime(machine_cpus(cores, able.role_cpus), (able.slots,), (), each)
    return f"{time.sentence} {time.whose}".rstrip()
