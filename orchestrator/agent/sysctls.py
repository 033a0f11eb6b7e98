# SPDX-License-Identifier: Apache-2.0
"""The sysctls that exist separately for each interface."""

import os

from orchestrator.agent.host import AgentError, read_text, write_text

OF_ONE_NIC = ("ipv4/conf", "ipv6/conf", "ipv4/neigh", "ipv6/neigh", "mpls/conf")


def sysctls_of(nic):
    """Return {file below /proc/sys/net: value} of an interface's own sysctls."""
    found = {}
    for folder in OF_ONE_NIC:
        base = "/proc/sys/net/%s/%s" % (folder, nic)
        for name in sorted(os.listdir(base)) if os.path.isdir(base) else []:
            value = sysctl(os.path.join(base, name))
            if value is not None:
                found["%s/%s/%s" % (folder, nic, name)] = value
    return found


def write_sysctls(values):
    """Write sysctls, and return {name: why} of those that could not be set."""
    failed = {}
    for name, value in values.items():
        path = "/proc/sys/net/" + name
        try:
            if sysctl(path) != value:
                write_text(path, value)
                found = sysctl(path)
                if found != value:
                    failed[name] = "%s was set to %r and reads back %r." % (path, value, found)
        except AgentError as error:
            failed[name] = str(error)
    return failed


def sysctl(path):
    """Return a sysctl's value; None if it cannot be read, such as a secret that was not set."""
    try:
        return read_text(path).strip()
    except OSError:
        return None
