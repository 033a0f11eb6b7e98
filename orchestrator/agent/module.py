# SPDX-License-Identifier: Apache-2.0
"""The wireguard module in the kernel: the variant's during a run, the original one afterwards."""

import os
import sys

from orchestrator.agent.host import (
    MODULE,
    RUNTIME,
    AgentError,
    call,
    read_bytes,
    set_and_check,
    short_grace_periods,
    write_record,
)
from orchestrator.agent.host_messages import VariantAnswer, VariantRequest
from orchestrator.agent.removal import finish_removal


def loaded_build_id():
    """Return the build id of the wireguard module in the kernel, hex; None if it is not loaded."""
    try:
        with open(MODULE + "/notes/.note.gnu.build-id", "rb") as file:
            note = file.read()
    except OSError:
        return None
    name_size = int.from_bytes(note[0:4], sys.byteorder)
    size = int.from_bytes(note[4:8], sys.byteorder)
    start = 12 + (name_size + 3) // 4 * 4
    return note[start : start + size].hex()


DEPENDENCIES_LOADED = set()  # type: set[str]
# The build id of the module that was loaded before the first variant's, or "none": for the agent that restores it,
# which may be another one.
FOUND_LOADED = RUNTIME + "/module-before"


def remember_module():
    if not os.path.exists(FOUND_LOADED):
        os.makedirs(RUNTIME, exist_ok=True)
        write_record(FOUND_LOADED, (loaded_build_id() or "unknown") if os.path.isdir(MODULE) else "none")


def put_module_back():
    """Restore the wireguard module as it was found: not loaded, or the system's own. Return True if it had changed."""
    before = read_bytes(FOUND_LOADED).decode()
    if not before:
        return False
    changed = os.path.isdir(MODULE) and loaded_build_id() != before
    if changed:
        with short_grace_periods():
            call(["rmmod", "wireguard"])
        if before != "none":
            call(["modprobe", "wireguard"])
    os.unlink(FOUND_LOADED)
    return changed


def variant(request: VariantRequest) -> VariantAnswer:
    """Load the wanted wireguard module into the kernel, and verify it by its build id.

    Device settings that are module parameters are written before any device is created. Raises AgentError if the module
    cannot be loaded or another one is in the kernel.
    """
    wanted, path = request.build_id, request.module
    found = loaded_build_id()
    remember_module()
    if os.path.isdir(MODULE) and found != wanted:
        finish_removal()
        with short_grace_periods():
            call(["rmmod", "wireguard"])
        found = None
    if found is None:
        try:
            if path not in DEPENDENCIES_LOADED:
                depends = call(["modinfo", "--field", "depends", path]).strip()
                if depends:
                    call(["modprobe", "--all", *depends.split(",")])
                DEPENDENCIES_LOADED.add(path)
            call(["insmod", path])
        except AgentError as error:
            raise AgentError("The wireguard module %s cannot be loaded: %s" % (path, error)) from error
        found = loaded_build_id()
    if found != wanted:
        raise AgentError(
            "The wireguard module in the kernel has the build id %s, and the variant asks for %s; nothing was measured."
            % (found, wanted)
        )
    for name, value in sorted(request.parameters.items()):
        set_and_check("%s/parameters/%s" % (MODULE, name), value)
    return {"build_id": found}
