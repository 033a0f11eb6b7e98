# SPDX-License-Identifier: Apache-2.0
"""Host settings: read, written, read back.

A setting's name says what it is: a sysctl (net.core.rmem_max), a file (/sys/...), where an interrupt goes (irq/24), a
setting of an interface (nic/eth1/channels; see ethtool.py), or whether a service runs (service/irqbalance).
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
    """Where a setting that is a file is: below /sys, an interrupt's, or a sysctl's below /proc/sys."""
    if ".." in name.split("/"):
        raise AgentError("%r is no setting." % name)
    if name.startswith("irq/"):
        return "/proc/irq/%d/smp_affinity_list" % int(name[4:])
    return name if name.startswith("/sys/") else "/proc/sys/" + name.replace(".", "/")


def service_state(name):
    """active, or inactive; AgentError where systemd does not know the service."""
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
    """A setting's value; of one that lists its choices, the one in brackets; fields are apart by one space."""
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
    """{"names": [...], "may_refuse": [names]} -> {"values": {name: value}, "refused": {name: said}, "boot_id"}.

    ``refused``: those of ``may_refuse`` that cannot be read.
    """
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
    """{"values": {name: value}, "may_refuse": [names]}: write each, in this order, and read it back.

    Returns {"refused": {name: {"said", "now"}}}: of those that may refuse, what was said when they did, and the value
    that they have now, null where that cannot be read. The first refusal of another ends it.
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
    """{"roles": {role: {name: value}}} -> {"set": {role: {name: value}}, "others": {role: {name: value}}}.

    Sysctls of the network that a role's namespace has of its own are written there, and read back; ``others`` are of
    the whole host, and are left as they are. A name such as nics/gro is a setting of each link of the role, by the name
    that ethtool(8) has for it: of a virtual link it is set, and of an interface of the host it is among ``others``.
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
                # What a namespace shares with the host is missing there, or can only be read.
                own = path.startswith("/proc/sys/net/") and os.path.exists(path) and os.stat(path).st_mode & 0o222
                if own:
                    write_setting(name, value)
            (done if own else others).setdefault(role, {})[name] = value
    return {"set": done, "others": others}


def role_nics(role, name, value):
    """Bring the virtual links of a role to a setting. Returns those of them, and those of interfaces lent to it."""
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
