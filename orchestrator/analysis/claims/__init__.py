# SPDX-License-Identifier: Apache-2.0
"""Verdicts of a run on published claims, or on those of its spec's own: reproduced, not reproduced, undecided, or not
testable here, and why.

`standing`: what each kind of run may conclude. `places`: where in a run a claim is judged. `judging`: how. A run in
virtual time never says plainly that a claim is reproduced: it says "reproduced in virtual time", and likewise for the
other verdicts.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

from orchestrator import paths
from orchestrator.analysis.claims.judging import judge
from orchestrator.analysis.claims.observed import Observed, observe
from orchestrator.analysis.claims.standing import STANDINGS
from orchestrator.analysis.claims.verdicts import (
    NAME,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    UNDECIDED,
    ClaimEvidence,
    ClaimVerdict,
    Verdicts,
    conclusion,
    statuses_of,
    write_verdicts,
)
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.sensitivity import sentence, with_invalid
from orchestrator.analysis.stored import own_claims
from orchestrator.errors import UserError
from orchestrator.listing import ending_in
from orchestrator.spec import Claim, load_claim
from orchestrator.spec.own_files import is_own_claims
from orchestrator.spec.problems import did_you_mean

__all__ = [
    "NAME",
    "NOT_REPRODUCED",
    "NOT_TESTABLE",
    "REPRODUCED",
    "STANDINGS",
    "UNDECIDED",
    "ClaimEvidence",
    "ClaimVerdict",
    "Verdicts",
    "asks_for_claims",
    "claim_named",
    "judge",
    "load_claims",
    "observe",
    "own_claims_file",
    "statuses_of",
    "verify",
    "write_verdicts",
]


@cache
def load_claims(folder: Path | None = None) -> tuple[Claim, ...]:
    """Return the claims in a folder, by default experiments/claims, in the order of their numbers.

    Raises SpecError with every error in a file.
    """
    found = [load_claim(path) for path in ending_in(folder or paths.CLAIMS, ".yaml")]
    return tuple(sorted(found, key=lambda claim: int(claim.claim[1:])))


def claim_named(name: str, run: Run | None = None) -> Claim:
    """Return the claim of a name such as C4, or one of a run's own such as H1. Raises UserError if there is none."""
    own = own_claims(run) if run is not None else ()
    by_name = {claim.claim: claim for claim in (*own, *load_claims())}
    if name.upper() not in by_name:
        where = "the claims of this run, or in experiments/claims" if own else "experiments/claims"
        raise UserError(f"There is no claim {name} in {where}.{did_you_mean(name, by_name)}")
    return by_name[name.upper()]


def concerns(claim: Claim, seen: Observed) -> bool:
    """Return whether a claim is about the factors that a run varies; otherwise no cell of the run belongs to the
    claim."""
    varied = {name for cell in seen.cells for name in cell.more}
    sides = (side for test in claim.tests for side in (test.of, test.to) if side is not None)
    return varied == {name for side in sides for name in side.more}


def asks_for_claims(run: Run) -> bool:
    """Return whether claims are judged for a run, which is the case unless its spec says ``claims: none``."""
    return (run.meta.get("spec") or {}).get("claims") != "none"


def own_claims_file(run: Run) -> str:
    """Return the path of the claims file that the spec of a run names, relative to the spec; empty if it names none."""
    named = str((run.meta.get("spec") or {}).get("claims") or "")
    return named if is_own_claims(named) else ""


def verify(run: Run, claims: Iterable[Claim] | None = None) -> Verdicts:
    """Return a run's verdicts on claims, in the order of the claims.

    The default is all published claims about the factors that the run varies; the claims of a file if its spec names
    one; none if it says ``claims: none``. A run that measured neither throughput nor packet rates has no verdicts.
    """
    if not run.quantity.is_throughput or (claims is None and not asks_for_claims(run)):
        return Verdicts()
    seen, included = observe(run), with_invalid(run)
    if claims is not None:
        asked = tuple(claims)
    else:
        asked = own_claims(run) or tuple(claim for claim in load_claims() if concerns(claim, seen))
    found = Verdicts(judge(claim, seen) for claim in asked)
    if included is None:
        return found
    other = observe(included.run)
    return Verdicts(
        replace(verdict, with_invalid=sentence(included, conclusion(verdict), conclusion(judge(claim, other))))
        for claim, verdict in zip(asked, found, strict=True)
    )
