#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The agent on a testbed host: sets up roles and tunnels, runs traffic, samples the host.

It needs Python 3.9 or later, iproute2, wireguard-tools and iperf3, and nothing of the orchestrator's package. The
controller sends this file over SSH to the host's Python and then talks to it in JSON, one object a line: a request
``{"op": NAME, ...}`` on standard input, and on standard output an answer ``{"ok": true, ...}`` or
``{"ok": false, "error": SENTENCE}``. At the end of standard input, whatever caused it, the agent stops its children,
takes its namespaces away and gives the interfaces that were in them back.

Each role lives in a network namespace that has the role's name. Private keys are made here and never leave this host.
"""

import base64
import concurrent.futures
import contextlib
import ctypes
import errno
import fcntl
import functools
import glob
import hashlib
import json
import os
import platform
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import typing

PROTOCOL = 1
RUNTIME = "/run/orch"
NAMESPACES = "/run/netns"
RCU_IN_A_HURRY = {  # settings under which grace periods are short
    "/sys/kernel/rcu_expedited": "1",
    "/sys/module/rcutree/parameters/jiffies_till_first_fqs": "0",
    "/sys/module/rcutree/parameters/jiffies_till_next_fqs": "1",
}
DEVICE_GROUP = 51820  # marks the devices of a trial, so that they can be removed in one go
CLONE_NEWNET = 0x40000000
MODULE = "/sys/module/wireguard"
LIBC = ctypes.CDLL(None, use_errno=True)


class AgentError(Exception):
    """What went wrong on this host, as a sentence for the controller."""


# --- small helpers -----------------------------------------------------------------------------------------------


def read_text(path):
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


def read_bytes(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def write_text(path, text):
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        raise AgentError("%s cannot be set to %r: %s." % (path, text, error.strerror)) from error


def set_and_check(path, text):
    """Write a setting and read it back."""
    write_text(path, text)
    found = read_text(path).strip()
    if found != text:
        raise AgentError("%s was set to %r and reads back %r." % (path, text, found))


def call(arguments, text=None, timeout=30):
    """Run a command; its output, or an AgentError with what it printed."""
    done = subprocess.run(
        arguments, input=text, capture_output=True, text=True, timeout=timeout, check=False, close_fds=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().replace("\n", " | ")
        raise AgentError("`%s` failed with status %d: %s" % (" ".join(arguments), done.returncode, said[:500]))
    return done.stdout


def ip_batch(role, lines):
    if lines:
        call(["ip", "-n", role, "-batch", "-"], "".join(line + "\n" for line in lines))


@contextlib.contextmanager
def inside(role):
    """Be in a role's network namespace; what is started inside stays there."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(os.path.join(NAMESPACES, role), os.O_RDONLY)
        try:
            enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            enter(home)
    finally:
        os.close(home)


def enter(namespace):
    if LIBC.setns(namespace, CLONE_NEWNET):
        raise AgentError("a network namespace cannot be entered: %s." % os.strerror(ctypes.get_errno()))


@contextlib.contextmanager
def short_grace_periods():
    """Let RCU hurry while devices or modules go, which wait for several grace periods; never while traffic runs."""
    before = {path: read_text(path).strip() for path in RCU_IN_A_HURRY if os.path.exists(path)}
    try:
        for path in before:
            write_text(path, RCU_IN_A_HURRY[path])
        yield
    finally:
        for path, value in before.items():
            write_text(path, value)


# --- netlink -------------------------------------------------------------------------------------------------------
#
# Devices, routes and tunnels are set through the kernel's own interface: starting `ip` or `wg` for each of them costs a
# lab machine 26 ms. rtnetlink(7), and include/uapi/linux/{netlink,if_link,rtnetlink,genetlink,wireguard}.h.

NETLINK_ROUTE, NETLINK_GENERIC = 0, 16
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLA_F_NESTED, NLA_TYPE = 0x8000, 0x3FFF
RTM_NEWLINK, RTM_DELLINK, RTM_NEWROUTE = 16, 17, 24
IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO, IFLA_GROUP, IFLA_INFO_KIND = 3, 4, 18, 27, 1
IFF_UP = 1
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC = 1, 4, 5, 7
RT_TABLE_MAIN, RTPROT_BOOT, RTN_UNICAST, SCOPE_UNIVERSE, SCOPE_LINK = 254, 3, 1, 0, 253
GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 16, 3, 1, 2
WG_CMD_GET_DEVICE, WG_CMD_SET_DEVICE = 0, 1
WGDEVICE_IFNAME, WGDEVICE_PRIVATE_KEY, WGDEVICE_PUBLIC_KEY, WGDEVICE_LISTEN_PORT, WGDEVICE_PEERS = 2, 3, 4, 6, 8
WGPEER_PUBLIC_KEY, WGPEER_ENDPOINT, WGPEER_LAST_HANDSHAKE, WGPEER_ALLOWEDIPS = 1, 4, 6, 9
WGALLOWEDIP_FAMILY, WGALLOWEDIP_IPADDR, WGALLOWEDIP_CIDR_MASK = 1, 2, 3


def attribute(kind, data):
    """One netlink attribute, padded."""
    length = 4 + len(data)
    return struct.pack("=HH", length, kind) + data + bytes(-length % 4)


def nested(kind, *parts):
    return attribute(kind | NLA_F_NESTED, b"".join(parts))


def attribute_list(data):
    """(kind, content) of each attribute in a row."""
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        yield kind & NLA_TYPE, data[4:length]
        data = data[length + -length % 4 :]


def attributes(data):
    return dict(attribute_list(data))


