# SPDX-License-Identifier: Apache-2.0
"""The noise floor: a variant that is measured a second time in each round."""

from collections.abc import Iterable, Iterator

from orchestrator.spec.document import Items, Mapping, Scalar
from orchestrator.spec.problems import Problem

UNPATCHED = "vanilla"  # the variant with which one that is not a level of the spec is compared


def held_against(variant: str, variants: Iterable[str]) -> str | None:
    """Return the variant that the second measurement of ``variant`` is compared with: itself if it is in the spec, else
    vanilla, which patched-off should equal; None if there is neither."""
    names = set(variants)
    return variant if variant in names else UNPATCHED if UNPATCHED in names else None


def problems(tree: Mapping) -> Iterator[Problem]:
    """Yield a problem if the noise floor has nothing to be compared with."""
    node, factors = tree.entries.get("noise_floor"), tree.entries.get("factors")
    levels = factors.entries.get("variant") if isinstance(factors, Mapping) else None
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not isinstance(levels, Items):
        return
    names = [str(item.value) for item in levels.items if isinstance(item, Scalar)]
    if held_against(node.value, names) is None:
        message = (
            f"noise_floor: {node.value} is not among the variants, and neither is {UNPATCHED}, which it would be "
            "compared "
            f"with. Name one of {', '.join(names)}, or add {UNPATCHED}."
        )
        yield Problem(message, node.span)
