# SPDX-License-Identifier: Apache-2.0
"""The TCP connections over which this agent may have been started, which lead to this host's controller."""

import glob
import ipaddress
import os
import re
import struct
import typing

from orchestrator.agent.host import read_bytes

ESTABLISHED = "01"  # tcp_states.h
SSH_SERVERS = (b"sshd", b"sshd-session", b"sshd-auth", b"dropbear")


class Connection(typing.NamedTuple):
    """A TCP connection: addresses as text without a zone, ports, and the zone.

    ``zone``: the interface of a link-local address, or empty.
    """

    local: str
    local_port: int
    peer: str
    peer_port: int
    zone: str = ""


def own_connections():
    """Return the connections of this process's ancestors, and those in their environments (SSH_CONNECTION)."""
    open_ones, found = tcp_connections(), []
    for pid in ["self", *ancestors()]:
        found += [open_ones[inode] for inode in sockets_of(pid) if inode in open_ones]
        found += told_by(read_bytes("/proc/%s/environ" % pid) if pid != "self" else own_environment())
    return sorted(set(found))


def connections_of_ssh_servers():
    """Return the connections of all SSH servers on this host, whoever is logged in."""
    open_ones, found = tcp_connections(), []
    for folder in glob.glob("/proc/[0-9]*"):
        pid = os.path.basename(folder)
        if read_bytes(folder + "/comm").strip() in SSH_SERVERS and namespace_of(pid) == namespace_of("self"):
            found += [open_ones[inode] for inode in sockets_of(pid) if inode in open_ones]
    return sorted(set(found))


def own_environment():
    return b"".join(b"%s=%s\0" % item for item in os.environb.items())


def told_by(environment):
    """Return the connection that SSH_CONNECTION names, in a list.

    The list is empty if sshd had no socket (UNKNOWN). ssh(1)
    """
    for entry in environment.split(b"\0"):
        name, _, value = entry.decode(errors="replace").partition("=")
        words = value.split()
        if name == "SSH_CONNECTION" and len(words) == 4 and words[1].isdigit() and words[3].isdigit():
            (peer, _, peer_zone), (local, _, local_zone) = words[0].partition("%"), words[2].partition("%")
            if is_address(peer) and is_address(local):
                zone = local_zone or peer_zone
                return [Connection(plain(local), int(words[3]), plain(peer), int(words[1]), zone)]
    return []


def is_address(text):
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def plain(text):
    """Return an address as text; an IPv4-mapped IPv6 address as the IPv4 address."""
    address = ipaddress.ip_address(text)
    return str(getattr(address, "ipv4_mapped", None) or address)


def ancestors():
    """Return the ancestors of this process that are in its network namespace, the nearest first."""
    found, pid = [], os.getppid()
    while pid > 0 and str(pid) not in found:
        found.append(str(pid))
        parent = re.search(rb"^PPid:\s*(\d+)", read_bytes("/proc/%d/status" % pid), re.MULTILINE)
        pid = int(parent.group(1)) if parent else 0
    return [pid for pid in found if namespace_of(pid) == namespace_of("self")]


def namespace_of(pid):
    try:
        return os.readlink("/proc/%s/ns/net" % pid)
    except OSError:
        return None


def sockets_of(pid):
    """Return the inodes of the sockets that a process has open."""
    found = set()
    for path in glob.glob("/proc/%s/fd/*" % pid):
        try:
            target = os.readlink(path)
        except OSError:  # it was closed meanwhile
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def tcp_connections():
    """Return {inode of its socket: Connection} of the established connections in this namespace.

    proc(5), on /proc/net/tcp
    """
    found = {}
    for name in ("tcp", "tcp6"):
        for line in read_bytes("/proc/self/net/" + name).decode().splitlines()[1:]:
            fields = line.split()
            if fields[3] == ESTABLISHED:
                (local, local_port), (peer, peer_port) = end_in(fields[1]), end_in(fields[2])
                found[fields[9]] = Connection(local, local_port, peer, peer_port)
    return found


def end_in(text):
    """Return (address, port) from the text of an end: 32-bit words in this computer's byte order, and a port."""
    words, _, port = text.partition(":")
    data = b"".join(struct.pack("=I", int(words[i : i + 8], 16)) for i in range(0, len(words), 8))
    return plain(str(ipaddress.ip_address(data))), int(port, 16)