class Netlink:
    """A netlink socket of the network namespace in which it is made."""

    def __init__(self, protocol):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self.socket.bind((0, 0))
        self.socket.settimeout(30)
        self.sequence = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()

    def ask(self, kind, flags, payload, what):
        """Send a request and return the payloads of its answers; an AgentError says ``what`` did not work."""
        self.sequence += 1
        flags |= NLM_F_REQUEST | (0 if flags & NLM_F_DUMP == NLM_F_DUMP else NLM_F_ACK)
        self.socket.send(struct.pack("=IHHII", 16 + len(payload), kind, flags, self.sequence, 0) + payload)
        answers = []  # type: list[bytes]
        while True:
            data = self.socket.recv(1 << 17)
            while data:
                length, answer, _, sequence, _ = struct.unpack_from("=IHHII", data)
                body, data = data[16:length], data[length + -length % 4 :]
                if sequence != self.sequence:
                    continue
                if answer == NLMSG_DONE:
                    return answers
                if answer == NLMSG_ERROR:
                    number = -struct.unpack_from("=i", body)[0]
                    if number:
                        raise AgentError("%s failed: %s." % (what, os.strerror(number)))
                    return answers
                answers.append(body)


def link_message(*parts, up=False):
    return struct.pack("=BBHiII", 0, 0, 0, 0, IFF_UP * up, IFF_UP * up) + b"".join(parts)


def name_attribute(kind, name):
    return attribute(kind, name.encode() + b"\0")


class WireGuard(Netlink):
    """The wireguard module's own netlink interface."""

    def __init__(self):
        super().__init__(NETLINK_GENERIC)
        request = struct.pack("=BBH", CTRL_CMD_GETFAMILY, 1, 0) + name_attribute(CTRL_ATTR_FAMILY_NAME, "wireguard")
        (answer,) = self.ask(GENL_ID_CTRL, 0, request, "finding the wireguard module's interface")
        self.family = struct.unpack("=H", attributes(answer[4:])[CTRL_ATTR_FAMILY_ID])[0]

    def set(self, device, *parts):
        payload = struct.pack("=BBH", WG_CMD_SET_DEVICE, 1, 0) + name_attribute(WGDEVICE_IFNAME, device)
        self.ask(self.family, 0, payload + b"".join(parts), "configuring %s" % device)

    def get(self, device):
        """The attributes of a device; of its peers, those of each, in a list."""
        payload = struct.pack("=BBH", WG_CMD_GET_DEVICE, 1, 0) + name_attribute(WGDEVICE_IFNAME, device)
        found, found_peers = {}, []
        for answer in self.ask(self.family, NLM_F_DUMP, payload, "reading %s" % device):
            found.update(attributes(answer[4:]))
            found_peers += [attributes(peer) for _, peer in attribute_list(found.pop(WGDEVICE_PEERS, b""))]
        return found, found_peers


def allowed_ip(network):
    address, length = network.split("/")
    return nested(
        0,
        attribute(WGALLOWEDIP_FAMILY, struct.pack("=H", socket.AF_INET)),
        attribute(WGALLOWEDIP_IPADDR, socket.inet_aton(address)),
        attribute(WGALLOWEDIP_CIDR_MASK, bytes([int(length)])),
    )


def endpoint(text):
    """A struct sockaddr_in."""
    address, port = text.rsplit(":", 1)
    family = struct.pack("=H", socket.AF_INET)
    return family + struct.pack(">H", int(port)) + socket.inet_aton(address) + bytes(8)


def set_routes(role, wanted):
    """Set routes in a role: [{"to": network, "device", "via": address or null, "source": address or null}]."""
    devices = sysfs_of(role) + "/class/net/"
    with inside(role), Netlink(NETLINK_ROUTE) as link:
        for route in wanted:
            network, length = route["to"].split("/")
            scope = SCOPE_LINK if route["via"] is None else SCOPE_UNIVERSE
            head = (socket.AF_INET, int(length), 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0)
            parts = [attribute(RTA_DST, socket.inet_aton(network))]
            index = int(read_text(devices + route["device"] + "/ifindex"))
            parts.append(attribute(RTA_OIF, struct.pack("=I", index)))
            for kind, address in ((RTA_GATEWAY, route["via"]), (RTA_PREFSRC, route["source"])):
                if address is not None:
                    parts.append(attribute(kind, socket.inet_aton(address)))
            payload = struct.pack("=BBBBBBBBI", *head) + b"".join(parts)
            what = "setting the route to %s on %s" % (route["to"], role)
            link.ask(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, payload, what)


# --- what this host is ---------------------------------------------------------------------------------------------


def tool_version(arguments):
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return None
    return (done.stdout or done.stderr).strip().split("\n")[0]


def clock(request):
    """This host's clock: {"clock_s": seconds of the epoch}."""
    del request
    return {"clock_s": time.time()}


def hello(request):
    """Who this host is: kernel, processors, tools; recorded with the run."""
    del request
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        models = sorted({line.split(":", 1)[1].strip() for line in file if line.startswith("model name")})
    return {
        "protocol": PROTOCOL,
        "hostname": platform.node(),
        "kernel_release": os.uname().release,
        "kernel_version": os.uname().version,
        "kernel_command_line": read_text("/proc/cmdline").strip(),
        "cpus_online": len(os.sched_getaffinity(0)),
        "cpu_models": models,
        "memory_kib": int(read_text("/proc/meminfo").split(":", 1)[1].split()[0]),
        "python": platform.python_version(),
        "tools": {
            "iperf3": tool_version(["iperf3", "--version"]),
            "wg": tool_version(["wg", "--version"]),
            "ip": tool_version(["ip", "-Version"]),
        },
    }


# --- what this host has: read, and nothing else ----------------------------------------------------------------------


