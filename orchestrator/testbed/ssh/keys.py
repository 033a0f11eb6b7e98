# SPDX-License-Identifier: Apache-2.0
"""Host keys: fetched once, shown to the user, and pinned."""

import codecs
import os
import subprocess
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.commands import capture
from orchestrator.errors import TestbedError, UserError
from orchestrator.paths import as_argument
from orchestrator.private import socket_folder
from orchestrator.store.files import replace_file
from orchestrator.testbed.login import HostLost
from orchestrator.testbed.ssh.failures import quoted
from orchestrator.testbed.ssh.known_hosts import REVOKED, Key, entries, without
from orchestrator.testbed.ssh.route import ENVIRONMENT, SshRoute, known_hosts_file

_TIMEOUT_S = 60
# The host key types that can be requested, and their signature algorithms. See HostKeyAlgorithms in ssh_config(5).
_ALGORITHMS = {
    "ssh-ed25519": "ssh-ed25519",
    "ecdsa-sha2-nistp256": "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384": "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521": "ecdsa-sha2-nistp521",
    "ssh-rsa": "rsa-sha2-512,rsa-sha2-256",
}


@dataclass(frozen=True, slots=True)
class ScannedKey:
    """A host's key. ``state``: new, pinned (it equals the pinned one), changed or revoked; ``pinned``: the fingerprint
    of the pinned key, if it differs."""

    host: str
    alias: str
    key: Key
    state: str
    pinned: str = ""

    @property
    def fingerprint(self) -> str:
        """The key's type and fingerprint, as OpenSSH prints them."""
        return self.key.fingerprint


def fetch_keys(routes: Mapping[str, SshRoute]) -> list[ScannedKey]:
    """Return the keys that the hosts present now. Raises HostLost if one does not answer, or UserError if a pinned key
    cannot be read."""
    lines = _lines()
    return [_fetch(route, lines) for route in routes.values()]


def _fetch(route: SshRoute, lines: Sequence[str]) -> ScannedKey:
    on_host = entries(lines, route.alias)
    for entry in on_host:
        if entry.key is None:
            raise UserError(
                f"{known_hosts_file()}, line {entry.number}: {entry.wrong} ({entry.names} ...). Correct the line, or "
                "remove it."
            )
    pinned = [entry.key for entry in on_host if entry.key and not entry.marker]
    shown = _shown_by(route, pinned)
    if shown in [entry.key for entry in on_host if entry.marker == REVOKED]:
        state = "revoked"
    else:
        state = "pinned" if shown in pinned else "changed" if pinned else "new"
    was = ", ".join(key.fingerprint for key in pinned) if state == "changed" else ""
    return ScannedKey(route.host, route.alias, shown, state, was)


def _shown_by(route: SshRoute, pinned: Sequence[Key]) -> Key:
    """Return the key that a host presents. As in a login, the types of the ``pinned`` keys are requested first."""
    first = [_ALGORITHMS[key.kind] for key in pinned if key.kind in _ALGORITHMS]
    if first:
        key, _ = _taken_down(route, {"HostKeyAlgorithms": f"^{','.join(first)}"})
        if key is not None:
            return key
    key, words = _taken_down(route, {})
    if key is None:
        raise HostLost(f"{route.host}: no SSH server answers at {route.destination} ({words or 'no message'}).")
    return key


def _taken_down(route: SshRoute, more: Mapping[str, str]) -> tuple[Key | None, str]:
    """Return the host key that OpenSSH records if none is pinned (None if there is none), and its messages. Nobody is
    logged in."""
    # A server's banner, which is also logged at INFO, comes only after the key exchange.
    settings = {"HashKnownHosts": "no", "PreferredAuthentications": "none", "LogLevel": "INFO"}
    with tempfile.TemporaryDirectory(prefix="shown-", dir=socket_folder()) as folder:
        file = Path(folder) / "known_hosts"
        options = route.options(known_hosts=file, checking="accept-new", more={**settings, **more})
        try:
            done = capture(
                ["ssh", *options, "--", route.destination, "true"],
                environment={**os.environ, **ENVIRONMENT},
                timeout_s=_TIMEOUT_S,
                new_session=True,
            )
        except subprocess.TimeoutExpired as error:
            raise HostLost(f"{route.host}: {route.destination} does not answer within {_TIMEOUT_S} s.") from error
        found = entries(file.read_text().split("\n"), route.alias) if file.exists() else []
    key = next((entry.key for entry in found if entry.key is not None), None)
    return key, quoted([line.strip() for line in done.stderr.splitlines() if line.strip()])


def words_of_end(route: SshRoute) -> str:
    """Return why a connection ended before a login, from OpenSSH's log at INFO; empty if a key was received."""
    key, words = _taken_down(route, {})
    return "" if key else words


def refusal(route: SshRoute, testbed_file: str) -> str:
    """Return why a host's key was refused and what to do, as a clause and sentences. ``testbed_file``: the name with
    which a user enrols the host."""
    enroll = f"orch testbed enroll {as_argument(testbed_file)}"
    try:
        (found,) = fetch_keys({route.host: route})
    except TestbedError:
        return f"its host key is not the pinned one, so it may be another host. Look at it with `{enroll}`."
    except UserError as error:
        return f"its host key is not known: {error}"
    if found.state == "revoked":
        return f"its host key ({found.fingerprint}) is marked as revoked in {known_hosts_file()}."
    if found.state == "changed":
        return (
            f"its host key has changed: {found.pinned} is pinned, and it shows {found.fingerprint}. It may be another "
            f"host, or somebody in between. If the host was installed anew, pin the new key with `{enroll} --replace "
            f"{route.host}`."
        )
    return (
        f"its host key ({found.fingerprint}) is not known, so it may be another host. Look at its fingerprint on the "
        f"host, and pin it with `{enroll}`."
    )


def _lines() -> list[str]:
    file = known_hosts_file()
    try:
        data = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"The pinned host keys in {file} cannot be read: {error.strerror}.") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"{file} is in UTF-16, which OpenSSH does not read. Convert it to UTF-8.")
    return data.decode(errors="surrogateescape").removesuffix("\n").split("\n") if data else []


def pin(found: Sequence[ScannedKey], replace: Collection[str] = ()) -> None:
    """Pin the keys of hosts, without changing other lines of the file. Raises UserError for a revoked key, and for a
    changed key of a host that is not in ``replace``."""
    revoked = [key for key in found if key.state == "revoked"]
    if revoked:
        said = "; ".join(f"{key.host} shows {key.fingerprint}" for key in revoked)
        raise UserError(
            f"A host key is marked as revoked in {known_hosts_file()}: {said}. Nothing was pinned. Give the host a new "
            f"key, or remove its line {REVOKED}."
        )
    refused = [key for key in found if key.state == "changed" and key.host not in replace]
    if refused:
        said = "; ".join(f"{key.host} had {key.pinned} and shows {key.fingerprint}" for key in refused)
        names = " ".join(f"--replace {key.host}" for key in refused)
        raise UserError(
            f"A host key has changed: {said}. Nothing was pinned. If the host was installed anew, give {names}; else "
            "it may be another host, or somebody in between."
        )
    lines = _lines()
    for key in found:
        if key.state != "pinned":
            lines = [*without(lines, key.alias), f"{key.alias} {key.key.kind} {key.key.data}"]
    file = known_hosts_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))
    except OSError as error:
        raise UserError(
            f"The host keys cannot be written to {file}: {error.strerror}. XDG_STATE_HOME, or else HOME, says where "
            "that is."
        ) from error
