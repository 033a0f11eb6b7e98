# SPDX-License-Identifier: Apache-2.0
"""Interfaces of the host that are lent to roles, and given back as they were."""

import contextlib
import json
import os

from orchestrator.agent.host import RUNTIME, AgentError, call, read_text, sysfs_of, write_text

# Interfaces of the host that are in a role's namespace, each as it was before. The file is for an agent that comes
# after one that was killed; its folder is gone with the boot, as is what it describes.
TAKEN_FILE = RUNTIME + "/nics.json"


def taken_nics():
    try:
        with open(TAKEN_FILE, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def write_taken(nics):
    with open(TAKEN_FILE + ".new", "w", encoding="utf-8") as file:
        json.dump(nics, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(TAKEN_FILE + ".new", TAKEN_FILE)


OF_ONE_NIC = ("ipv4/conf", "ipv6/conf", "ipv4/neigh", "ipv6/neigh")


def sysctls_of(nic):
    """{file below /proc/sys/net: value} of those that each interface has its own of."""
    found = {}
    for folder in OF_ONE_NIC:
        base = "/proc/sys/net/%s/%s" % (folder, nic)
        for name in os.listdir(base) if os.path.isdir(base) else []:
            with contextlib.suppress(OSError):
                found["%s/%s/%s" % (folder, nic, name)] = read_text(os.path.join(base, name)).strip()
    return found


def nic_state(nic):
    """What a move to another namespace takes from an interface: its sysctls, addresses and routes, and its state."""
    shown = json.loads(call(["ip", "-json", "address", "show", "dev", nic]))[0]
    addresses = [
        "%s/%d" % (found["local"], found["prefixlen"])
        for found in shown["addr_info"]
        if not (found["family"] == "inet6" and found["scope"] == "link")
    ]
    routes = []
    for family in ("-4", "-6"):
        lines = call(["ip", family, "route", "show", "dev", nic]).splitlines()
        routes += [[family, line.strip()] for line in lines if "proto kernel" not in line and "proto ra" not in line]
    return {
        "up": "UP" in shown["flags"],
        "mtu": shown["mtu"],
        "sysctls": sysctls_of(nic),
        "addresses": addresses,
        "routes": routes,
    }


def nic_trouble(nic):
    """Why an interface cannot be taken for a trial; None if it can."""
    return state_and_trouble(nic)[1]


def state_and_trouble(nic):
    if not os.path.isdir("/sys/class/net/" + nic):
        known = ", ".join(sorted(os.listdir("/sys/class/net")))
        return {}, "there is no interface %s here; there are %s" % (nic, known)
    state = nic_state(nic)
    if any(route.startswith("default") for _, route in state["routes"]):
        return state, "the host's default route goes over %s, so it may be the way to the host itself" % nic
    connection = os.environ.get("SSH_CONNECTION", "").split()
    if len(connection) == 4 and any(a.split("/")[0] == connection[2] for a in state["addresses"]):
        return state, "this very SSH connection comes in over %s" % nic
    return state, None


def take_nic(nic, role, device):
    state, trouble = state_and_trouble(nic)
    if trouble:
        raise AgentError("%s cannot be used for the role %s: %s." % (nic, role, trouble))
    write_taken({**taken_nics(), nic: {**state, "role": role, "device": device}})
    call(["ip", "link", "set", "dev", nic, "down"])
    call(["ip", "link", "set", "dev", nic, "netns", role, "name", device])


def give_nics_back():
    for nic, was in taken_nics().items():
        device = was["device"]
        if os.path.isdir("%s/class/net/%s" % (sysfs_of(was["role"]), device)):
            call(["ip", "-n", was["role"], "link", "set", "dev", device, "down"])
            call(["ip", "-n", was["role"], "link", "set", "dev", device, "netns", "1", "name", nic])
        elif not os.path.isdir("/sys/class/net/" + nic) and os.path.isdir("/sys/class/net/" + device):
            call(["ip", "link", "set", "dev", device, "down"])  # its namespace is gone, and it came home by itself
            call(["ip", "link", "set", "dev", device, "name", nic])
        lines = ["link set dev %s mtu %d" % (nic, was["mtu"])]
        if was["up"]:
            lines.append("link set dev %s up" % nic)
        lines += ["address replace %s dev %s" % (address, nic) for address in was["addresses"]]
        now = sysctls_of(nic)
        for name, value in was["sysctls"].items():
            if now.get(name, value) != value:
                with contextlib.suppress(AgentError):  # one that can only be read, or follows from others
                    write_text("/proc/sys/net/" + name, value)
        call(["ip", "-batch", "-"], "".join(line + "\n" for line in lines))
        for family, route in was["routes"]:
            call(["ip", family, "route", "replace", *route.split(), "dev", nic])
        left = taken_nics()
        del left[nic]
        if left:
            write_taken(left)
        else:
            os.unlink(TAKEN_FILE)
