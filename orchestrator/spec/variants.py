# SPDX-License-Identifier: Apache-2.0
"""Files of variants: kernel/variants.yaml, and those that specs bring along, with patches or source of their own.

What a variant brings is read with the file, as bytes: a later change of it is no part of a run that has begun, and it
can be sent to where a testbed is.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, RootModel, model_validator

from orchestrator.errors import UserError
from orchestrator.spec.document import Mapping, Scalar, parse, place_of, read_source
from orchestrator.spec.fields import Name, Strict, expected
from orchestrator.spec.problems import Problem, SpecError, did_you_mean
from orchestrator.spec.validation import build

UPSTREAM, MULTITUNNEL = "upstream", "multitunnel"
WIREGUARD: Literal["wireguard"] = "wireguard"
IPSEC: Literal["ipsec"] = "ipsec"
CIPHERS = ("aes-128-gcm", "aes-256-gcm", "chacha20-poly1305")  # of IPsec
# The settings that each build of this project has, with their values; code of one's own may have others.
_THREADED: dict[str, tuple[str, ...]] = {"threaded": ("true", "false")}
SETTINGS: dict[str, dict[str, tuple[str, ...]]] = {
    UPSTREAM: _THREADED,
    MULTITUNNEL: {
        **_THREADED,
        "transmit": ("queued", "inline", "batched"),
        "receive": ("queued", "inline"),
        "cpus": ("own",),
    },
}
_OURS = ("threaded", "cpus")  # what this program does, and not the module
LARGEST_BYTES = 8 * 2**20  # of all that a file of variants brings
Files = tuple[tuple[str, bytes], ...]


def _setting(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


Setting = Annotated[str, BeforeValidator(_setting), Field(min_length=1)]
_Path = Annotated[str, Field(min_length=1)]


class Entry(Strict):
    """A variant as it is written."""

    description: str = ""
    system: Literal["wireguard", "ipsec"] = Field(
        default=WIREGUARD, description="What makes the tunnels. ipsec: the kernel's ESP, with settings: {cipher: NAME}."
    )
    build: str = Field(default=UPSTREAM, description="upstream or multitunnel: the code, or what `patches` go on.")
    patches: tuple[_Path, ...] = Field(
        default=(),
        description="Patches, in order, as files relative to this one; -p1 from the root of the kernel source.",
    )
    source: _Path | None = Field(
        default=None,
        description="A folder, relative to this file, whose files replace or add to those of drivers/net/wireguard.",
    )
    settings: dict[str, Setting] = Field(default={}, description="threaded: true, and what the module itself has.")

    @model_validator(mode="after")
    def _fits(self) -> "Entry":
        if self.system == IPSEC:
            return self._fits_ipsec()
        if self.build not in SETTINGS:
            hint = did_you_mean(self.build, SETTINGS)
            raise expected(
                f"build: {' or '.join(SETTINGS)}", because=f"there is no build {self.build}.{hint}".rstrip(".")
            )
        own = bool(self.patches or self.source)
        for name, value in self.settings.items():
            values = SETTINGS[self.build].get(name)
            if values is None and not own:
                hint = did_you_mean(name, SETTINGS[self.build]).rstrip(".")
                known = ", ".join(SETTINGS[self.build])
                raise expected(f"settings of {known}", because=f"{self.build} has no setting {name}.{hint}")
            if values is not None and value not in values and (name in _OURS or not own):
                raise expected(f"{name}: {' or '.join(values)}", because=f"{name} is {value}")
        return self

    def _fits_ipsec(self) -> "Entry":
        if other := sorted(self.model_fields_set & {"build", "patches", "source"}):
            raise expected("system and settings only", because=f"ipsec is the kernel's own and has no {other[0]}")
        if set(self.settings) != {"cipher"} or self.settings["cipher"] not in CIPHERS:
            found = ", ".join(f"{name}: {value}" for name, value in self.settings.items()) or "nothing"
            raise expected(f"settings: {{cipher: {' or '.join(CIPHERS)}}}", because=f"ipsec is given {found}")
        return self


class _File(RootModel[dict[Name, Entry]]):
    """All variants of a file."""


@dataclass(frozen=True, slots=True)
class OwnCode:
    """Code that a variant brings. ``base``: the build it goes on; ``patches``: (name, content), in order; ``source``:
    (path below drivers/net/wireguard, content), sorted."""

    base: str
    patches: Files = ()
    source: Files = ()

    @property
    def build(self) -> str:
        """The name of the build, made of its content, so that equal code is built once."""
        digest = hashlib.sha256(self.base.encode())
        for kind, files in (("patch", self.patches), ("source", self.source)):
            for name, content in files:
                digest.update(f"\0{kind}\0{name}\0{len(content)}\0".encode() + content)
        return f"own-{digest.hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class Described:
    """A variant as a file describes it; ``code``: what it brings itself, None where it loads a build of the project."""

    name: str
    entry: Entry
    code: OwnCode | None = None

    @property
    def build(self) -> str:
        """The name of the build that it loads; empty where it is no WireGuard."""
        if self.entry.system != WIREGUARD:
            return ""
        return self.code.build if self.code else self.entry.build

    @property
    def kind(self) -> tuple[str, bool]:
        """The build that it is, or goes on, and whether NAPI polls have threads of their own."""
        return self.entry.build, self.entry.settings.get("threaded") == "true"


@dataclass(frozen=True, slots=True)
class Variants:
    """A file of variants. ``files``: it and all that it names, by their paths relative to its folder."""

    file: Path = Path()
    described: tuple[Described, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of the file."""
        return tuple(one.name for one in self.described)

    @property
    def code(self) -> tuple[OwnCode, ...]:
        """What has to be built, each once."""
        return tuple(dict.fromkeys(one.code for one in self.described if one.code))


