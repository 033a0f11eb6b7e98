# SPDX-License-Identifier: Apache-2.0
"""Debian packages from the mirror of this computer, through a private state of apt.

This computer's own sources and package lists are read and never changed.

Longer than other modules: the builders of images share all of it, and each part uses the one before it.
"""

import functools
import os
import re
import secrets
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.commands import capture, run_logged
from orchestrator.errors import TestbedError
from orchestrator.progress import Progress

KEYRINGS = ("debian-archive-keyring.gpg", "debian-archive-keyring.pgp")


def keyring() -> Path:
    """Return the file of public keys with which Debian signs its archive, as installed here. Raises UserError if there
    is none."""
    for name in KEYRINGS:
        path = Path("/usr/share/keyrings") / name
        if path.is_file():
            return path
    raise TestbedError("Debian's archive keys are missing: install the package debian-archive-keyring.")


def _mirrors_in(text: str) -> Iterator[tuple[str, bool]]:
    """Yield (URI, whether it is enabled for main) for the entries of a sources file in either of apt's formats."""
    for stanza in re.split(r"\n\s*\n", text):
        fields = {}
        for line in stanza.splitlines():
            match = re.match(r"([A-Za-z-]+):\s*(.*)", line)
            if match and not line.startswith("#"):
                fields[match[1].lower()] = match[2]
        if "uris" in fields and fields.get("enabled", "yes").strip().lower() != "no":
            for uri in fields["uris"].split():
                yield uri, "main" in fields.get("components", "").split()
    for line in text.splitlines():
        match = re.match(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+\S+\s+(.*)", line)
        if match:
            yield match[1], "main" in match[2].split()


def _own_mirrors(roots: Iterable[Path]) -> Iterator[str]:
    for file in roots:
        try:
            text = file.read_text(errors="replace")
        except OSError:
            continue
        for uri, has_main in _mirrors_in(text):
            if has_main and re.fullmatch(r"(https?|file|copy)://?\S*/debian/?", uri):
                yield uri.rstrip("/")


@functools.cache
def mirror() -> str:
    """Return the URI of the Debian mirror to use: ORCH_DEBIAN_MIRROR, or else the first one in this computer's apt
    sources."""
    named = os.environ.get("ORCH_DEBIAN_MIRROR", "").strip()
    if named:
        return named.rstrip("/")
    etc = Path("/etc/apt")
    parts = etc / "sources.list.d"
    files = [etc / "sources.list", *sorted(parts.glob("*.sources")), *sorted(parts.glob("*.list"))]
    for uri in _own_mirrors(files):
        return uri
    raise TestbedError(
        "This machine's apt sources name no Debian mirror (it may be another distribution): "
        "set ORCH_DEBIAN_MIRROR to the address of one, ending in /debian."
    )


def _sources(suites: Sequence[str]) -> str:
    """Return a sources.list for suites of the mirror."""
    return "".join(f"deb [signed-by={keyring()}] {mirror()} {suite} main\n" for suite in suites)


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a package in a suite."""

    package: str
    version: str
    suite: str


class PrivateApt:
    """apt-get with its own sources, lists and caches."""

    def __init__(self, folder: Path, suites: Sequence[str]) -> None:
        self._folder = folder
        self._suites = tuple(suites)
        for name in ("lists/partial", "cache/archives/partial", "etc"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()

    def _options(self) -> list[str]:
        settings = {
            "Dir::Etc::sourcelist": self._folder / "etc" / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::State": self._folder,
            "Dir::State::lists": self._folder / "lists",
            "Dir::State::status": self._folder / "status",
            "Dir::Cache": self._folder / "cache",
            "Acquire::Languages": "none",
            "APT::Sandbox::User": "",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "Acquire::Retries": "3",
            "Acquire::http::Timeout": "60",
            "Acquire::https::Timeout": "60",
        }
        return [f"-o{name}={value}" for name, value in settings.items()]

    def _run(self, *arguments: str, cwd: Path | None = None) -> str:
        done = capture([arguments[0], *self._options(), *arguments[1:]], cwd=cwd or self._folder)
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise TestbedError(
                f"{' '.join(arguments[:2])} failed on the Debian mirror {mirror()}: "
                f"{said[-1] if said else 'no message'}. Check the network, or name another in ORCH_DEBIAN_MIRROR."
            )
        return done.stdout

    def update(self) -> list[str]:
        """Fetch the package lists of every suite that the mirror has, and return those suites."""
        reached: list[str] = []
        refusal = None
        for suite in self._suites:
            self._write_sources([*reached, suite])
            try:
                self._run("apt-get", "update", "-q", "--error-on=any")
                reached.append(suite)
            except TestbedError as error:
                refusal = error
        if not reached and refusal:
            raise refusal
        self._write_sources(reached)
        return reached

    def _write_sources(self, suites: Sequence[str]) -> None:
        (self._folder / "etc" / "sources.list").write_text(_sources(suites))

    def versions(self, pattern: str) -> list[Version]:
        """Return the versions of all packages whose complete name matches a regular expression."""
        names = [n for n in self._run("apt-cache", "pkgnames").split() if re.fullmatch(pattern, n)]
        found = []
        if names:
            for line in self._run("apt-cache", "madison", *sorted(names)).splitlines():
                package, version, source = (part.strip() for part in line.split("|"))
                found.append(Version(package, version, source.split()[1].split("/")[0]))
        return found

    def download(self, package: str, version: str, folder: Path) -> Path:
        """Fetch a package, verified against the signed lists, and return the path of the .deb."""
        self._run("apt-get", "download", "-q", f"{package}={version}", cwd=folder)
        (found,) = folder.glob(f"{package}_*.deb")
        return found


@contextmanager
def private_apt(suites: Sequence[str]) -> Iterator[PrivateApt]:
    """Yield a PrivateApt in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="orch-apt-") as folder:
        yield PrivateApt(Path(folder), suites)