def survey(request):
    """Everything that decides whether trials can run here, read without changing anything.

    ``tools``: commands, of each of which the version is told, null where it is missing; ``folders``: of which the free
    bytes are told. See the code for what comes back: every fact is of the kernel's own files, null where it has none.
    """
    release = os.uname().release
    return {
        **hello({}),
        "uid": os.geteuid(),
        "machine": platform.machine(),
        "system": os_release(),
        "boot_id": read_text("/proc/sys/kernel/random/boot_id").strip(),
        "clock_synchronized": clock_is_synchronized(),
        "commands": {name: tool_version(arguments) for name, arguments in request["tools"].items()},
        "headers": os.path.exists("/lib/modules/%s/build/Makefile" % release),
        "sources": sorted(glob.glob("/usr/src/linux-source-*.tar.*")),
        "secure_boot": secure_boot(),
        "lockdown": chosen_or_none("/sys/kernel/security/lockdown"),
        "signatures_enforced": first_word("/sys/module/module/parameters/sig_enforce") == "Y",
        "wireguard_loaded": os.path.isdir(MODULE),
        "wireguard_devices": [nic for nic in os.listdir("/sys/class/net") if kind_of(nic) == "wireguard"],
        "nics": {nic: nic_facts(nic) for nic in sorted(os.listdir("/sys/class/net")) if nic != "lo"},
        "free_bytes": {folder: free_bytes(folder) for folder in request["folders"]},
        "cpus": cpu_facts(),
        "busy": busy_processes(request["load_window_s"]),
        "holder": holder_of_lease(),
    }


def first_word(path):
    """The first word of a file, or None."""
    try:
        return (read_text(path).split() or [None])[0]
    except OSError:
        return None


def number_in(path):
    try:
        return int(read_text(path))
    except (OSError, ValueError):
        return None


def chosen_or_none(path):
    """Of a file that lists choices, the one in brackets; None where there is no such file."""
    try:
        found = re.search(r"\[(\S+)\]", read_text(path))
    except OSError:
        return None
    return found.group(1) if found else None


def os_release():
    """os-release(5): {"id", "like", "name", "version"}."""
    fields = {}
    for line in read_bytes("/etc/os-release").decode(errors="replace").splitlines():
        name, _, value = line.partition("=")
        fields[name] = value.strip("\"'")
    return {
        "id": fields.get("ID", ""),
        "like": fields.get("ID_LIKE", "").split(),
        "name": fields.get("PRETTY_NAME", ""),
        "version": fields.get("VERSION_ID", ""),
    }


def clock_is_synchronized():
    """Whether something disciplines the clock, as the kernel knows it; None where that cannot be read. adjtimex(2)"""
    state = LIBC.adjtimex(ctypes.create_string_buffer(512))  # no mode is set, so nothing changes
    return None if state < 0 else state != 5  # TIME_ERROR


def secure_boot():
    """Whether Secure Boot is on; None where the firmware has no such thing."""
    for path in glob.glob("/sys/firmware/efi/efivars/SecureBoot-*"):
        return read_bytes(path)[-1:] == b"\1"
    return None


def kind_of(nic):
    """What an interface is, if it is not a card: wireguard, bridge, vlan... Empty for a card."""
    for line in read_bytes("/sys/class/net/%s/uevent" % nic).decode().splitlines():
        if line.startswith("DEVTYPE="):
            return line[8:]
    return ""


def nic_facts(nic):
    base = "/sys/class/net/%s/" % nic
    driver = base + "device/driver"
    try:
        carrier = first_word(base + "carrier") == "1"
    except OSError:  # an interface that is down does not say
        carrier = False
    return {
        "driver": os.path.basename(os.path.realpath(driver)) if os.path.exists(driver) else None,
        "kind": kind_of(nic),
        "mtu": number_in(base + "mtu"),
        "up": bool((int(first_word(base + "flags") or "0", 16)) & IFF_UP),
        "carrier": carrier,
        "speed_mbps": number_in(base + "speed"),
        "numa_node": number_in(base + "device/numa_node"),
        "queues": len(glob.glob(base + "queues/rx-*")),
        "trouble": nic_trouble(nic),
    }


def free_bytes(folder):
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def cpu_facts():
    """Of each CPU that is present: {"cpu", "online", "can_go_offline", "core", "package", "node"}.

    ``core`` and ``package`` are null of a CPU that is off line, which does not say.
    """
    rows = []
    for path in sorted(glob.glob("/sys/devices/system/cpu/cpu[0-9]*"), key=lambda path: int(path.rsplit("cpu", 1)[1])):
        nodes = glob.glob(path + "/node[0-9]*")
        can_go = os.path.exists(path + "/online")
        rows.append(
            {
                "cpu": int(path.rsplit("cpu", 1)[1]),
                "online": not can_go or first_word(path + "/online") == "1",
                "can_go_offline": can_go,
                "core": number_in(path + "/topology/core_id"),
                "package": number_in(path + "/topology/physical_package_id"),
                "node": int(nodes[0].rsplit("node", 1)[1]) if nodes else None,
            }
        )
    return rows


