# SPDX-License-Identifier: Apache-2.0
"""The wireguard modules that provisioning installs on a host: their paths, and the inputs from which each was built."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import cache
from orchestrator.hashing import sha256_of

MODULES_AT = "/usr/local/lib/orch/modules"


def installed_at(release: str, build: str) -> str:
    """Return the path at which provisioning installs a build of the module for a kernel release on a host."""
    return f"{MODULES_AT}/{release}/{build}/wireguard.ko"


@dataclass(frozen=True, slots=True)
class WantedModule:
    """A build of the module that a host must have for the kernel ``release``.

    ``made_from``: a hash of its inputs; ``source``: the module's file on this computer, or None if it is to be built on
    the host; ``own``: it has a patch series of ours.
    """

    build: str
    release: str
    made_from: str
    source: Path | None
    own: bool = False

    @property
    def folder(self) -> str:
        """The module's folder on the host. Its file ``stamp`` holds ``made_from`` and the SHA-256 of the module."""
        return str(Path(self.path).parent)

    @property
    def path(self) -> str:
        return installed_at(self.release, self.build)


def from_here(build: str, product: cache.Product) -> WantedModule:
    """Return a module that was built on this computer."""
    source = product.path / "wireguard.ko"
    digest = sha256_of(source)
    return WantedModule(build, product.description["facts"]["release"], digest, source)


def variables(wanted: list[WantedModule]) -> Mapping[str, Any]:
    """Return the playbook variables for one host."""
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
