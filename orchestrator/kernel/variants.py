# SPDX-License-Identifier: Apache-2.0
"""The WireGuard variants that specs name: kernel/variants.yaml."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from orchestrator.errors import UserError
from orchestrator.paths import KERNEL

VARIANTS_FILE = KERNEL / "variants.yaml"


@dataclass(frozen=True, slots=True)
class Variant:
    """A WireGuard build and its settings.

    ``build``: ``upstream`` or a folder of kernel/ with a series; ``threaded``: NAPI polls in threads of their own;
    ``settings``: the module's own per-device settings, by name; ``pinned``: the queued work of each tunnel is confined
    to one CPU.
    """

    name: str
    description: str
    build: str
    threaded: bool
    pinned: bool = False
    settings: dict[str, str] = field(default_factory=dict)


def load_variants(path: Path = VARIANTS_FILE) -> dict[str, Variant]:
    """All variants by name."""
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    found = {}
    for name, entry in content.items():
        settings = dict(entry.get("settings") or {})
        threaded = bool(settings.pop("threaded", False))
        cpus = settings.pop("cpus", None)
        if cpus not in (None, "own"):
            raise UserError(f"{path}: {name}: cpus is {cpus!r}; it can be `own`, or left out.")
        own = {str(key): str(value) for key, value in settings.items()}
        found[name] = Variant(name, entry["description"], entry["build"], threaded, cpus == "own", own)
    return found


def needed_builds() -> list[str]:
    """The builds of the module that the variants load, each once, in order."""
    return sorted({variant.build for variant in load_variants().values()})


def variant(name: str) -> Variant:
    """One variant; UserError names the known ones."""
    known = load_variants()
    if name not in known:
        raise UserError(f"There is no variant {name!r}. {VARIANTS_FILE.name} has: {', '.join(known)}.")
    return known[name]