def process_seconds():
    """{pid: (name, processor seconds)} of all processes that are not the kernel's own or this agent."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            text = read_bytes("/proc/%s/stat" % name).decode(errors="replace")
            if ")" in text:
                fields = text.rsplit(")", 1)[1].split()
                if int(fields[6]) & 0x200000 == 0:  # PF_KTHREAD
                    command = text[text.index("(") + 1 : text.rindex(")")]
                    found[int(name)] = (command, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
    return found


def busy(request):
    """How much other processes use this host: {"window_s"} -> {"cores", "names"}."""
    return busy_processes(request["window_s"])


def busy_processes(window_s):
    """Processes that use this host now: {"cores": how much of a core in all, "names": of the busiest}."""
    before, began = process_seconds(), time.monotonic()
    time.sleep(window_s)
    after, elapsed = process_seconds(), time.monotonic() - began
    used = {pid: (name, seconds - before[pid][1]) for pid, (name, seconds) in after.items() if pid in before}
    busiest = sorted(used.values(), key=lambda item: -item[1])[:3]
    return {
        "cores": round(sum(seconds for _, seconds in used.values()) / elapsed, 3),
        "names": [name for name, seconds in busiest if seconds > 0],
    }


def holder_of_lease():
    """Who has this host, as they said; None for nobody."""
    try:
        with open(RUNTIME + "/lease", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            except BlockingIOError:
                return json.load(file)
    except (OSError, ValueError):
        return None


MODULE_NOTE = b".note.gnu.build-id"


def elf_section(content, wanted):
    """The content of a section of a 64-bit ELF file; None where it has none. elf(5)"""
    if content[:4] != b"\x7fELF" or content[4] != 2:
        return None
    order = "<" if content[5] == 1 else ">"
    offset = struct.unpack_from(order + "Q", content, 40)[0]
    size, count, names = struct.unpack_from(order + "HHH", content, 58)
    sections = [struct.unpack_from(order + "IIQQQQ", content, offset + i * size) for i in range(count)]
    table = sections[names][4]
    for name, _, _, _, start, length in sections:
        at = table + name
        if content[at : content.index(b"\0", at)] == wanted:
            return content[start : start + length]
    return None


def module_facts(path):
    """{"sha256", "build_id", "release"} of a module file; None where there is no such file."""
    content = read_bytes(path)
    if not content:
        return None
    note = elf_section(content, MODULE_NOTE)
    found = re.search(rb"\0vermagic=(\S+) ", b"\0" + (elf_section(content, b".modinfo") or b""))
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "build_id": note[16:].hex() if note else None,
        "release": found.group(1).decode() if found else None,
    }


def provisioned(request):
    """What provisioning left here: {"missing": commands that are not there, "modules": {path: facts and stamp}}.

    ``commands``: names; ``modules``: paths of module files, beside each of which ``stamp`` says what it was made of.
    """
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    modules = {}
    for module in request["modules"]:
        facts = module_facts(module)
        stamp = read_bytes(os.path.join(os.path.dirname(module), "stamp")).decode(errors="replace").strip()
        modules[module] = None if facts is None else {**facts, "stamp": stamp}
    return {
        "missing": [name for name in request["commands"] if shutil.which(name, path=path) is None],
        "modules": modules,
    }


# --- leases and host settings ---------------------------------------------------------------------------------------


LEASE: "dict[str, typing.TextIO]" = {}


def lease(request):
    """Take this host for one run: {"holder": {...}}. The lock goes with this agent, however it ends.

    The answer's ``taken_by`` is null, or who has it: the ``holder`` that they gave, and the agent's process.
    """
    if "file" not in LEASE:
        os.makedirs(RUNTIME, exist_ok=True)
        LEASE["file"] = open(RUNTIME + "/lease", "a+", encoding="utf-8")  # noqa: SIM115 - held until the agent ends
    file = LEASE["file"]
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        with contextlib.suppress(ValueError):
            return {"taken_by": json.load(file)}
        return {"taken_by": {}}
    file.truncate(0)
    file.write(json.dumps({**request["holder"], "agent_pid": os.getpid()}))
    file.flush()
    return {"taken_by": None}


def break_lease(request):
    """End the agent that holds this host's lease, whose controller may be gone: {"ended": pid or null}."""
    del request
    try:
        with open(RUNTIME + "/lease", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return {"ended": None}
            except BlockingIOError:
                pid = int(json.load(file)["agent_pid"])
    except FileNotFoundError:
        return {"ended": None}
    if b"orch-agent.py" not in read_bytes("/proc/%d/cmdline" % pid):
        raise AgentError("the lease names process %d, which is no agent; nothing was ended." % pid)
    os.kill(pid, signal.SIGTERM)
    return {"ended": pid}


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


# --- the variant ---------------------------------------------------------------------------------------------------


def loaded_build_id():
    """The build id of the wireguard module in the kernel, hex; None when it is not loaded."""
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


# The build id of the module that was in the kernel before the first variant's, or "none": for the agent that puts it
# back, which may be another one.
FOUND_LOADED = RUNTIME + "/module-before"


def remember_module():
    if not os.path.exists(FOUND_LOADED):
        os.makedirs(RUNTIME, exist_ok=True)
        write_text(FOUND_LOADED, (loaded_build_id() or "unknown") if os.path.isdir(MODULE) else "none")


def put_module_back():
    """Leave the wireguard module as it was found: not loaded, or the system's own. True where it was another."""
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


def variant(request):
    """Bring the wanted wireguard module into the kernel and prove by its build id that it is the one.

    Device settings that are module parameters (``parameters``) are written before any device is made.
    """
    wanted, path = request["build_id"], request["module"]
    found = loaded_build_id()
    remember_module()
    if os.path.isdir(MODULE) and found != wanted:
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
    for name, value in sorted(request["parameters"].items()):
        set_and_check("%s/parameters/%s" % (MODULE, name), value)
    return {"build_id": found}


# --- roles and links -----------------------------------------------------------------------------------------------


def sysfs_of(role):
    return os.path.join(RUNTIME, "sys", role)


def remove_namespaces():
    """Take the roles' namespaces away; interfaces that were put into them are given back as they were."""
    give_nics_back()
    for role in os.listdir(RUNTIME + "/sys") if os.path.isdir(RUNTIME + "/sys") else []:
        if os.path.ismount(sysfs_of(role)):
            call(["umount", sysfs_of(role)])
        os.rmdir(sysfs_of(role))
        if os.path.exists(os.path.join(NAMESPACES, role)):
            call(["ip", "netns", "delete", role])


def leave(request):
    """Give the host back: namespaces, interfaces and the wireguard module as they were.

    ``leftovers``: also those of an agent that was killed. ``done`` says what was found and put back.
    """
    TRAFFIC.stop()
    done = []
    if "made" in LINKS or request.get("leftovers"):
        roles = sorted(os.listdir(RUNTIME + "/sys")) if os.path.isdir(RUNTIME + "/sys") else []
        nics = sorted(taken_nics())
        remove_namespaces()
        done += ["the namespaces %s were removed" % ", ".join(roles)] if roles else []
        done += ["the interfaces %s were given back" % ", ".join(nics)] if nics else []
        if put_module_back():
            done.append("the wireguard module is as it was")
        LINKS.clear()
    if "file" in LEASE:
        LEASE["file"].truncate(0)  # held until the agent ends, but no longer told
    return {"done": done}


LINKS = {}  # type: dict[str, bool]


def links(request):
    """Make the namespaces of the roles, the links between them, their addresses and routes, from scratch.

    ``namespaces``: {role: {"sysctl": {...}, "ip": [lines for ip -batch]}}; ``veth``: [[role, device, role, device]];
    ``nics``: [{"nic", "role", "device"}], interfaces of the host that a role gets, and what it calls them.
    """
    remove_namespaces()
    LINKS["made"] = True
    for role in request["namespaces"]:
        if os.path.exists(os.path.join(NAMESPACES, role)):
            raise AgentError("the network namespace %s is there already, and somebody else made it." % role)
        os.makedirs(sysfs_of(role))
        call(["ip", "netns", "add", role])
        with inside(role):
            # A sysfs shows the network namespace in which it was mounted.
            call(["mount", "-t", "sysfs", "sysfs", sysfs_of(role)])
    pairs = [
        "link add %s netns %s type veth peer name %s netns %s" % (device_a, role_a, device_b, role_b)
        for role_a, device_a, role_b, device_b in request["veth"]
    ]
    if pairs:
        call(["ip", "-batch", "-"], "".join(line + "\n" for line in pairs))
    for wanted in request["nics"]:
        take_nic(wanted["nic"], wanted["role"], wanted["device"])
    for role, wanted in request["namespaces"].items():
        with inside(role):
            for name, value in wanted["sysctl"].items():
                set_and_check("/proc/sys/" + name.replace(".", "/"), value)
        ip_batch(role, wanted["ip"])
    return {}


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


def nic_state(nic):
    """What a move to another namespace takes from an interface: its addresses and routes, and whether it is up."""
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
        "mac": shown.get("address"),
        "addresses": addresses,
        "routes": routes,
    }


