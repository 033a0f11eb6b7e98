# SPDX-License-Identifier: Apache-2.0
"""Opening a run's directory: a new one, or one to resume, once it is decided how to handle changes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from orchestrator.errors import UserError
from orchestrator.kernel.variants import Variant, variant
from orchestrator.plan import NO_VARIANT, Plan
from orchestrator.run.executor import Executor
from orchestrator.run.ledger import Ledger
from orchestrator.run.provenance import source_identity, versions
from orchestrator.run.session import Campaign, Session
from orchestrator.run.work import Describe, Opened
from orchestrator.spec import Traffic
from orchestrator.spec.variants import WIREGUARD
from orchestrator.store import RunDirectory, new_run_id
from orchestrator.store.changes import Change, changes_between, spec_changed
from orchestrator.store.reading import as_counted
from orchestrator.store.shape import SCHEMA
from orchestrator.store.writing import now
from orchestrator.systems import system_of
from orchestrator.testbed.computer import describe

if TYPE_CHECKING:
    from orchestrator.spec import Experiment

DECISIONS = ("keep", "rerun", "abort")
# The fields that describe the present session; the values that they replace are kept in the session's "was".
_OF_SESSION = (
    *("description", "tier", "spec_text", "spec_hash", "spec", "overrides", "arguments", "plan", "variants"),
    *("versions", "source", "testbed", "environment", "inputs"),
)


def variants_of(plan: Plan, spec: "Experiment") -> dict[str, Variant]:
    """Return the variants that an experiment's plan uses, by name."""
    names = {trial.levels.variant for trial in plan.iterate()} - {NO_VARIANT}
    return {name: variant(name, spec.own_variants.described) for name in sorted(names)}


def open_run(campaign: Campaign, executor: Executor) -> Session:
    """Open the directory of a new run, or of the one to resume; return the session with the plan to carry out and the
    results so far.

    Raises UserError if the run to resume does not exist, is of another experiment or is being written, or if something
    has changed and the decision is to abort; the directory is then left untouched.
    """
    plan, variants = campaign.plan, variants_of(campaign.plan, campaign.spec)
    work = Describe(tuple(sorted({variant.build for variant in variants.values()} - {""})))
    asked = {name: executor.submit(name, work, lambda text: None) for name in executor.testbeds}
    testbeds: dict[str, Opened] = {name: future.result() for name, future in asked.items()}
    described = _description(campaign, plan, variants, testbeds, executor)
    if campaign.resume is None:
        run_id = new_run_id()
        first = {"session": 1, "started_at": now(), "ended_at": None, "state": "running"}
        content = {"schema": SCHEMA, "run_id": run_id, "experiment": plan.experiment, **described}
        content |= {"started_at": now(), "ended_at": None, "state": "running", "sessions": [first]}
        folder, ledger = RunDirectory(campaign.results / plan.experiment / run_id, content), Ledger()
    else:
        folder, attempts = RunDirectory.reopen(campaign.resume)
        try:
            plan, ledger = _resume(folder, attempts, described, plan, campaign.spec.traffic, campaign.on_change)
        except BaseException:
            folder.close()
            raise
        variants = variants_of(plan, campaign.spec)
    if inputs := campaign.spec.inputs:
        folder.update(inputs=folder.keep_inputs(inputs))
    return Session(campaign.spec, plan, testbeds, variants, folder, ledger, campaign.progress)


def _resume(
    folder: RunDirectory,
    attempts: Sequence[dict[str, Any]],
    described: dict[str, Any],
    plan: Plan,
    traffic: Traffic,
    on_change: Callable[[Sequence[Change]], str],
) -> tuple[Plan, Ledger]:
    """Return the plan to carry out, and a ledger of the attempts that still count."""
    before = dict(folder.description)
    if before.get("experiment") != plan.experiment:
        raise UserError(
            f"{folder.path} is a run of the experiment {before.get('experiment')}, and the spec describes "
            f"{plan.experiment}. Give that run's spec, or another run."
        )
    if "sessions" not in before:
        raise UserError(f"{folder.path} was made by an older version and cannot be resumed. Start a new run.")
    try:
        plan, sessions, changes = _as_begun(before, described, plan, traffic)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{folder.path / 'run.json'} cannot be read as that of a run to resume ({type(error).__name__}: {error}). "
            "Restore it from a copy of the run."
        ) from error
    decision = on_change(changes) if changes else None
    if decision == "abort":
        listed = "\n".join(f"  {change}" for change in changes)
        raise UserError(
            f"Since {folder.path} was begun, something has changed:\n{listed}\nNothing was done. Use --on-change keep "
            "to keep what was measured, or --on-change rerun to measure again what a change concerns."
        )
    session: dict[str, Any] = {"session": len(sessions) + 1, "started_at": now(), "ended_at": None, "state": "running"}
    if changes:
        session |= {"changes": [asdict(change) for change in changes], "on_change": decision}
        session["was"] = {name: before.get(name) for name in _OF_SESSION if before.get(name) != described.get(name)}
    concerned = [change for change in changes if change.concerns != ()]
    if decision == "rerun" and concerned:
        session["repeats"] = _repeats(concerned)
    if changes:
        folder.write_stopping([])  # rewritten as blocks end
    fields = {**described, "sessions": [*sessions, session], "state": "running", "ended_at": None}
    fields["given_up"] = []
    folder.update(**fields)
    counted = as_counted(attempts, folder.description)
    folder.journal("run-resumed", session=session["session"], attempts=len(counted), on_change=decision)
    return plan, Ledger(counted)


