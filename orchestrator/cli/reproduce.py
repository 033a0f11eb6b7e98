# SPDX-License-Identifier: Apache-2.0
"""`orch reproduce`: run the experiment for a claim of the paper, and give the verdict."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import completion, options
from orchestrator.paths import EXPERIMENTS, RESULTS

if TYPE_CHECKING:
    from orchestrator.spec import Claim

NOT_ASKED_STATUS = 4
_VIRTUALLY = "orch reproduce {claim} --testbed {testbed} --tier claims"


def reproduce(
    claim: Annotated[
        str,
        typer.Argument(help="A claim from experiments/claims, for instance C4.", autocompletion=completion.claims),
    ],
    tier: options.Tier = None,
    overrides: options.Overrides = None,
    busy: options.Busy = None,
    testbed: options.Testbed = None,
    results: options.Results = RESULTS,
    resume: options.Resume = None,
    on_change: options.OnChange = None,
    wait: options.Wait = True,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Measure nothing. Show which verdicts are possible, and how long the run would take."
        ),
    ] = False,
    json_output: options.Json = False,
    yes: options.Yes = False,
) -> int:
    """Run the experiment that a claim needs, and show the verdict beside the published value.

    If the plan already shows that the claim cannot be tested, you are asked before anything is measured; --yes
    measures anyway. The exit status is 0 when the claim is reproduced, 1 when it is not, 4 when it cannot be
    tested here, and that of `orch run` when the run did not finish (2, 3, 130). On a testbed in virtual time
    it is 5 instead of 0 and 6 instead of 1: reproduced in virtual time, and not reproduced in virtual time. With
    --dry-run it is 0 where a verdict is possible, else 4.
    """
    from orchestrator.analysis.claims import claim_named
    from orchestrator.analysis.dataset import load
    from orchestrator.cli.run import conclude, draw, measure
    from orchestrator.cli.verify import judge
    from orchestrator.running import RunRequest

    wanted = claim_named(claim)
    spec = EXPERIMENTS / f"{wanted.experiment}.yaml"
    print(f"orch: {wanted.claim}: {wanted.statement}", file=sys.stderr)
    for scope in dict.fromkeys(wanted.scope_of(test) for test in wanted.tests):
        print(f"orch: It is judged at {scope}: {scope.because}.", file=sys.stderr)
    print("orch: Elsewhere it is measured but not judged.", file=sys.stderr)
    request = RunRequest(spec, results, tier, overrides, testbed, None, resume, on_change, wait, yes, None, busy)
    if resume is None or dry_run:
        testable = _foretell(wanted, spec, request.tier, request.overrides or (), testbed)
        if dry_run:
            return 0 if testable else NOT_ASKED_STATUS
        if not testable and not yes and not _measure_all_the_same():
            return NOT_ASKED_STATUS
    summary = measure(request)
    if summary.interrupted or summary.stopped or summary.unusable or not summary.statuses["ok"]:
        return conclude(summary, f"orch reproduce {wanted.claim}", json_output)
    if not json_output:
        print(summary.path)
    status = judge(load(summary.path), [wanted.claim], json_output)
    draw(summary)
    return status


def _foretell(claim: "Claim", path: Path, tier: str | None, overrides: Sequence[str], testbed: str | None) -> bool:
    """Print how long a run would take and which verdicts are possible. Return whether it can decide the claim."""
    from orchestrator.analysis.claims.possible import possible
    from orchestrator.analysis.claims.standing import Facts
    from orchestrator.cli.lessons import lessons
    from orchestrator.cli.spec import duration
    from orchestrator.plan import estimate, make_plan
    from orchestrator.spec import load_experiment, members_of
    from orchestrator.spec.claims import NO_TESTBED
    from orchestrator.testbed.choice import choose_testbed
    from orchestrator.testbed.pool import look, pool_capabilities

    experiment = load_experiment(path, tier=tier, overrides=overrides)
    bed, _ = choose_testbed(testbed or experiment.testbed_name_or_path, None)
    beds = members_of(bed)
    able = pool_capabilities({one.testbed: look(one) for one in beds})
    plan = make_plan(experiment, able, testbed=bed.testbed)
    facts = Facts(plan.topology, beds[0].provider, able.clock, emulated=False)
    found = possible(claim, plan, facts, restarts=able.restarts)
    own_boots = able.own_boots(plan.repetitions.boots)
    taught = lessons(beds[0].provider, able.slots, able.role_cpus, own_boots=own_boots)
    total = estimate(plan, taught, testbeds=able.testbeds)
    print(f"orch: On {bed.testbed} it takes {total.trials} trials, {duration(total.seconds)}.", file=sys.stderr)
    print(f"orch: Possible verdict: {' or '.join(found.verdicts)}.", file=sys.stderr)
    for reason in found.against:
        print(f"orch:   {reason}.", file=sys.stderr)
    if not found.testable and able.slots is None and claim.virtual_testbed != NO_TESTBED:
        command = _VIRTUALLY.format(claim=claim.claim, testbed=claim.virtual_testbed)
        print(f"orch: In virtual time a verdict is possible here: `{command}`.", file=sys.stderr)
    return found.testable


def _measure_all_the_same() -> bool:
    """Return the user's answer; False if nobody can answer."""
    if not sys.stdin.isatty():
        print("orch: Nothing was measured. Use --yes to measure anyway.", file=sys.stderr)
        return False
    print("orch: Measure anyway? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
