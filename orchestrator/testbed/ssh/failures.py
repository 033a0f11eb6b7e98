# SPDX-License-Identifier: Apache-2.0
"""Explaining why a login failed, quoting OpenSSH's messages."""

from collections.abc import Sequence

from orchestrator.errors import TestbedError
from orchestrator.testbed.login import HostLost, LoginRefused

_MOST_WORDS = 400
_KEY_FAILED = "Host key verification failed."
# Messages that are only consequences of earlier ones.
_CONSEQUENCES = (
    "Connection closed by UNKNOWN port 65535",
    "kex_exchange_identification: Connection closed by remote host",
    "ssh_exchange_identification: Connection closed by remote host",
)
_PERMISSION_DENIED = "Permission denied ("
_TOO_MANY = "Too many authentication failures"
# The configuration is wrong, or OpenSSH refuses its files: retrying is pointless.
_MISTAKES = ("Bad configuration option", "Bad owner or permissions", "bad configuration options", "Unable to negotiate")


def is_about_host_key(said: Sequence[str], alias: str) -> bool:
    """Return whether the host's own key was refused, rather than that of a jump host. ``alias``: the key's name."""
    return any(_KEY_FAILED in line for line in said) and any(
        "host key" in line.lower() and f" {alias} " in f"{line} " for line in said
    )


def quoted(said: Sequence[str]) -> str:
    """Return OpenSSH's messages in one line, without its frames of @ and without mere consequences of other
    messages."""
    lines = [line for line in said if not line.startswith("@")]
    causes = [line for line in lines if line not in _CONSEQUENCES] or lines
    return "; ".join(line.rstrip(".") for line in causes)[-_MOST_WORDS:]


def sentence(host: str, destination: str, user: str, said: Sequence[str], unused: Sequence[str] = ()) -> TestbedError:
    """Return an error that says why a login failed. ``said``: the lines that OpenSSH wrote; ``unused``: see Route."""
    words = quoted(said)
    if any(_KEY_FAILED in line for line in said):
        return LoginRefused(
            f"{host}: a host on the way to it has a key that your known_hosts does not have ({words}). Log in to that "
            "host with ssh once, and compare its key."
        )
    if any(_TOO_MANY in line for line in said):
        return LoginRefused(
            f"{host}: the login as {user} was refused ({words}). Your SSH agent offers many keys: name the right one "
            f"with IdentityFile and IdentitiesOnly for {destination} in your ~/.ssh/config."
        )
    if any(_PERMISSION_DENIED in line for line in said):
        return LoginRefused(
            f"{host}: the login as {user} was refused ({words}). `ssh {destination}` must work without a question: put "
            "your public key into its authorized_keys; a key with a passphrase must be in your SSH agent (ssh-add)."
            + (f" About the host in the inventory: {' '.join(unused)}" if unused else "")
        )
    if any(mark in line for line in said for mark in _MISTAKES):
        return LoginRefused(f"{host}: OpenSSH cannot log in to {destination} ({words}).")
    return HostLost(f"{host}: no SSH connection to {destination} ({words or 'it was closed at once'}).")
