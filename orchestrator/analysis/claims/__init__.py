# SPDX-License-Identifier: Apache-2.0
"""Verdicts of a run on published claims: reproduced, not reproduced, undecided, or not testable here, and why.

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
from orchestrator.errors import UserError
from orchestrator.spec import Claim, load_claim
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
    "statuses_of",
    "verify",
    "write_verdicts",
]


@cache
def load_claims(folder: Path | None = None) -> tuple[Claim, ...]:
    """Return the claims in a folder, by default experiments/claims, in the order of their numbers.

    Raises SpecError with every error in a file.
    """
    found = [load_claim(path) for path in (folder or paths.CLAIMS).glob("*.yaml")]
    return tuple(sorted(found, key=lambda claim: int(claim.claim[1:])))


def claim_named(name: str) -> Claim:
    """Return the claim with a name such as C4. Raises UserError if there is none."""
    by_name = {claim.claim: claim for claim in load_claims()}
    if name.upper() not in by_name:
        raise UserError(f"There is no claim {name} in experiments/claims.{did_you_mean(name, by_name)}")
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


def verify(run: Run, claims: Iterable[Claim] | None = None) -> Verdicts:
    """Return a run's verdicts on claims, in the order of the claims.

    The default is all claims about the factors that the run varies, or none if its spec says ``claims: none``. A run
    that measured neither throughput nor packet rates has no verdicts.
    """
    if not run.quantity.is_throughput or (claims is None and not asks_for_claims(run)):
        return Verdicts()
    seen, included = observe(run), with_invalid(run)
    asked = tuple(claims) if claims is not None else tuple(claim for claim in load_claims() if concerns(claim, seen))
    found = Verdicts(judge(claim, seen) for claim in asked)
    if included is None:
        return found
    other = observe(included.run)
    return Verdicts(
        replace(verdict, with_invalid=sentence(included, conclusion(verdict), conclusion(judge(claim, other))))
        for claim, verdict in zip(asked, found, strict=True)
    )