@contextmanager
def shared_scratch() -> Iterator[Path]:
    """Yield a folder that any user id can write to, but that others cannot find, since its parent cannot be listed.

    Without root, mmdebstrap works in a user namespace under other user ids, which have no access to a home folder.
    """
    with tempfile.TemporaryDirectory(prefix="orch-", dir="/var/tmp") as name:
        os.chmod(name, 0o711)
        inner = Path(name) / secrets.token_hex(16)
        inner.mkdir()
        inner.chmod(0o777)
        yield inner


def mmdebstrap(
    scratch: Path,
    suites: Sequence[str],
    packages: Iterable[str],
    hooks: Iterable[str],
    log: Path,
    *,
    variant: str,
    left_out: Iterable[str],
    what: str,
    on_line: Callable[[str], None],
    keep_log: Path,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Make a root file system of the first suite, run ``hooks`` in it, and discard everything that they have not copied
    out.

    ``scratch``: a folder from `shared_scratch`, in which hooks run, with the root file system as $1. ``packages``:
    PACKAGE/SUITE takes a package from another of ``suites``. ``left_out``: folders of /usr/share to omit. Raises
    TestbedError, which names the packages that cannot be installed or else quotes the end of the log.
    """
    sources = scratch / "sources.list"
    sources.write_text(_sources(suites))
    here = f"cd {shlex.quote(str(scratch))} && "
    command = [
        "mmdebstrap",
        "--mode=" + ("root" if os.geteuid() == 0 else "auto"),
        f"--variant={variant}",
        "--architectures=amd64",
        "--include=" + ",".join(packages),
        '--aptopt=APT::Install-Recommends "false"',
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in left_out),
        *(f"--customize-hook={here}{hook}" for hook in hooks),
        "--format=null",
        suites[0],
        "-",
        str(sources),
    ]
    settings = {"TMPDIR": "/var/tmp", **(environment or {})}
    unknown: list[str] = []

    def note(line: str) -> None:
        unknown.extend(_UNKNOWN.findall(line))
        on_line(line)

    try:
        run_logged(command, log, what=what, environment=settings, on_line=note, keep_log=keep_log)
    except TestbedError as error:
        if not unknown:
            raise
        raise TestbedError(
            f"Debian {suites[0]} has no installable package {' and no '.join(dict.fromkeys(unknown))} on {mirror()}. "
            f"Correct `packages:` in the testbed file; https://packages.debian.org/{suites[0]}/ finds names. The whole "
            f"log: {keep_log}"
        ) from error


# Messages of apt-get for an unknown package, and for one that is only mentioned by other packages.
_UNKNOWN = re.compile(
    r"(?:Unable to locate package|Package) '?([a-z0-9][a-z0-9+.-]+)'?(?: has no installation candidate|$)"
)
_STEPS = (
    "running apt-get update",
    "downloading packages",
    "extracting",
    "installing",
    "customize-hook",
    "cleaning",
)


def show_steps(progress: Progress) -> Callable[[str], None]:
    """Return a callback for ``on_line`` of `mmdebstrap` that shows its current step."""

    def show(line: str) -> None:
        if line.startswith("I: ") and any(step in line for step in _STEPS):
            progress.detail(line[3:60].split(" in shell")[0])

    return show


def read_packages(file: Path) -> list[str]:
    """Return the packages in a list with one per line, in which # starts a comment."""
    lines = (line.split("#")[0].strip() for line in file.read_text().splitlines())
    return [line for line in lines if line]


_PACKAGE_OF = {"perf": "linux-perf"}  # programs whose package has another name


def named_packages(names: Iterable[str]) -> list[str]:
    """Return the packages that a testbed file asks for, by their Debian names, sorted and without duplicates."""
    return sorted({_PACKAGE_OF.get(name, name) for name in names})


DISK = "root.ext4"


def disk_hook(size: str) -> str:
    """Return a hook for mmdebstrap that makes a disk image of the root file system.

    The sparse file DISK has a size such as 1G and no partition table. The folder must contain an empty folder ``tree``.
    """
    # A hook runs where root owns the new root file system; a non-recursive bind leaves out the mounts inside it.
    bind = 'mount --bind "$1" tree && mke2fs -q -t ext4 -O ^has_journal -m 0'
    bind += f" -E root_owner=0:0,lazy_itable_init=0 -d tree {DISK}"
    return f'truncate -s {size} {DISK} && unshare --mount sh -c {shlex.quote(bind)} sh "$1"'


def copy_disk(source: Path, target: Path) -> None:
    """Copy a disk image; sparse regions stay sparse."""
    copy = ["cp", "--sparse=always", "--reflink=auto", str(source), str(target)]
    subprocess.run(copy, check=True, stdin=subprocess.DEVNULL)
