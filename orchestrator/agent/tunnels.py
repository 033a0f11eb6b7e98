# SPDX-License-Identifier: Apache-2.0
"""WireGuard tunnels between the gateways: devices, peers, handshakes."""

import base64
import contextlib
import errno
import os
import select
import socket
import struct
import time

from orchestrator.agent.cpus import (
    CONFINED,
    PLACED,
    acting_as,
    confine_polls,
    confine_work,
    cpu_list,
    place_polls,
    processes,
)
from orchestrator.agent.host import (
    AgentError,
    inside,
    read_text,
    set_and_check,
    sysfs_of,
)
from orchestrator.agent.messages import Nothing
from orchestrator.agent.netlink import (
    IFLA_GROUP,
    IFLA_IFNAME,
    IFLA_INFO_KIND,
    IFLA_LINKINFO,
    IFLA_MTU,
    NETLINK_ROUTE,
    NLM_F_CREATE,
    NLM_F_EXCL,
    RTM_NEWLINK,
    WGDEVICE_LISTEN_PORT,
    WGDEVICE_PEERS,
    WGDEVICE_PRIVATE_KEY,
    WGDEVICE_PUBLIC_KEY,
    WGPEER_ALLOWEDIPS,
    WGPEER_ENDPOINT,
    WGPEER_LAST_HANDSHAKE,
    WGPEER_PUBLIC_KEY,
    WGPEER_RX_BYTES,
    WGPEER_TX_BYTES,
    Netlink,
    WireGuardNetlink,
    allowed_ip,
    attribute,
    device_group,
    endpoint,
    link_message,
    name_attribute,
    nested,
)
from orchestrator.agent.network_messages import (
    HandshakesRequest,
    HandshakeTimesAnswer,
    HandshakeTimesRequest,
    IpTunnelsRequest,
    PeersRequest,
    TunnelsAnswer,
    TunnelsRequest,
)
from orchestrator.agent.roles import ip_batch
from orchestrator.agent.routes import set_routes


def tunnels(request: TunnelsRequest) -> TunnelsAnswer:
    """Create WireGuard devices with fresh keys; the answer has their public keys, in order."""
    keys = {}  # type: dict[str, list[str]]
    for role, devices in request.gateways.items():
        keys[role] = []
        with acting_as(role), Netlink(NETLINK_ROUTE) as link, WireGuardNetlink() as wireguard:
            for number, device in enumerate(devices):
                message = link_message(
                    name_attribute(IFLA_IFNAME, device["device"]),
                    attribute(IFLA_MTU, struct.pack("=I", device["mtu"])),
                    attribute(IFLA_GROUP, struct.pack("=I", device_group(number))),
                    nested(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, b"wireguard")),
                )
                what = "making the device %s on %s" % (device["device"], role)
                link.ask(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, message, what)
                wireguard.set(
                    device["device"],
                    attribute(WGDEVICE_PRIVATE_KEY, os.urandom(32)),
                    attribute(WGDEVICE_LISTEN_PORT, struct.pack("=H", device["port"])),
                )
                found, _ = wireguard.get(device["device"])
                keys[role].append(base64.b64encode(found[WGDEVICE_PUBLIC_KEY]).decode())
    return {"public_keys": keys}


def peers(request: PeersRequest) -> Nothing:
    """Add each device's peers, bring it up, apply the variant's settings, and add the routes.

    Settings are read back from every device.
    """
    for role, wanted in request.gateways.items():
        before = processes() if PLACED else set()  # if polling is threaded by default, adding a peer starts its thread
        with acting_as(role), Netlink(NETLINK_ROUTE) as link, WireGuardNetlink() as wireguard:
            for peer in wanted["peers"]:
                own = nested(
                    0,
                    attribute(WGPEER_PUBLIC_KEY, base64.b64decode(peer["public_key"])),
                    attribute(WGPEER_ENDPOINT, endpoint(peer["endpoint"])),
                    nested(WGPEER_ALLOWEDIPS, *map(allowed_ip, peer["allowed_ips"])),
                )
                wireguard.set(peer["device"], nested(WGDEVICE_PEERS, own))
                up = link_message(name_attribute(IFLA_IFNAME, peer["device"]), up=True)
                link.ask(RTM_NEWLINK, 0, up, "bringing %s up on %s" % (peer["device"], role))
        set_routes(role, wanted["routes"])
        with acting_as(role):
            set_devices(role, wanted)
        if PLACED and wanted["threaded"] == "1":
            place_polls(role, before, len(wanted["peers"]))
    if CONFINED:
        confine_polls()
    return {}


def set_devices(role, wanted):
    """Apply the variant's settings to a role's devices; ``wanted``: the role's part of a request of `peers`."""
    for peer in {peer["device"]: peer for peer in wanted["peers"]}.values():
        settings = "%s/class/net/%s/" % (sysfs_of(role), peer["device"])
        set_and_check(settings + "threaded", wanted["threaded"])
        cpus = peer["cpus"] or (cpu_list(CONFINED["cpus"]) if CONFINED else None)
        if cpus is not None:
            confine_work(settings + "wireguard/cpus", cpus)
        for name, value in wanted["device_settings"].items():
            found = read_text("%swireguard/%s" % (settings, name)).strip()
            if found != value:
                raise AgentError("%s/%s is %r on %s, not %r." % (role, name, found, peer["device"], value))


