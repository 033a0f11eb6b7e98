# SPDX-License-Identifier: Apache-2.0
"""Which runs may reproduce a claim of the paper: one rule, from which the pages that state it are generated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.store.clock import VIRTUAL

PLAINLY, IN_VIRTUAL_TIME, NOT_AT_ALL = "plainly", "in virtual time", "not at all"
_TOPOLOGY = "site-to-site"


@dataclass(frozen=True, slots=True)
class VerdictScope:
    """The kind of verdict that runs of a kind may give on a claim: PLAINLY, IN_VIRTUAL_TIME or NOT_AT_ALL, and why.

    ``kind``: the runs, as a plural noun. ``because``: a clause that can follow a colon.
    """

    kind: str
    may: str
    because: str


@dataclass(frozen=True, slots=True)
class Facts:
    """The deciding facts: the run's topology, its testbed's provider (empty if unknown), its clock, and whether
    processors were emulated."""

    topology: str
    provider: str
    clock: str
    emulated: bool


# The first entry whose condition holds applies.
_RULES: tuple[tuple[VerdictScope, Callable[[Facts], bool]], ...] = (
    (
        VerdictScope(
            f"runs that are not {_TOPOLOGY}",
            NOT_AT_ALL,
            f"the claims are about traffic between networks behind the gateways, so only {_TOPOLOGY} runs can"
            " reproduce one",
        ),
        lambda facts: facts.topology != _TOPOLOGY,
    ),
    (
        VerdictScope("emulated runs", NOT_AT_ALL, "emulated processors show that it works and not how fast"),
        lambda facts: facts.emulated,
    ),
    (
        VerdictScope(
            "runs in virtual time",
            IN_VIRTUAL_TIME,
            "virtual CPUs count as cores, without caches, memory bandwidth and network cards: a verdict always says so",
        ),
        lambda facts: facts.clock == VIRTUAL,
    ),
    (
        VerdictScope(
            "runs on real hosts",
            PLAINLY,
            "gateways with cores of their own and network cards are what the claims are about",
        ),
        lambda facts: facts.provider == "ssh",
    ),
    (
        VerdictScope(
            "runs in the lab or in guests on one computer",
            NOT_AT_ALL,
            "all roles share the cores of one computer and there are no network cards, which the claims are about",
        ),
        lambda facts: True,
    ),
)

STANDINGS = tuple(standing for standing, _ in _RULES)


OWN_CLAIMS = VerdictScope(
    "runs of a spec with claims of your own",
    PLAINLY,
    "a claim of your own is about what its author says, wherever it is measured",
)


def standing_of(facts: Facts) -> VerdictScope:
    """Return what a run may conclude about a claim."""
    return next(standing for standing, holds in _RULES if holds(facts))


def standing_of_own(facts: Facts) -> VerdictScope:
    """Return what a run may say about a claim of the spec's own: in virtual time the verdict says so, as everywhere,
    and an emulated run decides nothing."""
    return standing_of(Facts(_TOPOLOGY, "", facts.clock, True)) if facts.emulated else OWN_CLAIMS


def facts_of(meta: Mapping[str, Any], topology: str, clock: str) -> Facts:
    """Return the facts in the content of a run.json. For a pool with several providers, they are those of the least
    able."""
    testbed = meta.get("testbed") or {}
    return Facts(topology, str(testbed.get("provider") or ""), clock, bool(testbed.get("emulated")))