def nic_trouble(nic):
    """Why an interface cannot be taken for a trial; None if it can."""
    if not os.path.isdir("/sys/class/net/" + nic):
        known = ", ".join(sorted(os.listdir("/sys/class/net")))
        return "there is no interface %s here; there are %s" % (nic, known)
    if any(route.startswith("default") for _, route in nic_state(nic)["routes"]):
        return "the host's default route goes over %s, so it may be the way to the host itself" % nic
    connection = os.environ.get("SSH_CONNECTION", "").split()
    if len(connection) == 4 and any(a.split("/")[0] == connection[2] for a in nic_state(nic)["addresses"]):
        return "this very SSH connection comes in over %s" % nic
    return None


def take_nic(nic, role, device):
    trouble = nic_trouble(nic)
    if trouble:
        raise AgentError("%s cannot be used for the role %s: %s." % (nic, role, trouble))
    write_taken({**taken_nics(), nic: {**nic_state(nic), "role": role, "device": device}})
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
        call(["ip", "-batch", "-"], "".join(line + "\n" for line in lines))
        for family, route in was["routes"]:
            call(["ip", family, "route", "replace", *route.split(), "dev", nic])
        left = taken_nics()
        del left[nic]
        if left:
            write_taken(left)
        else:
            os.unlink(TAKEN_FILE)


def neighbours(request):
    """See that each role reaches the other end of its links, with full packets.

    ``roles``: {role: {"addresses": [...]}}; ``mtu``: bytes of the largest IP packet. A switch may take seconds to
    forward after an interface came up, so there is some patience.
    """
    for role, wanted in request["roles"].items():
        for address in wanted["addresses"]:
            reach(role, address, request["mtu"])
    return {}


ICMP_HEADER, IP_HEADER, IP_MTU_DISCOVER, IP_PMTUDISC_DO = 8, 20, 10, 2
PATIENCE_S = 15


def reach(role, address, mtu):
    """Exchange echo packets of full size, which nobody may fragment, with a neighbour. icmp(7), RFC 792"""
    deadline = time.monotonic() + PATIENCE_S
    with inside(role):
        echo = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with echo:
        echo.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        echo.settimeout(0.25)
        small_passed = False
        number = 0
        while time.monotonic() < deadline:
            for size in (64, mtu - IP_HEADER):
                number += 1
                if exchanged(echo, address, size, number):
                    if size > 64:
                        return
                    small_passed = True
                elif size == 64:
                    break
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
    """Whether an echo request of so many bytes is answered."""
    identity = os.getpid() & 0xFFFF
    data = struct.pack("!BBHHH", 8, 0, 0, identity, number & 0xFFFF) + bytes(size - ICMP_HEADER)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total & 0xFFFF) + (total >> 16)
    total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    try:
        echo.sendto(data[:2] + struct.pack("!H", total) + data[4:], (address, 0))
        while True:
            answer = echo.recv(65536)
            header = (answer[0] & 15) * 4
            kind, _, _, who, which = struct.unpack_from("!BBHHH", answer, header)
            if (kind, who, which) == (0, identity, number & 0xFFFF) and len(answer) - header == size:
                return True
    except OSError:  # nothing came in time, or it is too long for the interface, or there is no way
        time.sleep(0.05)
        return False


