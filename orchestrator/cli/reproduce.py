# SPDX-License-Identifier: Apache-2.0
"""`orch reproduce`: from a claim of the paper to its verdict."""

import sys
from typing import Annotated

import typer

from orchestrator.cli import options
from orchestrator.paths import EXPERIMENTS, RESULTS


def reproduce(
    claim: Annotated[str, typer.Argument(help="A claim of experiments/claims, for instance C4.")],
    tier: options.Tier = None,
    overrides: options.Overrides = None,
    testbed: options.Testbed = None,
    results: options.Results = RESULTS,
    resume: options.Resume = None,
    on_change: options.OnChange = None,
    wait: options.Wait = True,
    json_output: options.Json = False,
    yes: options.Yes = False,
) -> int:
    """Run the experiment that a claim needs, and give the verdict beside the published value.

    The exit status is 0 when it is reproduced, 1 when it is not, 4 when it cannot be tested here, and that of
    `orch run` when the run did not come to its end (2, 3, 130). On a testbed in virtual time it is 5 instead of 0 and 6
    instead of 1: reproduced in virtual time, and not reproduced in virtual time.
    """
    from orchestrator.analysis.claims import claim_named
    from orchestrator.analysis.dataset import load
    from orchestrator.cli.run import Request, conclude, draw, measure
    from orchestrator.cli.verify import judge

    wanted = claim_named(claim)
    spec = EXPERIMENTS / f"{wanted.experiment}.yaml"
    print(f"orch: {wanted.claim}: {wanted.statement}", file=sys.stderr)
    for scope in dict.fromkeys(wanted.scope_of(test) for test in wanted.tests):
        print(f"orch: It is judged at {scope}: {scope.because}.", file=sys.stderr)
    print("orch: Elsewhere it is measured and not judged.", file=sys.stderr)
    virtually = "Virtual CPUs count as cores (--testbed virtual-lab); the verdict then says “in virtual time”."
    print(f"orch: {virtually}", file=sys.stderr)
    summary = measure(Request(spec, results, tier, overrides, testbed, None, resume, on_change, wait, yes))
    if summary.interrupted or summary.stopped or summary.unusable or not summary.statuses["ok"]:
        return conclude(summary, f"orch reproduce {wanted.claim}", json_output)
    if not json_output:
        print(summary.path)
    status = judge(load(summary.path), [wanted.claim], json_output)
    draw(summary)
    return status
