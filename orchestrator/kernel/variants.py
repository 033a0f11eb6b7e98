# SPDX-License-Identifier: Apache-2.0
"""The WireGuard variants that a spec can name: those of kernel/variants.yaml, and those in a file of the spec's own."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.paths import KERNEL
from orchestrator.spec.variants import WIREGUARD, Described, Variants, read_variants

VARIANTS_FILE = KERNEL / "variants.yaml"


@dataclass(frozen=True, slots=True)
class Variant:
    """A system under test with its settings.

    ``build``: the name of a build (`orchestrator.kernel.builds`), empty if the ``system`` is not WireGuard;
    ``threaded``: NAPI polls in threads of its own; ``settings``: per-device settings of the module, or settings of the
    system, by name; ``pinned``: the queued work of each tunnel is confined to one CPU; ``own_system``: the
    `orchestrator.systems.System` if it is not part of this program.
    """

    name: str
    description: str
    build: str
    threaded: bool
    pinned: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    system: str = WIREGUARD
    own_system: Any = field(default=None, compare=False, repr=False)


def shipped() -> Variants:
    """Return the descriptions in kernel/variants.yaml."""
    return read_variants(VARIANTS_FILE)


def load_variants(path: Path = VARIANTS_FILE) -> dict[str, Variant]:
    """Return all variants of a file by name. Raises SpecError, listing every mistake."""
    return {found.name: variant_of(found) for found in read_variants(path).described}


def variant_of(described: Described) -> Variant:
    """Return the variant that a file describes."""
    settings = dict(described.entry.settings)
    threaded, cpus = settings.pop("threaded", "false"), settings.pop("cpus", None)
    return Variant(
        described.name,
        described.entry.description,
        described.build,
        threaded == "true",
        cpus == "own",
        settings,
        described.system,
        described.own_system,
    )


def variant(name: str, own: Iterable[Described] = ()) -> Variant:
    """Return the variant with a name, from kernel/variants.yaml or an experiment's ``own``. Raises UserError, listing
    the known ones, if there is none."""
    known = load_variants() | {found.name: variant_of(found) for found in own}
    if name not in known:
        raise UserError(f"There is no variant {name!r}. {VARIANTS_FILE.name} has: {', '.join(known)}.")
    return known[name]
