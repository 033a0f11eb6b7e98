# SPDX-License-Identifier: Apache-2.0
"""The campaign: every block, round and trial of a plan, each stored when it has ended."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator import cache
from orchestrator.errors import TestbedError
from orchestrator.kernel.variants import Variant, variant
from orchestrator.plan import NO_VARIANT, Block, Plan, Trial
from orchestrator.progress import Progress
from orchestrator.run import layout
from orchestrator.run.attempt import Outcome, run_attempt
from orchestrator.run.provenance import source_identity, versions
from orchestrator.store import RunDirectory, new_run_id
from orchestrator.store.writing import now
from orchestrator.testbed.computer import describe
from orchestrator.testbed.protocol import State, Testbed

if TYPE_CHECKING:
    from orchestrator.spec import Experiment


class CampaignProgress(Progress, Protocol):
    """What the display of a campaign is told beyond a Progress."""

    def plan(self, plan: Plan) -> None: ...

    def block(self, block: Block) -> None: ...

    def attempt(self, trial: Trial, attempt: int) -> None: ...

    def traffic(self, trial: Trial) -> None: ...

    def result(self, trial: Trial, attempt: int, outcome: Outcome) -> None: ...


@dataclass
class Summary:
    """How a campaign ended: trials by status, and why blocks were given up."""

    path: Path
    statuses: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False
    given_up: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Campaign:
    """A plan with all that is needed to carry it out."""

    spec: "Experiment"
    plan: Plan
    results: Path
    progress: CampaignProgress

    def variants(self) -> dict[str, Variant]:
        """The variants that the plan uses, by name."""
        names = {trial.levels.variant for trial in self.plan.trials} - {NO_VARIANT}
        return {name: variant(name) for name in sorted(names)}


def carry_out(campaign: Campaign, testbed: Testbed) -> Summary:
    """Run the campaign on an entered testbed. Finished attempts are stored as they end, whatever comes after.

    KeyboardInterrupt ends it cleanly: the attempt in flight is discarded, the rest is kept.
    """
    plan, spec = campaign.plan, campaign.spec
    run_id = new_run_id()
    folder = RunDirectory(campaign.results / plan.experiment / run_id, _description(campaign, testbed, run_id))
    summary = Summary(folder.path)
    campaign.progress.plan(plan)
    try:
        for block in plan.blocks:
            _carry_out_block(campaign, testbed, block, folder, summary, spec.retries)
    except KeyboardInterrupt:
        summary.interrupted = True
    finally:
        folder.finish("interrupted" if summary.interrupted else "finished")
    summary.statuses["missing"] = len(plan.trials) - sum(summary.statuses.values())
    return summary


def _description(campaign: Campaign, testbed: Testbed, run_id: str) -> dict[str, Any]:
    plan, spec = campaign.plan, campaign.spec
    return {
        "schema": 1,
        "run_id": run_id,
        "experiment": plan.experiment,
        "description": spec.description,
        "tier": plan.tier,
        "spec_text": spec.text,
        "spec_hash": spec.spec_hash,
        "spec": spec.model_dump(mode="json"),
        "overrides": list(spec.overrides),
        "plan": plan.to_json(),
        "versions": versions(),
        "source": source_identity(),
        "testbed": {
            "name": testbed.name,
            "provider": testbed.provider,
            "hosts": [{"name": name, "roles": list(roles)} for name, roles in testbed.hosts],
            "label": testbed.label,
            "emulated": testbed.emulated,
            "max_cores": max(block.cores for block in plan.blocks),
        },
        "environment": {"computer": describe(), "testbed": dict(testbed.environment())},
        "started_at": now(),
        "ended_at": None,
        "state": "running",
    }


class _Block:
    """A block on its way: the testbed prepared for it, again after a host was lost."""

    def __init__(self, campaign: Campaign, testbed: Testbed, block: Block, folder: RunDirectory) -> None:
        self._campaign, self._testbed, self._block, self._folder = campaign, testbed, block, folder
        self.ready = False
        self.facts: Mapping[str, Any] = {}

    def prepare(self) -> None:
        """Boot, and make roles and links. Raises TestbedError."""
        block = self._block
        began = time.monotonic()
        self._campaign.progress.detail(f"starting the testbed with {block.cores} core{'s' * (block.cores > 1)}")
        self.facts = self._testbed.prepare(State(block.cores))
        most = max(trial.levels.tunnels for trial in block.trials)
        links = layout.links_request(self._campaign.plan.topology, most)
        self._testbed.agent(layout.GATEWAYS[0]).request("links", timeout_s=30 + 0.1 * most, **links)
        seconds = time.monotonic() - began
        cache.learn_seconds(f"prepare/{self._testbed.provider}", seconds)
        self._folder.journal(
            "prepared", block=block.index, cores=block.cores, seconds=round(seconds, 3), hosts=self.facts
        )
        self.ready = True

    def host_fact(self, name: str) -> Any:
        return next((facts.get(name) for facts in self.facts.values()), None)


def _carry_out_block(
    campaign: Campaign, testbed: Testbed, block: Block, folder: RunDirectory, summary: Summary, retries: int
) -> None:
    variants = campaign.variants()
    campaign.progress.block(block)
    state = _Block(campaign, testbed, block, folder)
    for trial in block.trials:
        status = "missing"
        for _ in range(1 + retries):
            try:
                if not state.ready:
                    state.prepare()
            except TestbedError as error:
                state.ready = False
                folder.journal("prepare-failed", block=block.index, error=str(error))
                campaign.progress.message(f"Block {block.index} could not be prepared: {error}")
                status = "failed" if status == "missing" else status
                continue
            number = folder.next_attempt(trial.trial_id)
            campaign.progress.attempt(trial, number)
            started_at = now()
            outcome = run_attempt(
                testbed, trial, variants.get(trial.levels.variant), partial(campaign.progress.traffic, trial)
            )
            attempt = _attempt_record(testbed, trial, number, outcome, state, started_at)
            folder.add_attempt(attempt, outcome.raw)
            campaign.progress.result(trial, number, outcome)
            cache_overhead(testbed.provider, outcome)
            status = outcome.status
            state.ready = state.ready and not outcome.host_lost
            if status == "ok":
                break
        summary.statuses[status] += 1


def cache_overhead(provider: str, outcome: Outcome) -> None:
    """Teach the next plan's estimate how long a trial takes beyond its traffic."""
    if outcome.status == "ok":
        cache.learn_seconds(f"overhead/{provider}", outcome.measurements["overhead_s"])


def _attempt_record(
    testbed: Testbed, trial: Trial, number: int, outcome: Outcome, state: _Block, started_at: str
) -> dict[str, Any]:
    levels, traffic = trial.levels, trial.traffic
    return {
        "schema": 1,
        "trial_id": trial.trial_id,
        "attempt": number,
        **{name: getattr(trial, name) for name in ("kind", "block", "round", "order", "repetition", "topology")},
        "levels": {"variant": levels.variant, "cores": levels.cores, "tunnels": levels.tunnels},
        "testbed": testbed.name,
        "status": outcome.status,
        "reasons": outcome.reasons,
        "started_at": started_at,
        "ended_at": now(),
        "traffic": {
            name: getattr(traffic, name) for name in ("tool", "protocol", "streams", "warm_up_s", "duration_s")
        },
        "measurements": outcome.measurements,
        "probes": outcome.probes,
        "variant_build": outcome.variant_build,
        "kernel_release": state.host_fact("kernel_release"),
        "crypto": outcome.crypto,
        "realtime": outcome.boost.realtime,
    }


def needed_builds(variants: Sequence[Variant]) -> list[str]:
    """The module builds that variants need, sorted."""
    return sorted({v.build for v in variants})