def ip_tunnels(request: IpTunnelsRequest) -> Nothing:
    """Create tunnels by ip(8)."""
    for role, wanted in request.gateways.items():
        grouped = ["link set dev %s group %d" % (name, device_group(at)) for at, name in enumerate(wanted["devices"])]
        ip_batch(role, [*wanted["lines"], *grouped])
        set_routes(role, wanted["routes"])
    return {}


IP_HEADER, IP_MTU_DISCOVER, IP_PMTUDISC_DO = 20, 10, 2
IP_PKTINFO, IP_RECVERR, MSG_ERRQUEUE, UDP_HEADER = 8, 11, 0x2000, 8
AT_ONCE = 128  # concurrent handshakes; a device with more than 512 waiting asks for cookies, which takes 5 s
AGAIN_S = 0.25
SHARED_DEVICE = "wg0"  # has a peer for each tunnel, in their order; other devices have one peer


def handshakes(request: HandshakesRequest) -> Nothing:
    """Check that a datagram gets through every tunnel, which requires a complete handshake.

    A datagram goes to a closed port of each destination; the refusal that comes back has crossed the tunnel both ways.
    ip(7), IP_RECVERR
    """
    with acting_as(request.role), socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as probe:
        probe.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        probe.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        left = unanswered(probe, request.paths, b"orch", request.patience_s)
        if left:
            raise AgentError(
                "%d of %d tunnels carried nothing within %g s: no answer from %s."
                % (len(left), len(request.paths), request.patience_s, ", ".join(sorted(left)[:5]))
            )
        if request.size is not None:
            payload = bytes(request.size - IP_HEADER - UDP_HEADER)
            left = unanswered(probe, request.paths, payload, request.patience_s)
            if left:
                raise too_long(sorted(left)[0])
    return {}


def unanswered(probe, paths, payload, patience_s):
    """Send a datagram on each path until it is refused; return the destinations that did not refuse one in time."""
    deadline = time.monotonic() + patience_s
    due = list(reversed(paths))
    waiting = {}  # type: dict[str, tuple[bytes, float]]
    poller = select.poll()
    poller.register(probe, select.POLLERR)
    while due or waiting:
        while due and len(waiting) < AT_ONCE:
            source, destination = due.pop()
            waiting[destination] = (struct.pack("=I", 0) + socket.inet_aton(source) + bytes(4), 0.0)
        now = time.monotonic()
        for destination, (source, sent_at) in waiting.items():
            if now - sent_at > AGAIN_S:
                knock(probe, source, destination, payload)
                waiting[destination] = (source, now)
        poller.poll(50)
        for destination in refusals(probe):
            waiting.pop(destination, None)
        if waiting and time.monotonic() > deadline:
            break
    return [*waiting, *(destination for _, destination in due)]


def knock(probe, source, destination, payload):
    """Send a datagram; a socket reports earlier refusals at its next call, which is not a failure of that call."""
    for _ in range(3):
        with contextlib.suppress(ConnectionRefusedError):
            try:
                probe.sendmsg([payload], [(socket.IPPROTO_IP, IP_PKTINFO, source)], 0, (destination, 9))
            except OSError as error:
                if error.errno == errno.EMSGSIZE:
                    raise too_long(destination) from error
                raise
            return


def too_long(destination):
    """Return the error for a packet that exceeds the MTU of a router on the path or of the interface."""
    return AgentError(
        "packets of the requested size do not pass unfragmented on the path to %s: raise the MTU along the path, or "
        "send smaller packets." % destination
    )


def refusals(probe):
    """Return the destinations that refused a datagram."""
    found = []  # type: list[str]
    while True:
        try:
            _, ancillary, _, address = probe.recvmsg(64, 512, MSG_ERRQUEUE)
        except ConnectionRefusedError:
            continue
        except BlockingIOError:
            return found
        errors = [struct.unpack_from("=I", data)[0] for _, kind, data in ancillary if kind == IP_RECVERR]
        if errno.EMSGSIZE in errors:
            raise too_long(address[0])
        if errno.ECONNREFUSED in errors:
            found.append(address[0])


def handshake_times(request: HandshakeTimesRequest) -> HandshakeTimesAnswer:
    """Return what WireGuard knows of its peers.

    A peer has the name of its device if that has no other, and ``wg0/N`` for tunnel N on a device that tunnels share.
    """
    ages = {}  # type: dict[str, dict[str, float | None]]
    carried = {}  # type: dict[str, dict[str, list[int]]]
    ports = {}  # type: dict[str, dict[str, int]]
    now = time.time()
    for role in request.roles:
        ages[role], carried[role], ports[role] = {}, {}, {}
        present = [name for name in os.listdir(sysfs_of(role) + "/class/net") if name.startswith("wg")]
        with inside(role), WireGuardNetlink() as wireguard:
            for device in sorted(present):
                for number, peer in enumerate(wireguard.get(device)[1], start=1):
                    name = "%s/%d" % (device, number) if device == SHARED_DEVICE else device
                    seconds, nanoseconds = struct.unpack("=qq", peer[WGPEER_LAST_HANDSHAKE])
                    at = seconds + nanoseconds / 1e9
                    ages[role][name] = now - at if at else None
                    ports[role][name] = struct.unpack_from(">H", peer[WGPEER_ENDPOINT], 2)[0]  # of a sockaddr
                    if device == SHARED_DEVICE:
                        counters = (peer[WGPEER_RX_BYTES], peer[WGPEER_TX_BYTES])
                        carried[role][name] = [struct.unpack("=Q", counter)[0] for counter in counters]
    return {"ages_s": ages, "ports": ports, "carried_bytes": carried, "clock_s": now}
