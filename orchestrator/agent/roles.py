# SPDX-License-Identifier: Apache-2.0
"""The roles' network namespaces and the links between them."""

import contextlib
import os
import socket
import time

from orchestrator.agent.cpus import set_mask
from orchestrator.agent.echo import PROTOCOL, echo_answer, echo_request
from orchestrator.agent.host import (
    NAMESPACES,
    RUNTIME,
    AgentError,
    call,
    family_of,
    inside,
    set_and_check,
    sysfs_of,
)
from orchestrator.agent.messages import Nothing
from orchestrator.agent.network_messages import LinksRequest, NeighboursRequest, UnlinkAnswer, UnlinkRequest
from orchestrator.agent.nics import give_nics_back, lent_to, take_nics
from orchestrator.agent.processes import end_left_processes

LINKS = {}  # type: dict[str, bool]


def remove_namespaces():
    """Remove the roles' namespaces, and restore the interfaces that were moved into them.

    Returns sentences on interfaces that could not be restored: a namespace that still has one stays, since removing it
    would destroy an interface that is not a NIC.
    """
    said = give_nics_back()
    made = set(os.listdir(RUNTIME + "/sys")) if os.path.isdir(RUNTIME + "/sys") else set()
    for role in made - lent_to():
        if os.path.ismount(sysfs_of(role)):
            call(["umount", sysfs_of(role)])
        os.rmdir(sysfs_of(role))
        if os.path.exists(os.path.join(NAMESPACES, role)):
            call(["ip", "netns", "delete", role])
    with contextlib.suppress(OSError):  # not there
        os.rmdir(RUNTIME + "/sys")
    return said


def unlink(request: UnlinkRequest) -> UnlinkAnswer:
    """Remove the roles' namespaces, until `links` makes them again."""
    del request
    return {"left": remove_namespaces()}


def links(request: LinksRequest) -> Nothing:
    """Create the namespaces of the roles, the links between them, their addresses and routes, from scratch.

    Raises AgentError if an interface of the host is still lent, or another program has a namespace of that name.
    """
    end_left_processes()
    left = remove_namespaces()
    LINKS["made"] = True
    if lent_to():
        raise AgentError(" ".join(left))
    for role in request.namespaces:
        if os.path.exists(os.path.join(NAMESPACES, role)):
            raise AgentError("the network namespace %s already exists, and another program created it." % role)
        os.makedirs(sysfs_of(role))
        call(["ip", "netns", "add", role])
        with inside(role):
            # A sysfs shows the network namespace in which it was mounted.
            call(["mount", "-t", "sysfs", "sysfs", sysfs_of(role)])
    pairs = [
        "link add %s netns %s type veth peer name %s netns %s" % (device_a, role_a, device_b, role_b)
        for role_a, device_a, role_b, device_b in request.veth
    ]
    if pairs:
        call(["ip", "-batch", "-"], "".join(line + "\n" for line in pairs))
    take_nics(request.nics)
    for role, wanted in request.namespaces.items():
        with inside(role):
            for name, value in wanted["sysctl"].items():
                set_and_check("/proc/sys/" + name.replace(".", "/"), value)
        ip_batch(role, wanted["ip"])
    for role, steering in request.steering.items():
        steer(role, steering)
    return {}


FLOWS = "4096"  # table sizes of receive flow steering, per queue and in total


def steer(role, wanted):
    """Select the CPUs that process the packets that a role's virtual links receive.

    ``wanted``: see `Steering`. Documentation/networking/scaling.rst, on RPS and RFS.
    """
    if wanted["to_reader"]:
        set_and_check("/proc/sys/net/core/rps_sock_flow_entries", FLOWS)  # applies to the whole host
    for device in wanted["devices"]:
        folder = "%s/class/net/%s/" % (sysfs_of(role), device)
        if wanted["receive_hash"] is not None:
            set_and_check(folder + "veth/receive_hash", wanted["receive_hash"])
        set_mask(folder + "queues/rx-0/rps_cpus", wanted["cpus"])
        if wanted["to_reader"]:
            set_and_check(folder + "queues/rx-0/rps_flow_cnt", FLOWS)


def ip_batch(role, lines):
    if lines:
        call(["ip", "-n", role, "-batch", "-"], "".join(line + "\n" for line in lines))


def neighbours(request: NeighboursRequest) -> Nothing:
    """Check that each role reaches the other end of its links, with full-size packets.

    Retries for some seconds, because a switch may take that long to forward after an interface came up.
    """
    for role, wanted in request.roles.items():
        for address in wanted["addresses"]:
            reach(role, address, request.mtu)
    return {}


# By family: bytes of the IP header, and the level and option that forbid fragmentation. ip(7), ipv6(7)
WHOLE = {
    socket.AF_INET: (20, socket.IPPROTO_IP, 10),
    socket.AF_INET6: (40, socket.IPPROTO_IPV6, 23),
}
PMTUDISC_DO = 2
PATIENCE_S = 15
ANSWER_S, MOST_ANSWER_S = 0.25, 2.0  # for an answer, at first and at most: machines that are emulated take longer


def reach(role, address, mtu):
    """Exchange full-size echo packets, which must not be fragmented, with a neighbour. Raises AgentError."""
    deadline = time.monotonic() + PATIENCE_S
    family = family_of(address)
    header, level, discover = WHOLE[family]
    with inside(role):
        echo = socket.socket(family, socket.SOCK_RAW, PROTOCOL[family])
    with echo:
        echo.setsockopt(level, discover, PMTUDISC_DO)
        small_passed = False
        number = 0
        wait_s = ANSWER_S
        while time.monotonic() < deadline:
            for size in (64, mtu - header):
                number += 1
                echo.settimeout(wait_s)
                if not exchanged(echo, address, size, number):
                    wait_s = min(2 * wait_s, MOST_ANSWER_S)
                    break
                small_passed = True
            else:
                return
    if small_passed:
        raise AgentError(
            "%s reaches %s with small packets, and not with those of %d bytes: raise the MTU along the path."
            % (role, address, mtu)
        )
    raise AgentError(
        "%s does not reach %s over its link within %d s: are these two interfaces connected, and their ports up?"
        % (role, address, PATIENCE_S)
    )


def exchanged(echo, address, size, number):
    """Return True if an echo request of ``size`` bytes is answered."""
    identity = os.getpid() & 0xFFFF
    try:
        echo.sendto(echo_request(identity, number, size, echo.family), (address, 0))
        while True:
            if echo_answer(echo.recv(65536), identity, echo.family) == (number & 0xFFFF, size):
                return True
    except OSError:  # no answer in time, too long for the interface, or no route
        time.sleep(0.05)
        return False
