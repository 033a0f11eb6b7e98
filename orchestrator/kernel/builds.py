# SPDX-License-Identifier: Apache-2.0
"""Builds of the wireguard module: upstream's code as it is, with our series, or with code that a variant brings.

The files of a build are a ``series`` file, ``patches/`` (-p1 from the root of the kernel source) and, where there are
files of its own, ``src/``, which are copied over drivers/net/wireguard first.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.hashing import hash_contents
from orchestrator.paths import KERNEL
from orchestrator.spec.variants import MULTITUNNEL, UPSTREAM, OwnCode
from orchestrator.store.files import walk

_SERIES = "series"
_ODD = re.compile(r"[^A-Za-z0-9._-]")  # a series has a name a line, and comments


@dataclass(frozen=True, slots=True)
class Build:
    """A build. ``base``: the shipped build that it is, or goes on; ``files``: by path, none for upstream's code."""

    name: str
    base: str
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def patched(self) -> bool:
        """Whether it is other code than upstream's."""
        return bool(self.files)

    @property
    def digest(self) -> str:
        """A hash of the files; empty where there are none."""
        contents = ((path, False, content) for path, content in self.files.items())
        return hash_contents(contents) if self.files else ""

    def write(self, folder: Path) -> None:
        """Write the files into a folder."""
        for path, content in self.files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def _shipped(name: str, folder: Path) -> Build:
    files = [Path(entry.path) for entry in walk(folder) if entry.is_file()]
    return Build(name, name, {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(files)})


def shipped_builds() -> dict[str, Build]:
    """The builds of kernel/, by name."""
    return {UPSTREAM: Build(UPSTREAM, UPSTREAM), MULTITUNNEL: _shipped(MULTITUNNEL, KERNEL / "wireguard")}


def build_of(code: OwnCode) -> Build:
    """The build of code that a variant brings: its base, then its source, then its patches."""
    files = dict(shipped_builds()[code.base].files)
    files |= {f"src/{path}": content for path, content in code.source}
    # The base's patches are for the base's source, so that they come first.
    names = [f"own-{number:04}-{_ODD.sub('-', name)}" for number, (name, _) in enumerate(code.patches, 1)]
    files |= {f"patches/{name}": content for name, (_, content) in zip(names, code.patches, strict=True)}
    files[_SERIES] = files.get(_SERIES, b"") + "".join(f"{name}\n" for name in names).encode()
    return Build(code.build, code.base, dict(sorted(files.items())))


def build_named(name: str) -> Build:
    """A shipped build. UserError for one that is not there."""
    builds = shipped_builds()
    if name not in builds:
        raise UserError(f"There is no build {name!r} of the WireGuard module; there are: {', '.join(builds)}.")
    return builds[name]


def needed_builds(own: Iterable[OwnCode] = ()) -> list[Build]:
    """What a testbed has: the shipped builds, by name, and those of code that variants of an experiment bring."""
    return [*sorted(shipped_builds().values(), key=lambda build: build.name), *map(build_of, own)]
