# SPDX-License-Identifier: Apache-2.0
"""Claims of your own, in a file that a spec names."""

import functools
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Annotated, ClassVar

from pydantic import AfterValidator

from orchestrator.spec.claims import Claim, with_keys_of_tools
from orchestrator.spec.document import Items, Mapping, Node, parse, place_of
from orchestrator.spec.fields import expected
from orchestrator.spec.problems import Problem, SourceText, SpecError, did_you_mean
from orchestrator.spec.validation import build


def _own_id(value: str) -> str:
    if not re.fullmatch(r"[ABD-Z][1-9][0-9]?", value):
        raise expected(
            "a capital letter other than C and a number, such as H1", because="C1, C2 and so on are published claims"
        )
    return value


class OwnClaim(Claim):
    """A claim of your own: judged in runs of the spec that names its file, wherever they are measured."""

    is_own: ClassVar[bool] = True

    claim: Annotated[str, AfterValidator(_own_id)]
    experiment: str = ""


@functools.cache
def own_claim_model() -> type[Claim]:
    """Return the model of a claim of your own, whose cells have the keys of this program's tools."""
    return with_keys_of_tools(OwnClaim)


def read_own_claims(source: SourceText, variants: Iterable[str] | None = None) -> tuple[Claim, ...]:
    """Return the claims in the text of a file of your own: one claim, or a list of them.

    ``variants``: the variants that a claim may name; None for any. Raises SpecError with all errors of the file and
    their locations.
    """
    claims, problems = _claims_of(source, None if variants is None else tuple(variants))
    if problems:
        raise SpecError(source.name, problems)
    return claims


def _claims_of(source: SourceText, variants: Collection[str] | None) -> tuple[tuple[Claim, ...], list[Problem]]:
    """Return the claims in a file of your own, which has one claim or a list of them, and all errors.

    ``variants``: the variants that a claim may name; None for any. Raises SpecError if the file is not YAML.
    """
    root, problems = parse(source)
    nodes = root.items if isinstance(root, Items) else [root]
    claims: list[Claim] = []
    for node in nodes:
        claim, refused = build(own_claim_model(), node)
        problems += refused
        if claim is None:
            continue
        if claim.claim in (one.claim for one in claims):
            message = f"The claim {claim.claim} is already in this file. Give each claim another number."
            problems.append(Problem(message, place_of(node, ("claim",))))
        if variants is not None:
            problems += _unknown_variants(claim, node, variants)
        claims.append(claim)
    if not nodes:
        message = "There is no claim in this list. Add one, or write `claims: none` in the spec."
        problems.append(Problem(message, root.span))
    return tuple(claims), problems


def _unknown_variants(claim: Claim, node: Node, variants: Collection[str]) -> Iterator[Problem]:
    for number, test in enumerate(claim.tests):
        for side, cells in (("of", test.of), ("to", test.to)):
            if cells is not None and cells.variant not in variants:
                where = place_of(node, ("tests", number, side, "variant"))
                yield Problem(f"There is no variant {cells.variant}.{did_you_mean(cells.variant, variants)}", where)


def is_own_claims_file(root: Node) -> bool:
    """Return whether a YAML file has claims of your own, rather than a published claim or anything else."""
    nodes = root.items if isinstance(root, Items) else [root]
    ids = [node.entries.get("claim") for node in nodes if isinstance(node, Mapping)]
    if not ids or any(one is None for one in ids):
        return False
    return isinstance(root, Items) or not str(getattr(ids[0], "value", "")).startswith("C")
