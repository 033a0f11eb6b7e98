# SPDX-License-Identifier: Apache-2.0
"""The lab that stays up until it is taken down: `orch lab up`. At most one per user."""

import json
import os
import shlex
import shutil
import stat
from pathlib import Path
from typing import Any

from orchestrator.errors import TestbedError
from orchestrator.private import LONGEST_BYTES, lab_base, odd_characters
from orchestrator.progress import Progress
from orchestrator.spec import Testbed
from orchestrator.store.files import replace_file, to_json
from orchestrator.testbed.lab.lab import Lab
from orchestrator.testbed.lab.testbed import check_cores
from orchestrator.testbed.provider import provider_of

INVENTORY = "inventory.json"  # in the lab's folder; JSON is YAML, which Ansible reads


def _folder() -> Path:
    """Return the private folder with the standing lab's keeper, keys and state. It is removed at the end of the login
    session or of the boot."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    usable = (
        os.path.isabs(base)
        and os.path.isdir(base)
        and os.access(base, os.W_OK | os.X_OK)  # after `su` it may be another user's
        and len(os.fsencode(base)) < LONGEST_BYTES - 9
        and not odd_characters(base)
    )
    root = Path(base) / "orch" if usable else lab_base() / f"orch-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    found = root.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise TestbedError(f"{root} is not a private folder of yours. Remove it and try again.")
    return root / "lab"


def _inventory(lab: Lab, names: list[str]) -> dict[str, Any]:
    """Return an Ansible inventory that says how the machines are reached from this computer."""
    hosts = {
        name: {
            "ansible_host": name,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(lab.key_file),
            "ansible_ssh_common_args": shlex.join(
                ["-o", f"ProxyCommand={lab.proxy_command()}", "-o", "ProxyUseFdpass=yes"]
            ),
        }
        for name in names
    }
    return {"all": {"hosts": hosts}}


def standing_lab() -> tuple[Lab, dict[str, Any]] | None:
    """Return the standing lab and its description, or None. Leftovers of a crash are removed."""
    folder = _folder()
    if not folder.exists():
        return None
    lab = Lab(folder, None)
    try:
        description = json.loads((folder / "lab.json").read_bytes())
        lab.request("status")
    except (OSError, ValueError, TestbedError):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return lab, description


def bring_up(testbed: Testbed, cores: int, progress: Progress) -> Lab:
    """Start the standing lab with the machines of a testbed, building what they boot from if it is not cached.

    Raises TestbedError if a lab is already up, or UserError if the testbed's provider has no such machines.
    """
    if standing_lab():
        raise TestbedError("A lab is up already. `orch lab status` shows it, `orch lab down` takes it down.")
    provider = provider_of(testbed)
    virtual = provider.virtual(testbed)
    check_cores(len(testbed.hosts), cores, virtual)
    machines = provider.machines(testbed, progress)
    progress.stage("Starting the lab", 3)
    lab = Lab.start(detached_in=_folder())
    try:
        for number, host in enumerate(testbed.hosts, start=1):
            progress.detail(host.name)
            machines.boot(lab, number, cores)
        for host in testbed.hosts:
            machines.wait(lab, host.name)
        cpus = virtual.machine_cpus(cores) if virtual else cores
        state = {"testbed": testbed.testbed, "cores": cpus, "hosts": [host.name for host in testbed.hosts]}
        replace_file(lab.folder / "lab.json", to_json(state))
        replace_file(lab.folder / INVENTORY, to_json(_inventory(lab, [host.name for host in testbed.hosts])))
    except BaseException:
        lab.close()
        raise
    return lab
