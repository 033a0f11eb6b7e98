# SPDX-License-Identifier: Apache-2.0
"""An Ansible inventory, read by Ansible's own parser."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError

_TIMEOUT_S = 60


def read_inventory(file: Path) -> Mapping[str, Mapping[str, Any]]:
    """{host: its variables}. Raises UserError where Ansible cannot read the file."""
    if not file.exists():
        raise UserError(f"There is no inventory {file}. The testbed file names it, relative to itself.")
    program = Path(sys.executable).with_name("ansible-inventory")
    environment = {name: os.environ[name] for name in ("HOME", "PATH", "LANG") if name in os.environ}
    # A group without hosts or a file of another form is a mistake here, not a warning.
    environment |= {"LC_ALL": "C.UTF-8", "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True", "ANSIBLE_NOCOLOR": "True"}
    try:
        done = subprocess.run(
            [program, "-i", file, "--list"],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=environment,
            timeout=_TIMEOUT_S,
            check=False,
        )
        found = json.loads(done.stdout) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise UserError(f"The inventory {file} cannot be read: {error}.") from error
    if found is None:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        said = next((line for line in lines if "rror" in line), lines[-1] if lines else "no message")
        raise UserError(f"Ansible cannot read the inventory {file}: {said.strip()[:400]}")
    hosts = {name for group in found.values() if isinstance(group, dict) for name in group.get("hosts", ())}
    variables = found.get("_meta", {}).get("hostvars", {})
    return {name: variables.get(name, {}) for name in sorted(hosts)}
