# SPDX-License-Identifier: Apache-2.0
"""Write how Ansible would reach the hosts of an inventory. It is a program of its own, run as

    python ask_ansible.py FILE INVENTORY

It writes JSON to FILE: {host: {option: value}}; the options are those of _OF_SSH and _OF_ALL, `unused`, which lists the
variables for _UNUSED, and `password`, for sudo, or `no_password`: why it cannot be read. Ansible itself reads the
inventory, ansible.cfg, vaults and templates, with its own order of precedence among variables, environment and
defaults. An option that has only Ansible's default is left out. A host whose variables cannot be used has
{"error": why}.
"""

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible import constants, context
from ansible.cli import CLI
from ansible.cli.inventory import InventoryCLI
from ansible.context import CLIArgs
from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.loader import become_loader, connection_loader
from ansible.template import Templar

# Ansible's names of the options, in its connection plugin ssh and in general, and our names for them.
_OF_SSH = {
    "host": "address",
    "port": "port",
    "remote_user": "user",
    "private_key_file": "key",
    "ssh_args": "ssh_args",
    "ssh_common_args": "ssh_common_args",
    "ssh_extra_args": "ssh_extra_args",
}
# Options of the connection plugin ssh for logins that are not supported; which there are depends on Ansible's version.
_UNUSED = ("password", "private_key", "ssh_executable")
_OF_ALL = {
    "connection": "ansible_connection",
    "become": "ansible_become",
    "become_method": "ansible_become_method",
    "become_user": "ansible_become_user",
}


class _Asked(InventoryCLI):  # type: ignore[misc]
    """`ansible-inventory`, but instead of printing the inventory it writes the options of each host."""

    answer: Path

    def run(self) -> None:
        CLI.run(self)
        # Ansible 2.19 cannot parse a path with a comma if its type is Ansible's own string type.
        sources = [str(source) for source in context.CLIARGS["inventory"]]
        context.CLIARGS = CLIArgs({**context.CLIARGS, "inventory": sources})
        self.loader, self.inventory, self.vm = self._play_prereqs()
        found = {}
        for host in self.inventory.get_hosts():
            try:
                found[str(host.name)] = self._options(host)
            except _NotUsable as error:
                found[str(host.name)] = {"error": str(error)}
        self.answer.write_text(json.dumps(found))

    def _options(self, host: Any) -> dict[str, Any]:
        variables = self.vm.get_vars(host=host, include_hostvars=False, stage="all")
        templar = Templar(loader=self.loader, variables=variables)
        plugin = connection_loader.get("ansible.builtin.ssh", class_only=True)
        definitions = constants.config.get_configuration_definitions("connection", plugin._load_name)
        of_ssh = {entry["name"] for name in _OF_SSH for entry in definitions[name].get("vars", ())}
        said = {}
        for name in sorted(of_ssh | set(_OF_ALL.values())):
            if name in variables:
                with _naming(name):
                    said[name] = templar.template(variables[name])
        options = {}
        for name, ours in _OF_SSH.items():
            with _naming(name):
                value, origin = constants.config.get_config_value_and_origin(
                    name, plugin_type="connection", plugin_name=plugin._load_name, variables=said
                )
            if origin != "default":
                options[ours] = value
        for ours, variable in _OF_ALL.items():
            options[ours] = said[variable] if variable in said else _configured(ours)
        with _naming(_OF_ALL["become"]):
            options["become"] = None if options["become"] is None else boolean(options["become"])
        given = _plain({name: value for name, value in options.items() if value not in (None, "")})
        given |= _sudo_password(templar, variables)
        other = [str(entry["name"]) for name in _UNUSED for entry in definitions.get(name, {}).get("vars", ())]
        unused = [name for name in other if name in variables]
        return {**given, "unused": unused} if unused else given


class _NotUsable(Exception):
    """A variable has a value that Ansible refuses. The message says which and why."""


@contextlib.contextmanager
def _naming(variable: str) -> Iterator[None]:
    try:
        yield
    except (AnsibleError, TypeError, ValueError) as error:
        raise _NotUsable(f"{variable}: {error}") from error


def _configured(name: str) -> Any:
    """Return a setting of ansible.cfg or the environment; None if it has Ansible's default or is not set."""
    if name == "connection":
        return None
    value, origin = constants.config.get_config_value_and_origin(f"DEFAULT_{name.upper()}")
    return None if origin == "default" else value


def _sudo_password(templar: Any, variables: Mapping[str, Any]) -> dict[str, str]:
    """Return the password that Ansible would give to sudo, or why it cannot; empty if there is none."""
    plugin = become_loader.get("ansible.builtin.sudo", class_only=True)
    definitions = constants.config.get_configuration_definitions("become", plugin._load_name)
    try:
        said = {}
        for name in (entry["name"] for entry in definitions["become_pass"]["vars"]):
            if name in variables:
                with _naming(name):
                    said[name] = templar.template(variables[name])
        with _naming("become_pass"):
            password = constants.config.get_config_value(
                "become_pass", plugin_type="become", plugin_name=plugin._load_name, variables=said
            )
        with _naming("become_password_file"):
            file = constants.config.get_config_value("BECOME_PASSWORD_FILE")
            password = password or (file and CLI.get_password_from_file(file))
    except _NotUsable as error:
        return {"no_password": str(error)}
    return {"password": str(password)} if password else {}


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options without Ansible's own types, which track where a value comes from."""
    return {
        name: bool(value) if isinstance(value, bool) else int(value) if isinstance(value, int) else str(value)
        for name, value in options.items()
    }


if __name__ == "__main__":
    answer, inventory = sys.argv[1:]
    _Asked.answer = Path(answer)
    _Asked.cli_executor(["ansible-inventory", "--list", "-i", inventory])
