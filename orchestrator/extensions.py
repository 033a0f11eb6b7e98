# SPDX-License-Identifier: Apache-2.0
"""Systems, tools and providers that this program has itself, that other packages offer, and that a file brings along.

Each kind has a `Registry`. What other packages offer are entry points of the group ``orch.`` and the kind, such as
``orch.providers``; the specification is "Entry points" in the Python Packaging User Guide. A file names what it brings
by a path: a module of one file, or a folder with an ``__init__.py``.
"""

import functools
import importlib
import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from orchestrator.errors import UserError
from orchestrator.hashing import hash_contents, hash_files
from orchestrator.paths import cache_home

OURS = "orch"  # where what this program has itself comes from


@dataclass(frozen=True, slots=True)
class Extension:
    """A system, a tool or a provider, and where it comes from.

    ``kind``: systems, tools or providers; ``name``: as it is recorded; ``target``: ``module:attribute``, or, where
    ``path`` is given, the attribute of the module that is there; ``origin``: ``orch``, a distribution with its version,
    or the path as a file names it.
    """

    kind: str
    name: str
    target: str
    origin: str
    path: Path | None = None

    @property
    def foreign(self) -> bool:
        """Whether it is no part of this program."""
        return self.origin != OURS

    @property
    def place(self) -> Path:
        """Where it is: its file, or the folder of its top package. Raises UserError where there is no such module."""
        if self.path is not None:
            return self.path
        top = self.target.partition(":")[0].partition(".")[0]
        try:
            found = importlib.util.find_spec(top)
        except ValueError:  # a module without a specification, such as __main__
            found = None
        if found is None or found.origin is None:
            raise UserError(f"{self._told} cannot be loaded: there is no module {top}. Install it again.")
        origin = Path(found.origin)
        return origin.parent if origin.name == "__init__.py" else origin

    @property
    def digest(self) -> str:
        """A hash over its files, or those of its top package: 16 hexadecimal digits. Raises UserError."""
        place = self.place
        try:
            return hash_files(_files_at(place), place.parent)[:16]
        except OSError as error:
            raise UserError(f"{self._told} cannot be read: {error}.") from error

    def load(self) -> Any:
        """What it is: the object that its module has under the attribute's name. Raises UserError."""
        module, _, attribute = self.target.rpartition(":")
        digest = self.digest if self.path is not None else ""
        try:
            found = _module_at(self.path, digest) if self.path is not None else importlib.import_module(module)
        except Exception as error:  # whatever somebody else's code raises
            raise UserError(f"{self._told} cannot be loaded: {type(error).__name__}: {error}.") from error
        try:
            return functools.reduce(getattr, attribute.split("."), found)
        except AttributeError as error:
            raise UserError(f"{self._told} cannot be loaded: its module has no {attribute}.") from error

    def packed(self) -> dict[str, bytes]:
        """Return the files of one that is at a path, by path relative to the folder in which it is. Raises UserError
        where they cannot be read."""
        place = self.place
        try:
            return {file.relative_to(place.parent).as_posix(): file.read_bytes() for file in _files_at(place)}
        except OSError as error:
            raise UserError(f"{self._told} cannot be read: {error}.") from error

    def unpacked(self, files: Mapping[str, bytes]) -> "Extension":
        """Return one with these files that can be loaded here: itself where it has them at its path, else one of this
        user's cache, where they are put. Raises UserError where they cannot be written."""
        assert self.path is not None
        try:
            if self.path.exists() and self.packed() == files:
                return self
        except UserError:  # another user's on this computer
            pass
        told = ((name, False, content) for name, content in sorted(files.items()))
        folder = cache_home() / "extensions" / hash_contents(told)[:16]
        there = replace(self, path=folder / self.path.name)
        if folder.is_dir() and there.packed() == files:
            return there
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as begun:  # whole, or not there
                for name, content in files.items():
                    file = Path(begun) / "whole" / name
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(content)
                shutil.rmtree(folder, ignore_errors=True)  # not as it was written
                try:
                    (Path(begun) / "whole").rename(folder)
                except OSError:
                    if there.packed() != files:  # nor has another worker written it meanwhile
                        raise
        except OSError as error:
            raise UserError(f"{self._told} cannot be written to {folder}: {error}.") from error
        return there

    @property
    def _told(self) -> str:
        return f"{self.path or self.name}, one of the {self.kind} of {self.origin},"

    def to_json(self) -> dict[str, str]:
        """What run.json says of it."""
        return {"from": self.origin, "hash": self.digest}


