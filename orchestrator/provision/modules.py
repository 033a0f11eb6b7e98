# SPDX-License-Identifier: Apache-2.0
"""The wireguard modules as provisioning leaves them on a host: where they are, and what each was made from."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import cache

MODULES_AT = "/usr/local/lib/orch/modules"


def installed_at(release: str, build: str) -> str:
    """Where provisioning puts a build of the module for a kernel release, on a host."""
    return f"{MODULES_AT}/{release}/{build}/wireguard.ko"


@dataclass(frozen=True, slots=True)
class WantedModule:
    """A build of the module that a host must have for the kernel ``release``.

    ``made_from``: a hash of what it is made from; ``source``: the file, where this computer has it; else it is built on
    the host. ``own``: with a series of ours.
    """

    build: str
    release: str
    made_from: str
    source: Path | None
    own: bool = False

    @property
    def folder(self) -> str:
        """Where it is on the host, with a file ``stamp``: what it was made from, and the SHA-256 of what was made."""
        return str(Path(self.path).parent)

    @property
    def path(self) -> str:
        return installed_at(self.release, self.build)


def from_here(build: str, product: cache.Product) -> WantedModule:
    """A module that this computer has built."""
    source = product.path / "wireguard.ko"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return WantedModule(build, product.description["facts"]["release"], digest, source)


def variables(wanted: list[WantedModule]) -> Mapping[str, Any]:
    """For the playbook, of one host."""
    return {
        "orch_modules": [
            {"build": m.build, "folder": m.folder, "source": str(m.source), "stamp": f"{m.made_from} {m.made_from}"}
            for m in wanted
            if m.source is not None
        ],
        "orch_modules_to_build": [
            {"build": m.build, "folder": m.folder, "stamp": m.made_from, "own": m.own}
            for m in wanted
            if m.source is None
        ],
    }
