# SPDX-License-Identifier: Apache-2.0
"""Variants files: kernel/variants.yaml, and those that specs name, which may have patches or sources.

The files of a variant are read together with the variants file, as bytes: so later changes do not affect a run that has
begun, and they can be sent to where a testbed is used.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, RootModel, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from orchestrator.errors import UserError
from orchestrator.extensions import Extension
from orchestrator.listing import files_below, named_in_utf8
from orchestrator.spec.document import Mapping, Scalar, parse, place_of, read_source
from orchestrator.spec.fields import Name, Strict
from orchestrator.spec.problems import Problem, SpecError, did_you_mean
from orchestrator.spec.systems import SYSTEMS, system_named
from orchestrator.spec.validation import build

UPSTREAM, MULTITUNNEL = "upstream", "multitunnel"
OWN = "own-"  # begins the name of a build of a spec's own code
WIREGUARD = "wireguard"
SystemName = Annotated[str, WithJsonSchema({"anyOf": [{"enum": list(SYSTEMS.own)}, {"type": "string"}]})]
# The settings of each of this project's builds, with their values; a user's own code may have others.
_THREADED: dict[str, tuple[str, ...]] = {"threaded": ("true", "false")}
SETTINGS: dict[str, dict[str, tuple[str, ...]]] = {
    UPSTREAM: _THREADED,
    MULTITUNNEL: {
        **_THREADED,
        "transmit": ("queued", "inline", "batched"),
        "receive": ("queued", "inline", "batched", "workqueue", "steal"),
        "cpus": ("own",),
    },
}
OURS = ("threaded", "cpus")  # settings that this program applies, and not the module
LARGEST_BYTES = 8 * 2**20  # for all files of a variants file together
Files = tuple[tuple[str, bytes], ...]


def _setting(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


Setting = Annotated[str, BeforeValidator(_setting), Field(min_length=1)]
_Path = Annotated[str, Field(min_length=1)]


class VariantEntry(Strict):
    """A variant, as written in a variants file."""

    description: str = ""
    system: SystemName = Field(
        default=WIREGUARD,
        description="What makes the tunnels: wireguard; ipsec, the kernel's ESP, with settings: {cipher: NAME}; plain: "
        "no tunnel; or the name or path of one of your own.",
    )
    build: str = Field(default=UPSTREAM, description="upstream or multitunnel: the code, or the base for `patches`.")
    patches: tuple[_Path, ...] = Field(
        default=(),
        description="Patches to apply, in order: files relative to this one, with -p1 paths from the root of the "
        "kernel source.",
    )
    source: _Path | None = Field(
        default=None,
        description="A folder, relative to this file, whose files replace or extend those of drivers/net/wireguard.",
    )
    settings: dict[str, Setting] = Field(
        default={}, description="threaded (true or false), and the settings of the module itself."
    )

    @model_validator(mode="after")
    def _fits(self) -> "VariantEntry":
        if self.system in SYSTEMS.own:
            system_named(self.system).check(self)
        return self


class _File(RootModel[dict[Name, VariantEntry]]):
    """All variants in a file."""


@dataclass(frozen=True, slots=True)
class OwnCode:
    """Code of a user's own variant. ``base``: the build it modifies; ``patches``: (name, content), in order;
    ``source``: (path below drivers/net/wireguard, content), sorted."""

    base: str
    patches: Files = ()
    source: Files = ()

    @property
    def build(self) -> str:
        """The name of the build, derived from its content, so that equal code is built once."""
        digest = hashlib.sha256(self.base.encode())
        for kind, files in (("patch", self.patches), ("source", self.source)):
            for name, content in files:
                digest.update(f"\0{kind}\0{name}\0{len(content)}\0".encode() + content)
        return f"{OWN}{digest.hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class Described:
    """A variant as a file describes it. ``code``: the variant's own code, None if it uses a build of this project.

    ``own_system``: its `orchestrator.systems.System` if that is from outside this program, with the origin
    ``extension``; both are None for this program's systems.
    """

    name: str
    entry: VariantEntry
    code: OwnCode | None = None
    own_system: Any = None
    extension: Extension | None = None

    @property
    def system(self) -> str:
        """The name of its system."""
        return self.extension.name if self.extension is not None else self.entry.system

    @property
    def build(self) -> str:
        """The name of the build that it loads; empty if it is not WireGuard."""
        if self.entry.system != WIREGUARD:
            return ""
        return self.code.build if self.code else self.entry.build

    @property
    def kind(self) -> tuple[str, bool]:
        """Its build or base build, and whether NAPI polling is threaded."""
        return self.entry.build, self.entry.settings.get("threaded") == "true"


@dataclass(frozen=True, slots=True)
class Variants:
    """The contents of a variants file. ``files``: it and all files that it names, by path relative to its folder."""

    file: Path = Path()
    described: tuple[Described, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the variants, in file order."""
        return tuple(one.name for one in self.described)

    @property
    def extensions(self) -> tuple[Extension, ...]:
        """The origins of the systems that are from outside this program."""
        return tuple(dict.fromkeys(one.extension for one in self.described if one.extension is not None))

    @property
    def code(self) -> tuple[OwnCode, ...]:
        """The code to build, without duplicates."""
        return tuple(dict.fromkeys(one.code for one in self.described if one.code))


