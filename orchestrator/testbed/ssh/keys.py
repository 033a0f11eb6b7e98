# SPDX-License-Identifier: Apache-2.0
"""Host keys: fetched once, shown, pinned."""

import contextlib
from base64 import b64decode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.errors import UserError
from orchestrator.store.files import replace_file
from orchestrator.testbed.login import ANSWER_TIMEOUT_S, HostLost, fingerprint
from orchestrator.testbed.ssh.route import Route, known_hosts_file

if TYPE_CHECKING:
    import paramiko


@dataclass(frozen=True, slots=True)
class Found:
    """A host's key. ``state``: new, pinned (the same as the one that is pinned) or changed; ``pinned``: the fingerprint
    of the one that is pinned, where it is another."""

    host: str
    alias: str
    fingerprint: str
    state: str
    pinned: str
    line: str


def fetch_keys(routes: Mapping[str, Route]) -> list[Found]:
    """The keys that the hosts show now. Raises HostLost where one does not answer."""
    known = _pinned()
    return [_found(route, _shown_by(route), known.get(route.alias, [])) for route in routes.values()]


def _shown_by(route: Route) -> "paramiko.PKey":
    import paramiko

    try:
        with route.open_socket() as sock, contextlib.closing(paramiko.Transport(sock)) as transport:
            transport.banner_timeout = ANSWER_TIMEOUT_S
            transport.start_client(timeout=ANSWER_TIMEOUT_S)
            return transport.get_remote_server_key()
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise HostLost(
            f"{route.host}: no SSH server answers at {route.address}, port {route.port} ({error})."
        ) from error


def _found(route: Route, key: "paramiko.PKey", lines: Sequence[str]) -> Found:
    line = f"{route.alias} {key.get_name()} {key.get_base64()}"
    state = "new" if not lines else "pinned" if line in lines else "changed"
    pinned = ", ".join(_fingerprint_of(old) for old in lines) if state == "changed" else ""
    return Found(route.host, route.alias, fingerprint(key), state, pinned, line)


def _fingerprint_of(line: str) -> str:
    import paramiko

    _, kind, data = line.split()
    return fingerprint(paramiko.PKey.from_type_string(kind, b64decode(data)))


def _pinned() -> dict[str, list[str]]:
    """{alias: its lines} of the file."""
    found: dict[str, list[str]] = {}
    try:
        lines = known_hosts_file().read_text().splitlines()
    except FileNotFoundError:
        return {}
    for line in lines:
        if line.strip() and not line.startswith("#"):
            found.setdefault(line.split()[0], []).append(line.strip())
    return found


def pin(found: Sequence[Found], replace: Collection[str] = ()) -> None:
    """Pin the keys of hosts. A changed one is pinned only for hosts in ``replace``; else that is a UserError."""
    refused = [key for key in found if key.state == "changed" and key.host not in replace]
    if refused:
        said = "; ".join(f"{key.host} had {key.pinned} and shows {key.fingerprint}" for key in refused)
        names = " ".join(f"--replace {key.host}" for key in refused)
        raise UserError(
            f"A host key has changed: {said}. Nothing was pinned. If the host was installed anew, give {names}; else "
            "it may be another host, or somebody in between."
        )
    lines = {**_pinned(), **{key.alias: [key.line] for key in found}}
    file = known_hosts_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, "".join(f"{line}\n" for name in sorted(lines) for line in lines[name]))
