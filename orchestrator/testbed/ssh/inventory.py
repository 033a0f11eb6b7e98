# SPDX-License-Identifier: Apache-2.0
"""Reading an Ansible inventory with Ansible itself, to reach the hosts as Ansible would."""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.commands import capture
from orchestrator.errors import UserError

_ASK = Path(__file__).with_name("ask_ansible.py")
_TIMEOUT_S = 120
_OF_VAULTS = ("vault secrets", "on prompt for")  # in Ansible's messages on a vault whose password it does not have
_NAME_THE_PASSWORD = (
    " Name the file with the vault's password in ANSIBLE_VAULT_PASSWORD_FILE or ansible.cfg: nothing asks for it."
)
_EXCEPTION = re.compile(r"[\w.]+(Error|Exception): ")  # with which Python ends Ansible
_MOST_WORDS = 400
_SSH = ("ssh", "smart", "ansible.builtin.ssh", "ansible.legacy.ssh")
_PREFIXES = ("ansible.builtin.", "ansible.legacy.")
_UNPARSED = "No inventory was parsed"
_REFUSAL = re.compile(
    r"^\[WARNING\]: +Failed to parse inventory with '(\w+)' plugin: (.*)((?:\n(?!\[).*)*)", re.MULTILINE
)
_LEFT_OUT = re.compile(r"^\[WARNING\]: +Unable to parse (.*) as an inventory source$", re.MULTILINE)
_OF_SCRIPT = re.compile(r"^Standard error from inventory script:\n(.*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reach:
    """How Ansible would reach a host: its options for ssh, and how it would become root. None means not specified.

    ``ssh_args``, ``more_args``: arguments of ssh that come before and after the others; ``become``: Ansible would
    become root; ``become_method``: without the name of Ansible's own collection; ``password``: for that;
    ``no_password``: why there is none although there should be; ``unused``: variables with which Ansible would log in
    in a way that is not supported here.
    """

    address: str | None = None
    port: int | None = None
    user: str | None = None
    key: str | None = None
    ssh_args: tuple[str, ...] = ()
    more_args: tuple[str, ...] = ()
    become: bool | None = None
    become_method: str | None = None
    password: str | None = field(default=None, repr=False)
    no_password: str = ""
    unused: tuple[str, ...] = ()


def read_inventory(file: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return {host: the options with which Ansible would reach it} for `reach`, in alphabetical order. Raises UserError
    if Ansible cannot read the file."""
    if not file.exists():
        raise UserError(f"There is no inventory {file}. The testbed file names it, relative to itself.")
    # The user's ansible.cfg and variables apply as for Ansible, except those that concern Python or only messages.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:{environment.get('PATH', '/usr/bin:/bin')}",
        "LC_ALL": "C.UTF-8",
        # A group without hosts or a file in another format is an error here, not a warning.
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_FORCE_COLOR": "False",
        "ANSIBLE_VERBOSITY": "0",
        "ANSIBLE_ASK_VAULT_PASS": "False",
    }
    with tempfile.TemporaryDirectory(prefix="orch-inventory-") as folder:
        answer = Path(folder) / "answer.json"
        try:
            done = capture(
                [sys.executable, "-I", _ASK, answer, file],
                environment=environment,
                timeout_s=_TIMEOUT_S,
                new_session=True,
            )
            found = json.loads(answer.read_bytes()) if done.returncode == 0 else None
        except (subprocess.TimeoutExpired, OSError, ValueError) as error:
            raise UserError(f"The inventory {file} cannot be read: {error}.") from error
    if found is None:
        said = _error_in(done.stderr)
        if _UNPARSED in said:
            said = _why_unparsed(done.stderr) or said
        raise UserError(f"Ansible cannot read the inventory {file}: {said}{_remedy(said)}")
    for source in dict.fromkeys(_LEFT_OUT.findall(done.stderr)):
        print(f"orch: Ansible leaves out a part of the inventory: it cannot parse {source}.", file=sys.stderr)
    return {name: found[name] for name in sorted(found)}


def _error_in(said: str) -> str:
    """Return the error among Ansible's messages, in one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["no message"]
    marked = next((line for line in lines if line.startswith(("[ERROR]", "ERROR"))), None)
    begin = max((number for number, line in enumerate(lines) if _EXCEPTION.match(line)), default=-1)
    return (marked or " ".join(lines[begin:]))[:_MOST_WORDS]


def _remedy(said: str) -> str:
    return _NAME_THE_PASSWORD if any(words in said for words in _OF_VAULTS) else ""


def _why_unparsed(said: str) -> str:
    """Return why each of Ansible's plugins refused a file, from its warnings; empty if none gives a reason."""
    reasons = []
    for plugin, reason, rest in _REFUSAL.findall(said):
        reason = reason.removeprefix("Failed to parse inventory: ").rstrip(".")
        if own := _OF_SCRIPT.search(rest):
            reason += f" ({own[1].strip()})"
        reasons.append(f"the plugin {plugin} says: {reason[:300]}")
    return f"{'; '.join(reasons)}." if reasons else ""


def reach(inventory: str, host: str, found: Mapping[str, Any]) -> Reach:
    """Return how Ansible would reach a host of an inventory. ``inventory``: its file, for messages.

    Raises UserError if that is not possible here, or if a value is unusable.
    """
    where = f"The inventory {inventory}, host {host}"
    if "error" in found:
        raise UserError(f"{where}: {found['error']}{_remedy(found['error'])}")
    connection = str(found.get("connection", "ssh"))
    if connection not in _SSH:
        raise UserError(f"The inventory reaches {host} by {connection}; a testbed's hosts are reached by ssh.")
    if str(found.get("become_user", "root")) != "root":
        raise UserError(f"{where}: ansible_become_user is {found['become_user']}, and trials need root.")

    def words(name: str) -> tuple[str, ...]:
        try:
            return tuple(shlex.split(str(found.get(name, ""))))
        except ValueError as error:
            raise UserError(
                f"{where}: ansible_{name} cannot be split into words ({str(error).lower()}): {found[name]}"
            ) from error

    method = found.get("become_method")
    if method is not None:
        method = next((method.removeprefix(p) for p in _PREFIXES if method.startswith(p)), method)
    why = found.get("no_password", "")
    return Reach(
        address=found.get("address"),
        port=found.get("port"),
        user=found.get("user"),
        key=found.get("key"),
        ssh_args=words("ssh_args"),
        more_args=(*words("ssh_common_args"), *words("ssh_extra_args")),
        become=found.get("become"),
        become_method=method,
        password=found.get("password"),
        no_password=f"{where}: {why}{_remedy(why)}" if why else "",
        unused=tuple(found.get("unused", ())),
    )
