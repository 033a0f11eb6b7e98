# SPDX-License-Identifier: Apache-2.0
"""Host settings: reading, writing and verification.

The prefix of a setting's name gives its kind: a sysctl (net.core.rmem_max), a file (/sys/...), an interrupt's affinity
(irq/24), a setting of an interface (nic/eth1/channels; see ethtool.py), or the state of a service (service/irqbalance).
"""

import os
import re
import subprocess

from orchestrator.agent.ethtool import nic_value, set_nic_value, settings_named
from orchestrator.agent.host import AgentError, call, inside, read_text, write_text
from orchestrator.agent.host_messages import (
    ReadSettingsAnswer,
    ReadSettingsRequest,
    Refusal,
    RoleSettingsAnswer,
    RoleSettingsRequest,
    WriteSettingsAnswer,
    WriteSettingsRequest,
)
from orchestrator.agent.interfaces import PAIRS, links_of
from orchestrator.agent.netlink import NETLINK_ROUTE, Netlink
from orchestrator.agent.nics import taken_nics, where_it_is


def setting_path(name):
    """Return the path of a setting that is a file: below /sys, an interrupt's, or a sysctl's below /proc/sys."""
    if ".." in name.split("/"):
        raise AgentError("%r is no setting." % name)
    if name.startswith("irq/"):
        return "/proc/irq/%d/smp_affinity_list" % int(name[4:])
    return name if name.startswith("/sys/") else "/proc/sys/" + name.replace(".", "/")


def service_state(name):
    """Return active or inactive. Raises AgentError if systemd does not know the service."""
    known = subprocess.run(
        ["systemctl", "show", "--property=LoadState,ActiveState", "--value", name],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    if len(known) != 2 or "not-found" in known:
        raise AgentError("there is no service %s." % name)
    return "active" if "active" in known else "inactive"


def setting_value(name):
    """Return a setting's value.

    For a file that lists its choices, it is the one in brackets; fields are separated by one space.
    """
    kind, _, rest = name.partition("/")
    if kind == "nic":
        nic, _, what = rest.partition("/")
        with where_it_is(nic) as device:
            return nic_value(device, what)
    if kind == "service":
        return service_state(rest)
    try:
        text = read_text(setting_path(name))
    except OSError as error:
        raise AgentError("the setting %s cannot be read: %s." % (name, error.strerror)) from error
    chosen = re.search(r"\[(\S+)\]", text)
    return chosen.group(1) if chosen else " ".join(text.split())


def read_settings(request: ReadSettingsRequest) -> ReadSettingsAnswer:
    """Read settings. Raises AgentError for one that cannot be read, unless it may refuse."""
    values, refused = {}, {}
    for name in request.names:
        try:
            values[name] = setting_value(name)
        except AgentError as error:
            if name not in request.may_refuse:
                raise
            refused[name] = str(error)
    boot_id = read_text("/proc/sys/kernel/random/boot_id").strip()
    return {"values": values, "refused": refused, "boot_id": boot_id}


def write_settings(request: WriteSettingsRequest) -> WriteSettingsAnswer:
    """Write settings in this order, and read each back.

    The first refusal of a setting that may not refuse raises AgentError.
    """
    refused: dict[str, Refusal] = {}
    for name, value in request.values.items():
        try:
            write_setting(name, value)
        except AgentError as error:
            if name not in request.may_refuse:
                raise
            refused[name] = {"said": str(error), "now": value_or_none(name)}
    return {"refused": refused}


def role_settings(request: RoleSettingsRequest) -> RoleSettingsAnswer:
    """Write the settings that belong to roles.

    Network sysctls that a role's namespace has of its own are written there, and read back; those of the whole host are
    returned as ``others``, unchanged. A name such as nics/gro is a setting of each link of the role, by its name in
    ethtool(8): it is set on a virtual link, and is among ``others`` for an interface of the host.
    """
    done, others = {}, {}  # type: dict[str, dict[str, str]], dict[str, dict[str, str]]
    for role, values in request.roles.items():
        for name, value in values.items():
            if name.startswith("nics/"):
                owned, lent = role_nics(role, name[5:], value)
                done.setdefault(role, {}).update(owned)
                others.setdefault(role, {}).update(lent)
                continue
            path = setting_path(name)
            with inside(role):
                # Sysctls that a namespace shares with the host are missing there, or read-only.
                own = path.startswith("/proc/sys/net/") and os.path.exists(path) and os.stat(path).st_mode & 0o222
                if own:
                    write_setting(name, value)
            (done if own else others).setdefault(role, {})[name] = value
    return {"set": done, "others": others}


def role_nics(role, name, value):
    """Set the virtual links of a role; return their settings, and those of interfaces lent to the role."""
    lent = {was["device"]: nic for nic, was in taken_nics().items() if was["role"] == role}
    owned, others = {}, {}
    with inside(role):
        with Netlink(NETLINK_ROUTE) as netlink:
            devices = [name for name, link in links_of(netlink).items() if name in lent or link.kind in PAIRS]
        for device in sorted(devices):
            for what in settings_named(device, name):
                if device in lent:
                    others["nic/%s/%s" % (lent[device], what)] = value
                    continue
                set_nic_value(device, what, value)
                found = nic_value(device, what)
                if found != value:
                    raise AgentError(
                        "%s of the link %s of the role %s was set to %s and reads back %s."
                        % (what, device, role, value, found)
                    )
                owned["nic/%s/%s" % (device, what)] = value
    return owned, others


def value_or_none(name):
    try:
        return setting_value(name)
    except AgentError:
        return None


def write_setting(name, value):
    kind, _, rest = name.partition("/")
    if kind == "nic":
        nic, _, what = rest.partition("/")
        with where_it_is(nic) as device:
            set_nic_value(device, what, value)
    elif kind == "service":
        call(["systemctl", "start" if value == "active" else "stop", rest], timeout=60)
    else:
        write_text(setting_path(name), value)
    found = setting_value(name)
    if found != " ".join(value.split()):
        raise AgentError("the setting %s was set to %r and reads back %r." % (name, value, found))