def _as_begun(
    before: Mapping[str, Any], described: dict[str, Any], plan: Plan, traffic: Traffic
) -> tuple[Plan, list[dict[str, Any]], list[Change]]:
    """Return the plan to carry out, the earlier sessions, and what has changed. ``described`` is completed."""
    if not spec_changed(before, described):
        # Keep the original plan: if the testbed can do less by now, cells fail instead of vanishing.
        plan = Plan.from_json(before["plan"], traffic)
        described["plan"] = before["plan"]
        described["testbed"]["max_cores"] = before["testbed"]["max_cores"]
    sessions = [dict(session) for session in before["sessions"]]
    if sessions[-1]["state"] == "running":
        sessions[-1]["state"] = "killed"
    return plan, sessions, changes_between(before, described)


def _repeats(concerned: Sequence[Change]) -> dict[str, Any]:
    names: set[str] | None = set()
    for change in concerned:
        names = None if names is None or change.concerns is None else names | set(change.concerns)
    return {"because": "; ".join(map(str, concerned[:3])), "variants": None if names is None else sorted(names)}


def _description(
    campaign: Campaign,
    plan: Plan,
    variants: Mapping[str, Variant],
    testbeds: Mapping[str, Opened],
    executor: Executor,
) -> dict[str, Any]:
    spec = campaign.spec
    first = next(iter(testbeds.values()))
    many = len(testbeds) > 1
    alike = all(one.environment == first.environment for one in testbeds.values())
    return {
        "description": spec.description,
        "tier": plan.tier,
        "spec_text": spec.text,
        "spec_hash": spec.spec_hash,
        "spec": spec.model_dump(mode="json"),
        "overrides": list(spec.overrides),
        "arguments": dict(campaign.arguments),
        "plan": plan.to_json(),
        "variants": {
            name: {
                "description": variant.description,
                "build": variant.build,
                "build_id": ", ".join(sorted({one.builds.get(variant.build, "") for one in testbeds.values()})),
                "threaded": variant.threaded,
                "pinned": variant.pinned,
                "settings": dict(variant.settings),
                **_of_system(variant),
            }
            for name, variant in variants.items()
        },
        "versions": versions(),
        "source": source_identity(campaign.extensions),
        "testbed": {
            **(_of_pool(plan.testbed, testbeds, executor.computers) if many else _of_testbed(first)),
            "max_cores": max(block.cores for block in plan.blocks),
        },
        "environment": {
            "computer": describe() if many else dict(first.computer),
            "testbed": dict(first.environment) if alike else {},
            **({"testbeds": {name: _environment(one) for name, one in testbeds.items()}} if many else {}),
        },
    }


def _of_system(variant: Variant) -> dict[str, Any]:
    """Return the fields that name and describe a variant's system; none for WireGuard."""
    if variant.system == WIREGUARD:
        return {}
    system = system_of(variant)
    return {
        "system": variant.system,
        "system_label": system.label,
        "is": system.describe(variant.settings),
        "overhead": asdict(system.overhead),
    }


def _of_testbed(testbed: Opened) -> dict[str, Any]:
    return {
        "name": testbed.name,
        "provider": testbed.provider,
        "hosts": [{"name": name, "roles": list(roles)} for name, roles in testbed.hosts],
        "label": testbed.label,
        "emulated": testbed.emulated,
        **testbed.clock_json,
    }


def _of_pool(name: str, testbeds: Mapping[str, Opened], computers: Mapping[str, str]) -> dict[str, Any]:
    """Return the description of a pool, with the fields of a single testbed, and each testbed under ``members``.

    ``provider``: the providers' name if all are the same, else "pool". All have the same clock; the settings of virtual
    time are those of the testbed with the fewest slots.
    """
    fewest = min(testbeds.values(), key=lambda one: one.virtual.slots if one.virtual else 0)
    members = {one.name: _of_testbed(one) for one in testbeds.values()}
    providers = {one.provider for one in testbeds.values()}
    label = f"{len(testbeds)} testbeds at once; {'; '.join(f'{one.name}: {one.label}' for one in testbeds.values())}"
    if computers:
        label += f"; {' and '.join(computers)} share a computer: functional only, in no median and no ratio"
    return {
        "name": name,
        "provider": providers.pop() if len(providers) == 1 else "pool",
        "hosts": [{**host, "testbed": one} for one, member in members.items() for host in member["hosts"]],
        "label": label,
        "emulated": any(one.emulated for one in testbeds.values()),
        **fewest.clock_json,
        "members": members,
    }


def _environment(testbed: Opened) -> dict[str, Any]:
    """Return the environment of a testbed in a pool; it includes the computer, which may not be this one."""
    return {**testbed.environment, "computer": dict(testbed.computer)}