# --- tunnels -------------------------------------------------------------------------------------------------------


def tunnels(request):
    """Make WireGuard devices with fresh keys; the answer has their public keys, in order.

    ``gateways``: {role: [{"device", "port", "mtu"}]}.
    """
    keys = {}  # type: dict[str, list[str]]
    for role, devices in request["gateways"].items():
        keys[role] = []
        with inside(role), Netlink(NETLINK_ROUTE) as link, WireGuard() as wireguard:
            for device in devices:
                message = link_message(
                    name_attribute(IFLA_IFNAME, device["device"]),
                    attribute(IFLA_MTU, struct.pack("=I", device["mtu"])),
                    attribute(IFLA_GROUP, struct.pack("=I", DEVICE_GROUP)),
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


def peers(request):
    """Give each device its peer, bring it up, set what the variant wants of it, and add the routes.

    ``gateways``: {role: {"peers": [{"device", "public_key", "endpoint", "allowed_ips", "cpus"}], "routes": [route],
    "threaded": "0"|"1", "device_settings": {name: value}}}. Settings are read back from every device.
    """
    for role, wanted in request["gateways"].items():
        with inside(role), Netlink(NETLINK_ROUTE) as link, WireGuard() as wireguard:
            for peer in wanted["peers"]:
                own = nested(
                    0,
                    attribute(WGPEER_PUBLIC_KEY, base64.b64decode(peer["public_key"])),
                    attribute(WGPEER_ENDPOINT, endpoint(peer["endpoint"])),
                    nested(WGPEER_ALLOWEDIPS, allowed_ip(peer["allowed_ips"])),
                )
                wireguard.set(peer["device"], nested(WGDEVICE_PEERS, own))
                up = link_message(name_attribute(IFLA_IFNAME, peer["device"]), up=True)
                link.ask(RTM_NEWLINK, 0, up, "bringing %s up on %s" % (peer["device"], role))
        set_routes(role, wanted["routes"])
        for peer in wanted["peers"]:
            settings = "%s/class/net/%s/" % (sysfs_of(role), peer["device"])
            set_and_check(settings + "threaded", wanted["threaded"])
            if peer["cpus"] is not None:
                set_and_check(settings + "wireguard/cpus", peer["cpus"])
            for name, value in wanted["device_settings"].items():
                found = read_text("%swireguard/%s" % (settings, name)).strip()
                if found != value:
                    raise AgentError("%s/%s is %r on %s, not %r." % (role, name, found, peer["device"], value))
    return {}


def routes(request):
    """Set routes in roles: {"roles": {role: [route]}}; see set_routes."""
    for role, wanted in request["roles"].items():
        set_routes(role, wanted)
    return {}


def remove_tunnels(request):
    """Remove all devices that trials made in some roles: {"roles": [role]}."""
    with short_grace_periods(), concurrent.futures.ThreadPoolExecutor(len(request["roles"])) as pool:
        # A role's thread waits for grace periods most of the time, and these pass for all.
        list(pool.map(remove_tunnels_of, request["roles"]))
    return {}


def remove_tunnels_of(role):
    present = os.listdir(sysfs_of(role) + "/class/net")
    if any(name.startswith("wg") for name in present):
        message = link_message(attribute(IFLA_GROUP, struct.pack("=I", DEVICE_GROUP)))
        with inside(role), Netlink(NETLINK_ROUTE) as link:
            link.ask(RTM_DELLINK, 0, message, "removing the tunnels on %s" % role)


def handshakes(request):
    """See that a datagram gets through every tunnel, which a complete handshake must precede.

    From ``role``, a datagram goes to a closed port of each destination; the refusal that comes back has crossed the
    tunnel both ways. ``paths``: [[source, destination]]; ``patience_s``.
    """
    deadline = time.monotonic() + request["patience_s"]
    waiting = {}
    with inside(request["role"]):
        for source, destination in request["paths"]:
            probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            probe.bind((source, 0))
            probe.connect((destination, 9))
            waiting[probe] = destination
    try:
        while waiting:
            for probe in list(waiting):
                with contextlib.suppress(ConnectionRefusedError):
                    probe.send(b"orch")
            ready = select.select(list(waiting), [], [], 0.05)[0]
            for probe in ready:
                try:
                    probe.recv(64)
                except OSError as error:
                    if error.errno != errno.ECONNREFUSED:
                        continue
                    del waiting[probe]
                    probe.close()
            if waiting and time.monotonic() > deadline:
                raise AgentError(
                    "%d of %d tunnels carried nothing within %g s: no handshake with %s."
                    % (
                        len(waiting),
                        len(request["paths"]),
                        request["patience_s"],
                        ", ".join(sorted(waiting.values())[:5]),
                    )
                )
    finally:
        for probe in waiting:
            probe.close()
    return {}


QUIET_SINCE = {}  # type: dict[str, float]


def packets_so_far():
    """Packets that all roles' devices have received, but for loopback."""
    total = 0
    for role in os.listdir(RUNTIME + "/sys"):
        with inside(role):
            for line in read_text("/proc/thread-self/net/dev").splitlines()[2:]:
                name, _, counts = line.partition(":")
                total += 0 if name.strip() == "lo" else int(counts.split()[1])
    return total


def handshake_times(request):
    """Seconds since each device's last handshake: {"ages_s": {role: {device: seconds}}}; None for never."""
    ages = {}  # type: dict[str, dict[str, float | None]]
    now = time.time()
    for role in request["roles"]:
        ages[role] = {}
        present = [name for name in os.listdir(sysfs_of(role) + "/class/net") if name.startswith("wg")]
        with inside(role), WireGuard() as wireguard:
            for device in sorted(present):
                for peer in wireguard.get(device)[1]:
                    seconds, nanoseconds = struct.unpack("=qq", peer[WGPEER_LAST_HANDSHAKE])
                    at = seconds + nanoseconds / 1e9
                    ages[role][device] = now - at if at else None
    return {"ages_s": ages}


# --- traffic -------------------------------------------------------------------------------------------------------


ROOM_FOR_OUTPUT = 1 << 20  # bytes; a generator that cannot write its report prints nothing


class Traffic:
    """The servers and clients of one trial. Their output goes to files, so that nobody wakes up to read it."""

    def __init__(self):
        self.folder = None
        self.processes = {}

    def start(self, role, name, arguments):
        """Start a process in a role; its output goes to files that are read after the traffic."""
        if free_bytes(RUNTIME) < ROOM_FOR_OUTPUT:
            raise AgentError("the disk of %s is full: free some room there." % RUNTIME)
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory(prefix="trial-", dir=RUNTIME)
        base = os.path.join(self.folder.name, name)
        with open(base + ".out", "wb") as out, open(base + ".err", "wb") as err, inside(role):
            self.processes[name] = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=err, close_fds=False
            )

    def wait(self, deadline):
        """Wait until all processes have ended, the deadline (CLOCK_MONOTONIC) has passed, or the controller is gone."""
        with contextlib.ExitStack() as stack:
            poller = select.poll()
            poller.register(0, select.POLLIN)
            running = {}
            for name, process in self.processes.items():
                descriptor = os.pidfd_open(process.pid)
                stack.callback(os.close, descriptor)
                poller.register(descriptor, select.POLLIN)
                running[descriptor] = name
            while running:
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                for descriptor, _ in poller.poll(left * 1000):
                    if descriptor == 0:
                        raise EOFError
                    poller.unregister(descriptor)
                    del running[descriptor]

    def stop(self):
        """Kill what still runs, and return what each process printed: {name: {"status", "out", "err"}}."""
        outcome = {}
        folder = self.folder.name if self.folder else ""
        for name, process in self.processes.items():
            ended = process.poll() is not None
            if not ended:
                process.kill()
            process.wait()
            base = os.path.join(folder, name)
            outcome[name] = {
                "status": process.returncode if ended else None,
                "out": read_text(base + ".out"),
                "err": read_text(base + ".err"),
            }
        self.processes = {}
        if self.folder is not None:
            self.folder.cleanup()
            self.folder = None
        return outcome


