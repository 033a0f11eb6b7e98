# SPDX-License-Identifier: Apache-2.0
"""Builds of the wireguard module: upstream's code, with our patch series, or with code from a variant.

The files of a build are a ``series`` file, ``patches/`` (-p1 from the root of the kernel source) and, if it has source
files of its own, ``src/``, which is copied over drivers/net/wireguard first.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.hashing import hash_contents
from orchestrator.listing import files_below
from orchestrator.paths import KERNEL
from orchestrator.spec.variants import MULTITUNNEL, UPSTREAM, OwnCode

_SERIES = "series"
_ODD = re.compile(r"[^A-Za-z0-9._-]")  # a series file has one name per line, and # begins a comment


@dataclass(frozen=True, slots=True)
class Build:
    """A build of the wireguard module. ``base``: the shipped build that it is or extends; ``files``: contents by path,
    empty for upstream's code."""

    name: str
    base: str
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def patched(self) -> bool:
        """True if the code differs from upstream's."""
        return bool(self.files)

    @property
    def digest(self) -> str:
        """A hash of the files; empty for upstream's code."""
        contents = ((path, False, content) for path, content in self.files.items())
        return hash_contents(contents) if self.files else ""

    def write(self, folder: Path) -> None:
        """Write the files into a folder."""
        for path, content in self.files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def _shipped(name: str, folder: Path) -> Build:
    return Build(name, name, {path.relative_to(folder).as_posix(): path.read_bytes() for path in files_below(folder)})


def shipped_builds() -> dict[str, Build]:
    """Return the builds of kernel/, by name."""
    return {UPSTREAM: Build(UPSTREAM, UPSTREAM), MULTITUNNEL: _shipped(MULTITUNNEL, KERNEL / "wireguard")}


def build_of(code: OwnCode) -> Build:
    """Return the build of a variant's own code: the files of its base, then the variant's source files, then its
    patches."""
    files = dict(shipped_builds()[code.base].files)
    files |= {f"src/{path}": content for path, content in code.source}
    # The base's patches are for the base's source, so that they come first.
    names = [f"own-{number:04}-{_ODD.sub('-', name)}" for number, (name, _) in enumerate(code.patches, 1)]
    files |= {f"patches/{name}": content for name, (_, content) in zip(names, code.patches, strict=True)}
    files[_SERIES] = files.get(_SERIES, b"") + "".join(f"{name}\n" for name in names).encode()
    return Build(code.build, code.base, dict(sorted(files.items())))


def build_named(name: str) -> Build:
    """Return a shipped build. Raises UserError if there is none with that name."""
    builds = shipped_builds()
    if name not in builds:
        raise UserError(f"There is no build {name!r} of the WireGuard module; there are: {', '.join(builds)}.")
    return builds[name]


def needed_builds(own: Iterable[OwnCode] = ()) -> list[Build]:
    """Return the builds that a testbed needs: the shipped ones, by name, and those of an experiment's own variants."""
    return [*sorted(shipped_builds().values(), key=lambda build: build.name), *map(build_of, own)]