NO_VARIANTS = Variants()


def read_variants(file: Path) -> Variants:
    """Return the variants of a file. Raises SpecError with all errors and their locations, or UserError."""
    source = read_source(file)
    root, problems = parse(source)
    read, refused = build(_File, root)
    places = {problem.span.start for problem in problems if problem.span}
    problems += [problem for problem in refused if problem.span is None or problem.span.start not in places]
    if problems or read is None:
        raise SpecError(source.name, problems)
    assert isinstance(root, Mapping)
    reader = _CodeReader(file, root)
    described = tuple(
        Described(name, entry, reader.code(name, entry), *reader.system(name, entry))
        for name, entry in read.root.items()
    )
    if reader.problems:
        raise SpecError(source.name, reader.problems)
    return Variants(file, described, {file.name: source.text.encode(), **reader.files})


class _CodeReader:
    """Reads the files that variants name, and collects errors."""

    def __init__(self, file: Path, root: Mapping) -> None:
        self._folder, self._root = file.parent, root
        self.files: dict[str, bytes] = {}
        self.problems: list[Problem] = []

    def code(self, name: str, entry: VariantEntry) -> OwnCode | None:
        """Return a variant's own code; None if it has none, or if there is an error."""
        if not entry.patches and entry.source is None:
            return None
        patches = [self._patch(path, (name, "patches", at)) for at, path in enumerate(entry.patches)]
        source = tuple(self._source(entry.source, (name, "source"))) if entry.source else ()
        return OwnCode(entry.build, tuple(one for one in patches if one), source)

    def system(self, name: str, entry: VariantEntry) -> tuple[Any, Extension | None]:
        """Return the system that a variant names and its origin, if it is from outside this program; else None for
        both."""
        if entry.system in SYSTEMS.own:
            return None, None
        try:
            found = SYSTEMS.find(entry.system, self._folder.resolve())
            if found is None:
                known = ", ".join(SYSTEMS.names)
                hint = did_you_mean(entry.system, SYSTEMS.names)
                raise UserError(f"{name}.system: {entry.system} is not one of {known}.{hint}")
            loaded = SYSTEMS.load(found)
        except UserError as error:
            self._report((name, "system"), str(error))
            return None, None
        try:
            loaded.check(entry)
        except PydanticCustomError as error:
            context = error.context or {}
            self._report((name,), f"{name} does not fit: {context.get('because')}. Expected {context.get('expected')}.")
        return loaded, found

    def _patch(self, path: str, place: tuple[str | int, ...]) -> tuple[str, bytes] | None:
        found = self._within(path, place)
        if found is None or (content := self._read(found, place)) is None:
            return None
        self.files[path] = content
        # Two folders may have a patch of the same name.
        return path.replace("/", "-"), content

    def _source(self, path: str, place: tuple[str | int, ...]) -> Iterator[tuple[str, bytes]]:
        folder = self._within(path, place)
        if folder is None:
            return
        try:
            found = named_in_utf8(files_below(folder), folder) if folder.is_dir() else []
        except OSError as error:
            self._report(place, f"Cannot read {error.filename!r}: {error.strerror}. Fix that.")
            return
        if not found:
            self._report(place, f"{folder} is not a folder with files. Name a folder with the module's source.")
        for one in found:
            if (content := self._read(one, place)) is not None:
                relative = one.relative_to(folder).as_posix()
                self.files[(PurePosixPath(path) / relative).as_posix()] = content
                yield relative, content

    def _within(self, path: str, place: tuple[str | int, ...]) -> Path | None:
        """Return the resolved path, which must be below the file's folder: a run stores a copy of everything."""
        if is_outside(path):
            self._report(
                place,
                f"{path} is not below the folder of this file. A run stores a copy of what is there; move it there.",
            )
            return None
        return self._folder / path

    def _read(self, path: Path, place: tuple[str | int, ...]) -> bytes | None:
        try:
            content = path.read_bytes()
        except OSError as error:
            self._report(place, f"Cannot read {path}: {error.strerror}. Check the name.")
            return None
        if sum(map(len, self.files.values())) + len(content) > LARGEST_BYTES:
            message = f"With {path}, the files exceed {LARGEST_BYTES >> 20} MiB in total. Remove what is not source."
            self._report(place, message)
            return None
        return content

    def _report(self, place: tuple[str | int, ...], message: str) -> None:
        self.problems.append(Problem(message, place_of(self._root, place)))


def is_outside(path: str) -> bool:
    """Return whether a path leads out of its folder or is not relative."""
    parts = PurePosixPath(path)
    return parts.is_absolute() or ".." in parts.parts or path.startswith("~")


def variants_of_spec(tree: Mapping, folder: Path) -> tuple[Variants, list[Problem]]:
    """Return the variants of the file that a spec names, relative to ``folder``, and all errors in it."""
    node = tree.entries.get("variants")
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value:
        return NO_VARIANTS, []
    if is_outside(node.value):
        message = (
            f"{node.value} is not below the folder of the spec. A run stores a copy of what is there; move it there."
        )
        return NO_VARIANTS, [Problem(message, node.span)]
    try:
        return read_variants(folder / node.value), []
    except SpecError as error:
        return NO_VARIANTS, list(error.problems)
    except UserError as error:
        return NO_VARIANTS, [Problem(str(error), node.span)]