TRAFFIC = Traffic()


def listening(role):
    """(address, port) of every TCP socket over IPv4 that listens in a role's namespace. proc_net(5)"""
    found = set()
    with inside(role):
        for line in read_text("/proc/thread-self/net/tcp").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                address, port = fields[1].split(":")
                in_network_order = int(address, 16).to_bytes(4, sys.byteorder)
                found.add((socket.inet_ntoa(in_network_order), int(port, 16)))
    return found


def serve(request):
    """Start servers, of which there may be none, and return when all listen. From now on all is quiet here.

    {"servers": [{"role", "name", "arguments", "address", "port"}], "patience_s"}
    """
    TRAFFIC.stop()
    waiting = {}  # type: dict[str, set[tuple[str, int]]]
    for server in request["servers"]:
        TRAFFIC.start(server["role"], server["name"], server["arguments"])
        waiting.setdefault(server["role"], set()).add((server["address"], server["port"]))
    deadline = time.monotonic() + request["patience_s"]
    while waiting:
        for role in list(waiting):
            waiting[role] -= listening(role)
            if not waiting[role]:
                del waiting[role]
        if waiting:
            if time.monotonic() > deadline:
                said = [(name, got["err"] or got["out"]) for name, got in TRAFFIC.stop().items()]
                raise AgentError("Servers did not listen within %g s: %s" % (request["patience_s"], str(said)[:500]))
            time.sleep(0.005)
    QUIET_SINCE.update(at_s=time.monotonic(), packets=packets_so_far())
    return {}


def measure(request):
    """Start the clients at ``start_at``, sample around the measured window, and return everything after the traffic.

    ``clients``: [{"role", "name", "arguments"}], of which another host may have all; ``start_at``: seconds of this
    host's clock, or null for at once;
    ``warm_up_s``, ``duration_s``, ``patience_s``; ``sample_roles``: the roles whose interfaces are counted.
    The answer has ``processes``; ``samples``: two samples with the time of each; ``surroundings``: two, before and
    after all traffic; ``clock_s``: this host's clock at the end; ``before``: the packets that passed between the
    servers' and the clients' start, and in how many seconds.
    """
    before = {
        "seconds": time.monotonic() - QUIET_SINCE["at_s"],
        "packets": packets_so_far() - QUIET_SINCE["packets"],
    }
    surroundings_before = surroundings()
    if request["start_at"] is not None:
        time.sleep(max(0.0, request["start_at"] - time.time()))
    began = time.monotonic()
    started_at = time.time()
    for client in request["clients"]:
        TRAFFIC.start(client["role"], client["name"], client["arguments"])
    deadline = began + request["patience_s"]
    samples = []
    for offset in (request["warm_up_s"], request["warm_up_s"] + request["duration_s"]):
        wait_or_leave(began + offset)
        samples.append(sample(request["sample_roles"]))
    TRAFFIC.wait(deadline)
    traffic_s = time.monotonic() - began
    return {
        "started_at": started_at,
        "traffic_s": traffic_s,
        "samples": samples,
        "before": before,
        "surroundings": [surroundings_before, surroundings()],
        "processes": TRAFFIC.stop(),
        "clock_s": time.time(),
    }