@dataclass(frozen=True)
class Registry:
    """All of one kind.

    ``attribute``: what each is called in its module, as in ``TOOL = Iperf3()``; ``own``: those of this program, {name:
    module}; ``needs``: what each must have to be one of this kind, names of attributes.
    """

    kind: str
    attribute: str
    own: Mapping[str, str]
    needs: tuple[str, ...] = ()

    def find(self, name: str, folder: Path | None = None) -> Extension | None:
        """What goes by a name, or is at a path, which is relative to ``folder``; None where nothing does.

        Raises UserError for a path that leads to no module, and for a name that several packages offer.
        """
        if is_path(name):
            return self._at(name, folder)
        if name in self.own:
            return Extension(self.kind, name, f"{self.own[name]}:{self.attribute}", OURS)
        offered = [one for one in self._offered() if one.name == name]
        if len(offered) > 1:
            those = " and ".join(sorted(one.origin for one in offered))
            raise UserError(f"{those} both have {name} among their {self.kind}. Uninstall one of them.")
        return offered[0] if offered else None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all that need no path, those of this program first."""
        return tuple(dict.fromkeys([*self.own, *sorted(one.name for one in self._offered())]))

    def load(self, extension: Extension) -> Any:
        """What an extension of this kind is. Raises UserError where it cannot be loaded, or lacks what it needs."""
        value = extension.load()
        if lacking := [name for name in self.needs if not hasattr(value, name)]:
            raise UserError(
                f"{extension.path or extension.name} is none of the {self.kind} as it stands: its {self.attribute} "
                f"lacks {', '.join(lacking)}. docs/extending.md says what it needs."
            )
        return value

    def _at(self, name: str, folder: Path | None) -> Extension:
        path = ((folder or Path()) / Path(name).expanduser()).resolve()
        module = path / "__init__.py" if path.is_dir() else path
        if not module.is_file() or module.suffix != ".py":
            raise UserError(
                f"{name} is no module: there is no file {module}. Name a file that ends in .py, or a folder with an "
                "__init__.py."
            )
        if path.stem in self.own:
            raise UserError(
                f"{name} would go by the name {path.stem}, which is one of this program's own {self.kind}. Give it "
                "another name."
            )
        return Extension(self.kind, path.stem, f":{self.attribute}", name, path)

    def _offered(self) -> list[Extension]:
        """What other packages offer; a name that this program has itself is not taken from them."""
        return [
            Extension(self.kind, point.name, f"{point.module}:{point.attr or self.attribute}", _distribution(point))
            for point in metadata.entry_points(group=f"orch.{self.kind}")
            if point.name not in self.own
        ]


def is_path(name: str) -> bool:
    """Whether a name is a path, and not what goes by a name."""
    return "/" in name or name.endswith(".py")


def _distribution(point: metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.module


def _files_at(path: Path) -> tuple[Path, ...]:
    if path.is_file():
        return (path,)
    found = (file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return tuple(sorted(found))


def _module_at(path: Path, digest: str) -> ModuleType:
    """The module of a file or folder, loaded once for each content that it has."""
    name = f"orch_extension_{digest}_{path.stem.replace('-', '_')}"
    if name in sys.modules:
        return sys.modules[name]
    inner = [str(path)] if path.is_dir() else None
    file = path / "__init__.py" if path.is_dir() else path
    described = importlib.util.spec_from_file_location(name, file, submodule_search_locations=inner)
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    sys.modules[name] = module
    try:
        described.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
