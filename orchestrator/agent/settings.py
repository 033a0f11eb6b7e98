# SPDX-License-Identifier: Apache-2.0
"""Host settings: read, written, read back."""

import re

from orchestrator.agent.host import AgentError, read_text, write_text


def setting_path(name):
    """Where a setting is: a file below /sys, or a sysctl's below /proc/sys."""
    if ".." in name.split("/"):
        raise AgentError("%r is no setting." % name)
    return name if name.startswith("/sys/") else "/proc/sys/" + name.replace(".", "/")


def setting_value(name):
    """A setting's value; of one that lists its choices, the one in brackets; fields are apart by one space."""
    try:
        text = read_text(setting_path(name))
    except OSError as error:
        raise AgentError("the setting %s cannot be read: %s." % (name, error.strerror)) from error
    chosen = re.search(r"\[(\S+)\]", text)
    return chosen.group(1) if chosen else " ".join(text.split())


def read_settings(request):
    """{"names": [...]} -> {"values": {name: value}, "boot_id"}."""
    boot_id = read_text("/proc/sys/kernel/random/boot_id").strip()
    return {"values": {name: setting_value(name) for name in request["names"]}, "boot_id": boot_id}


def write_settings(request):
    """{"values": {name: value}}: write each, and read it back."""
    for name, value in request["values"].items():
        write_text(setting_path(name), value)
        found = setting_value(name)
        if found != " ".join(value.split()):
            raise AgentError("the setting %s was set to %r and reads back %r." % (name, value, found))
    return {}
