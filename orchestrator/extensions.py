# SPDX-License-Identifier: Apache-2.0
"""Systems, tools and providers: built in, offered by other packages, or supplied by a file.

Each kind has a `Registry`. Other packages offer theirs as entry points of the group ``orch.`` and the kind, such as
``orch.providers``; the specification is "Entry points" in the Python Packaging User Guide. A file refers to its own by
a path: a module of one file, or a folder with an ``__init__.py``.
"""

import functools
import importlib
import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from orchestrator.errors import UserError
from orchestrator.hashing import hash_contents, hash_files
from orchestrator.listing import named_in_utf8, sources_below
from orchestrator.paths import cache_home

OURS = "orch"  # the origin of built-in extensions


@dataclass(frozen=True, slots=True)
class Extension:
    """A system, a tool or a provider, and its origin.

    ``kind``: systems, tools or providers; ``name``: as recorded in results; ``target``: ``module:attribute``, or with
    ``path`` the attribute of the module there; ``origin``: ``orch``, a distribution with its version, or the path as a
    file gives it.
    """

    kind: str
    name: str
    target: str
    origin: str
    path: Path | None = None

    @property
    def foreign(self) -> bool:
        """Return whether it is not part of this program."""
        return self.origin != OURS

    @property
    def place(self) -> Path:
        """Return its file, or the folder of its top-level package. Raises UserError if there is no such module."""
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
        """Return a hash of its files, or of those of its top-level package: 16 hexadecimal digits. Raises UserError."""
        place = self.place
        try:
            return hash_files(_files_at(place), place.parent)[:16]
        except OSError as error:
            raise UserError(f"{self._told} cannot be read: {error}.") from error

    def load(self) -> Any:
        """Return the object that the attribute of its module refers to. Raises UserError."""
        module, _, attribute = self.target.rpartition(":")
        digest = self.digest if self.path is not None else ""
        try:
            found = _module_at(self.path, digest) if self.path is not None else importlib.import_module(module)
        except (Exception, SystemExit) as error:  # whatever somebody else's code raises
            raise UserError(f"{self._told} cannot be loaded: {type(error).__name__}: {error}.") from error
        try:
            return functools.reduce(getattr, attribute.split("."), found)
        except AttributeError as error:
            raise UserError(f"{self._told} cannot be loaded: its module has no {attribute}.") from error

    def packed(self) -> dict[str, bytes]:
        """Return the files of an extension with a path, by path relative to its parent folder. Raises UserError if they
        cannot be read."""
        place = self.place
        try:
            return {file.relative_to(place.parent).as_posix(): file.read_bytes() for file in _files_at(place)}
        except OSError as error:
            raise UserError(f"{self._told} cannot be read: {error}.") from error

    def unpacked(self, files: Mapping[str, bytes]) -> "Extension":
        """Return an extension with these files that can be loaded here: this one if its path has them, or else a copy
        in the user's cache, written if necessary. Raises UserError if they cannot be written."""
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
        """Return the entry for run.json."""
        return {"from": self.origin, "hash": self.digest}


@dataclass(frozen=True)
class Registry:
    """All extensions of one kind.

    ``attribute``: the name of the object in its module, as in ``TOOL = Iperf3()``; ``own``: the built-in ones as {name:
    module}; ``base``: the class of which each is an instance, as ``module:class``. It has the method ``faults``, which
    yields clauses on what an instance from outside this program lacks.
    """

    kind: str
    attribute: str
    own: Mapping[str, str]
    base: str

    def find(self, name: str, folder: Path | None = None) -> Extension | None:
        """Return the extension with a name, or at a path relative to ``folder``; None if there is none.

        Raises UserError for a path without a module, and for a name that several packages offer.
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
        """Return the names of all extensions that need no path, the built-in ones first."""
        return tuple(dict.fromkeys([*self.own, *sorted(one.name for one in self._offered())]))

    def load(self, extension: Extension) -> Any:
        """Return the object of an extension of this kind. Raises UserError if it cannot be loaded or lacks something
        that it needs."""
        value = extension.load()
        if extension.foreign and (faults := "; ".join(self._faults(value))):
            raise UserError(
                f"{extension.path or extension.name} cannot be one of the {self.kind}: {faults}. docs/extending.md "
                "says what it needs."
            )
        return value

    def _faults(self, value: Any) -> Iterable[str]:
        module, _, name = self.base.partition(":")
        base = getattr(importlib.import_module(module), name)
        if isinstance(value, base):
            found: Iterable[str] = value.faults()
            return found
        if isinstance(value, type) and issubclass(value, base):
            return [f"its {self.attribute} is a class, not an instance ({self.attribute} = {value.__name__}())"]
        return [f"its {self.attribute} is not an instance of a subclass of {name} in {module}"]

    def _at(self, name: str, folder: Path | None) -> Extension:
        path = ((folder or Path()) / Path(name).expanduser()).resolve()
        module = path / "__init__.py" if path.is_dir() else path
        if not module.is_file() or module.suffix != ".py":
            raise UserError(
                f"{name} is not a module: there is no file {module}. Name a file that ends in .py, or a folder with an "
                "__init__.py."
            )
        if path.stem in self.own:
            raise UserError(
                f"{name} would have the name {path.stem}, which is one of this program's own {self.kind}. Give it "
                "another name."
            )
        return Extension(self.kind, path.stem, f":{self.attribute}", name, path)

    def _offered(self) -> list[Extension]:
        """Return the extensions that other packages offer, except under the names of built-in ones."""
        return [
            Extension(self.kind, point.name, f"{point.module}:{point.attr or self.attribute}", _distribution(point))
            for point in metadata.entry_points(group=f"orch.{self.kind}")
            if point.name not in self.own
        ]


def is_path(name: str) -> bool:
    """Return whether a string is a path and not the name of an extension."""
    return "/" in name or name.endswith(".py")


def _distribution(point: metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.module


def _files_at(path: Path) -> tuple[Path, ...]:
    if path.is_file():
        return (path,)
    return tuple(named_in_utf8(sources_below(path), path))


def _module_at(path: Path, digest: str) -> ModuleType:
    """Return the module of a file or folder, loaded once for each version of its content.

    No bytecode is kept of it: Python takes a cached one for current by the second of the change and the size alone.
    """
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
    keeps_none = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        described.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.dont_write_bytecode = keeps_none
    return module