def wait_or_leave(until):
    """Sleep until a time of CLOCK_MONOTONIC; EOFError when the controller goes away meanwhile."""
    left = until - time.monotonic()
    if left > 0 and select.select([0], [], [], left)[0]:
        raise EOFError


# --- probes --------------------------------------------------------------------------------------------------------


def sample(roles):
    """Raw counters of this host now: per-CPU clock ticks, softirqs a CPU, counters an interface."""
    cpus = [line.split() for line in read_text("/proc/stat").splitlines() if line.startswith("cpu") and line[3] != " "]
    interfaces = {}
    for role in roles:
        with inside(role):
            interfaces[role] = read_text("/proc/thread-self/net/dev")
    return {
        "at_monotonic_s": time.monotonic(),
        "cpus": {fields[0][3:]: [int(value) for value in fields[1:9]] for fields in cpus},
        "ticks_per_s": os.sysconf("SC_CLK_TCK"),
        "softirqs": read_text("/proc/softirqs"),
        "interfaces": interfaces,
        "clock_s": time.time(),
    }


@functools.lru_cache(maxsize=None)
def cpu_files(name):
    """A file of every CPU; none where the host does not have it."""
    return sorted(glob.glob("/sys/devices/system/cpu/cpu[0-9]*/" + name))


def surroundings():
    """What should be the same before and after the traffic: where interrupts go, and how often a CPU was throttled.

    ``interrupts``: {number: list of CPUs} of those that have ever come, since reading all takes a lab machine 60 ms;
    ``throttled``: events, null where the host does not count them; ``frequency_khz``: of each CPU now, empty where the
    host does not say.
    """
    interrupts = {}
    for line in read_text("/proc/interrupts").splitlines()[1:]:
        number, _, rest = line.partition(":")
        counts = [int(word) for word in rest.split() if word.isdigit()]
        if number.strip().isdigit() and any(counts):
            with contextlib.suppress(OSError):
                interrupts[number.strip()] = read_text("/proc/irq/%s/smp_affinity_list" % number.strip()).strip()
    throttled = [int(read_text(path)) for path in cpu_files("thermal_throttle/core_throttle_count")]
    frequency = [int(read_text(path)) for path in cpu_files("cpufreq/scaling_cur_freq")]
    return {
        "interrupts": interrupts,
        "throttled": sum(throttled) if throttled else None,
        "frequency_khz": frequency,
    }


COMPLAINTS = ("WARNING", "BUG:", "Oops", "stall", "hung task", "general protection")


def kernel_log(request):
    """What this boot's kernel log says: ``complaints``, the last ``most`` lines that a person should see (warnings,
    bugs, stalls), and ``crypto``, which code encrypts; null where the kernel does not say."""
    crypto = "orch-lab: crypto: "
    lines = KERNEL_LOG.lines()
    return {
        "complaints": [line for line in lines if any(mark in line for mark in COMPLAINTS)][-request["most"] :],
        "crypto": ", ".join(line.split(crypto, 1)[1].strip() for line in lines if crypto in line) or None,
    }


class KernelLog:
    """The kernel's log of this boot, followed record by record: what was read once is not read again."""

    def __init__(self):
        self.descriptor = None
        self.read_so_far = []

    def lines(self):
        if self.descriptor is None:
            self.descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        while True:
            try:
                record = os.read(self.descriptor, 8192).decode(errors="replace")
            except BlockingIOError:
                return self.read_so_far
            except BrokenPipeError:
                continue  # records were overwritten before they were read; the next one there is follows
            self.read_so_far += record.partition(";")[2].splitlines()


KERNEL_LOG = KernelLog()


OPERATIONS = {
    f.__name__: f
    for f in (
        clock,
        hello,
        survey,
        busy,
        provisioned,
        lease,
        break_lease,
        read_settings,
        write_settings,
        variant,
        leave,
        links,
        neighbours,
        tunnels,
        peers,
        routes,
        remove_tunnels,
        handshakes,
        handshake_times,
        serve,
        measure,
        kernel_log,
    )
}


def answer(request):
    """Carry out one request; never raises but at the end of standard input."""
    began = time.monotonic()
    try:
        result = {"ok": True, **OPERATIONS[request["op"]](request)}
    except EOFError:
        raise
    except AgentError as error:
        result = {"ok": False, "error": str(error)}
    except OSError as error:
        where = " of %s" % error.filename if error.filename else ""
        full = "the disk%s is full: free some room there" % where
        said = full if error.errno == errno.ENOSPC else str(error)
        result = {"ok": False, "error": "%s (in the agent's %r)." % (said, request.get("op"))}
    except Exception as error:
        result = {
            "ok": False,
            "error": "%s in the agent's %r: %s" % (type(error).__name__, request.get("op"), error),
        }
    result["took_s"] = time.monotonic() - began
    return result


def main():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1))
    received = os.fdopen(os.dup(0), "r", encoding="utf-8")
    try:
        while True:
            line = received.readline()
            if not line:
                break
            sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
            sys.stdout.flush()
    except EOFError:
        pass
    finally:
        leave({})


if __name__ == "__main__":
    main()
