# SPDX-License-Identifier: Apache-2.0
"""What a run shows about published claims: reproduced, not reproduced, undecided, or not testable here, and why.

`standing`: what a kind of run may say at all. `places`: where in a run a claim is judged. `judging`: how.
A run in virtual time never says plainly that a claim is reproduced: it says "reproduced in virtual time", and the other
verdicts in the same way.
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
    """The claims of a folder, by default experiments/claims, in the order of their numbers.

    Raises SpecError with every mistake of a file.
    """
    found = [load_claim(path) for path in (folder or paths.CLAIMS).glob("*.yaml")]
    return tuple(sorted(found, key=lambda claim: int(claim.claim[1:])))


def claim_named(name: str) -> Claim:
    """The claim of a name such as C4. Raises UserError where there is none."""
    by_name = {claim.claim: claim for claim in load_claims()}
    if name.upper() not in by_name:
        raise UserError(f"There is no claim {name} in experiments/claims.{did_you_mean(name, by_name)}")
    return by_name[name.upper()]


def concerns(claim: Claim, seen: Observed) -> bool:
    """Whether a claim is about the factors that a run varies: without them, or with others, no cell is the claim's."""
    varied = {name for cell in seen.cells for name in cell.more}
    sides = (side for test in claim.tests for side in (test.of, test.to) if side is not None)
    return varied == {name for side in sides for name in side.more}


def asks_for_claims(run: Run) -> bool:
    """Return whether the spec of a run leaves claims to be judged, which is so unless it says ``claims: none``."""
    return (run.meta.get("spec") or {}).get("claims") != "none"


def verify(run: Run, claims: Iterable[Claim] | None = None) -> Verdicts:
    """Return the verdicts of a run on claims, in their order. By default these are all claims about the factors that it
    varies, or none if its spec says ``claims: none``. A run that measured neither throughput nor packet rates has none.
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