NO_VARIANTS = Variants()


def read_variants(file: Path) -> Variants:
    """The variants of a file. Raises SpecError with every mistake and its place, or UserError."""
    source = read_source(file)
    root, problems = parse(source)
    read, refused = build(_File, root)
    places = {problem.span.start for problem in problems if problem.span}
    problems += [problem for problem in refused if problem.span is None or problem.span.start not in places]
    if problems or read is None:
        raise SpecError(source.name, problems)
    assert isinstance(root, Mapping)
    reader = _Reader(file, root)
    described = tuple(Described(name, entry, reader.code(name, entry)) for name, entry in read.root.items())
    if reader.problems:
        raise SpecError(source.name, reader.problems)
    return Variants(file, described, {file.name: source.text.encode(), **reader.files})


class _Reader:
    """Reads what the variants of a file name, and collects what is wrong with it."""

    def __init__(self, file: Path, root: Mapping) -> None:
        self._folder, self._root = file.parent, root
        self.files: dict[str, bytes] = {}
        self.problems: list[Problem] = []

    def code(self, name: str, entry: Entry) -> OwnCode | None:
        """What a variant brings; None where that is nothing, or something is wrong with it."""
        if not entry.patches and entry.source is None:
            return None
        patches = [self._patch(path, (name, "patches", at)) for at, path in enumerate(entry.patches)]
        source = tuple(self._source(entry.source, (name, "source"))) if entry.source else ()
        return OwnCode(entry.build, tuple(one for one in patches if one), source)

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
        found = sorted(one for one in folder.rglob("*") if one.is_file()) if folder.is_dir() else []
        if not found:
            self._report(place, f"{folder} is no folder with files. Name one that has the module's source.")
        for one in found:
            if (content := self._read(one, place)) is not None:
                relative = one.relative_to(folder).as_posix()
                self.files[(PurePosixPath(path) / relative).as_posix()] = content
                yield relative, content

    def _within(self, path: str, place: tuple[str | int, ...]) -> Path | None:
        """Where a path leads, which must be below the file's folder: a run keeps all of it."""
        if is_outside(path):
            self._report(place, f"{path} is not below the folder of this file, all of which a run keeps. Put it there.")
            return None
        return self._folder / path

    def _read(self, path: Path, place: tuple[str | int, ...]) -> bytes | None:
        try:
            content = path.read_bytes()
        except OSError as error:
            self._report(place, f"{path} cannot be read: {error.strerror}. Check the name.")
            return None
        if sum(map(len, self.files.values())) + len(content) > LARGEST_BYTES:
            message = f"With {path}, this file brings more than {LARGEST_BYTES >> 20} MiB. Leave out what is no source."
            self._report(place, message)
            return None
        return content

    def _report(self, place: tuple[str | int, ...], message: str) -> None:
        self.problems.append(Problem(message, place_of(self._root, place)))


def is_outside(path: str) -> bool:
    """Whether a relative path leads out of its folder, or is none."""
    parts = PurePosixPath(path)
    return parts.is_absolute() or ".." in parts.parts or path.startswith("~")


def variants_of_spec(tree: Mapping, folder: Path) -> tuple[Variants, list[Problem]]:
    """The variants of the file that a spec names, relative to its ``folder``, and every mistake in it; none without
    one."""
    node = tree.entries.get("variants")
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value:
        return NO_VARIANTS, []
    if is_outside(node.value):
        message = f"{node.value} is not below the folder of the spec: a run keeps it under the same name. Put it there."
        return NO_VARIANTS, [Problem(message, node.span)]
    try:
        return read_variants(folder / node.value), []
    except SpecError as error:
        return NO_VARIANTS, list(error.problems)
    except UserError as error:
        return NO_VARIANTS, [Problem(str(error), node.span)]
