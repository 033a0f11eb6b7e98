# SPDX-License-Identifier: Apache-2.0
"""The properties of this host, read without changing anything."""

import ctypes
import glob
import hashlib
import os
import platform
import re
import shutil
import struct
import subprocess

from orchestrator.agent.host import (
    CPUS,
    LIBC,
    PROTOCOL,
    chosen_or_none,
    first_word,
    free_bytes,
    number_in,
    read_bytes,
    read_text,
    tool_version,
)
from orchestrator.agent.interfaces import links_of
from orchestrator.agent.lease import holder_of_lease
from orchestrator.agent.load import busy_processes
from orchestrator.agent.netlink import IFF_UP, NETLINK_ROUTE, Netlink
from orchestrator.agent.probes import virtual_time
from orchestrator.agent.survey_messages import (
    HelloAnswer,
    HelloRequest,
    ModuleFacts,
    Nic,
    ProvisionedAnswer,
    ProvisionedRequest,
    SurveyAnswer,
    SurveyRequest,
)
from orchestrator.agent.way import nic_troubles


def hello(request: HelloRequest) -> HelloAnswer:
    """Return the identity of this host: kernel, processors, virtual time, tools; recorded with the run."""
    del request
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        models = sorted({line.split(":", 1)[1].strip() for line in file if line.startswith("model name")})
    return {
        "protocol": PROTOCOL,
        "hostname": platform.node(),
        "kernel_release": os.uname().release,
        "kernel_version": os.uname().version,
        "kernel_command_line": read_text("/proc/cmdline").strip(),
        "boot_id": read_text("/proc/sys/kernel/random/boot_id").strip(),
        "cpus_online": os.sysconf("SC_NPROCESSORS_ONLN"),
        "cpus_usable": len(os.sched_getaffinity(0)),
        "cpu_models": models,
        "virtual_time": virtual_time(),
        "memory_kib": int(read_text("/proc/meminfo").split(":", 1)[1].split()[0]),
        "python": platform.python_version(),
        "tools": {
            "iperf3": tool_version(["iperf3", "--version"]),
            "ip": tool_version(["ip", "-Version"]),
        },
    }


def survey(request: SurveyRequest) -> SurveyAnswer:
    """Return everything that decides whether trials can run here, without changing anything.

    Each fact comes from the kernel's own files, and is None if they lack it.
    """
    release, troubles = os.uname().release, nic_troubles()
    return {
        **hello(HelloRequest()),
        "uid": os.geteuid(),
        "machine": platform.machine(),
        "system": os_release(),
        "clock_synchronized": clock_is_synchronized(),
        "commands": {name: tool_version(arguments) for name, arguments in request.tools.items()},
        "kernel_modules": {name: has_kernel_module(name) for name in request.kernel_modules},
        "headers": os.path.exists("/lib/modules/%s/build/Makefile" % release),
        "sources": sorted(os.path.basename(path) for path in glob.glob("/usr/src/linux-*source-*.tar.*")),
        "boot_menu": boot_menu(),
        "secure_boot": secure_boot(),
        "lockdown": chosen_or_none("/sys/kernel/security/lockdown"),
        "signatures_enforced": first_word("/sys/module/module/parameters/sig_enforce") == "Y",
        "wireguard_devices": [nic for nic in interfaces() if kind_of(nic) == "wireguard"],
        "nics": {nic: nic_facts(nic, troubles.get(nic)) for nic in interfaces() if nic != "lo"},
        "other_names": other_names(),
        "free_bytes": {folder: free_bytes(folder) for folder in request.folders},
        "cpus": cpu_facts(),
        "cpus_allowed": sorted(os.sched_getaffinity(0)),
        "cpus_isolated": sorted(listed(CPUS + "/isolated") or ()),
        "busy": busy_processes(request.load_window_s),
        "holder": holder_of_lease(),
    }


def has_kernel_module(name):
    """Return True if the kernel has a module, loaded, built in or loadable; None if nothing lists what is built in."""
    if os.path.isdir("/sys/module/" + name):
        return True
    try:
        done = subprocess.run(
            [command_path("modprobe") or "modprobe", "--dry-run", "--quiet", name], timeout=10, check=False
        )
    except OSError:
        return None
    listed_ones = os.path.exists("/lib/modules/%s/modules.builtin" % os.uname().release)
    return True if done.returncode == 0 else False if listed_ones else None


def interfaces():
    """Return the names of all interfaces, without the file that the bonding driver has among them."""
    return sorted(name for name in os.listdir("/sys/class/net") if os.path.isdir("/sys/class/net/" + name))


def os_release():
    """Return the fields of os-release(5): {"id", "like", "name", "version"}."""
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
    """Return True if the kernel considers the clock synchronized (adjtimex(2)); None if that cannot be read."""
    state = LIBC.adjtimex(ctypes.create_string_buffer(512))  # no mode is set, so nothing changes
    return None if state < 0 else state != 5  # TIME_ERROR


GRUBS = {"/boot/grub/grub.cfg": "grub-reboot", "/boot/grub2/grub.cfg": "grub2-reboot"}


def boot_menu():
    """Return the boot loader's menu from which the next start can be chosen; None if there is none."""
    there = [menu for menu, command in GRUBS.items() if os.path.exists(menu) and command_path(command)]
    return there[0] if there else None


def command_path(name):
    """Return the path of a command, even one for root that is not on this login's PATH; None if it is missing."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")


def secure_boot():
    """Return True if Secure Boot is on; None if the firmware does not support it."""
    for path in glob.glob("/sys/firmware/efi/efivars/SecureBoot-*"):
        return read_bytes(path)[-1:] == b"\1"
    return None


def other_names():
    """Return {other name of an interface: its name} (ip-link(8): altname)."""
    with Netlink(NETLINK_ROUTE) as netlink:
        links = links_of(netlink)
    return {other: link.name for link in links.values() for other in link.other_names}


def kind_of(nic):
    """Return the kind of an interface that is not a NIC: wireguard, bridge, vlan... Empty for a NIC."""
    for line in read_bytes("/sys/class/net/%s/uevent" % nic).decode().splitlines():
        if line.startswith("DEVTYPE="):
            return line[8:]
    return ""


def nic_facts(nic, trouble) -> Nic:
    base = "/sys/class/net/%s/" % nic
    driver = base + "device/driver"
    try:
        carrier = first_word(base + "carrier") == "1"
    except OSError:  # not readable while an interface is down
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
        "trouble": trouble,
    }


def cpu_facts():
    """Return, for each CPU, {"cpu", "online", "can_go_offline", "core", "package", "threads", "node", "off_because"}.

    ``threads``: the CPUs on line that are threads of its core, including itself. (Numbers of cores are not enough: on
    Arm, each cluster of a package numbers its own.) ``core``, ``package`` and ``threads`` are null for a CPU that is
    off line, which does not report them. ``off_because``: null for one that is on line; smt if the kernel keeps second
    threads off line, smt-forced if it does so for this boot; absent if there is no CPU to start; else unknown.
    """
    rows = []
    smt = first_word(CPUS + "/smt/control")
    # Firmware may keep a CPU that is present from being started ("enabled", Linux 6.11 or later).
    there = [cpus for cpus in (listed(CPUS + "/present"), listed(CPUS + "/enabled")) if cpus is not None]
    for path in sorted(glob.glob(CPUS + "/cpu[0-9]*"), key=lambda path: int(path.rsplit("cpu", 1)[1])):
        cpu = int(path.rsplit("cpu", 1)[1])
        nodes = glob.glob(path + "/node[0-9]*")
        state = first_word(path + "/online")  # a CPU that cannot go off line has no such file
        absent = not all(cpu in cpus for cpus in there)
        online = state != "0" and not absent
        threads = listed(path + "/topology/thread_siblings_list")
        why = "absent" if absent else {"off": "smt", "forceoff": "smt-forced"}.get(smt, "unknown")
        rows.append(
            {
                "cpu": cpu,
                "online": online,
                "can_go_offline": state is not None,
                "core": number_in(path + "/topology/core_id"),
                "package": number_in(path + "/topology/physical_package_id"),
                "threads": None if threads is None else sorted(threads),
                "node": int(nodes[0].rsplit("node", 1)[1]) if nodes else None,
                "off_because": None if online else why,
            }
        )
    return rows


def listed(path):
    """Return the numbers of a file that has a list of CPUs, such as 0-3,8; None if there is no such file."""
    found = set()  # type: set[int]
    try:
        for part in read_text(path).strip().split(","):
            if part.strip("(nul)"):  # (null): an empty list
                first, _, last = part.partition("-")
                found.update(range(int(first), int(last or first) + 1))
    except (OSError, ValueError):
        return None
    return found


MODULE_NOTE = b".note.gnu.build-id"


def elf_section(content, wanted):
    """Return the content of a section of a 64-bit ELF file (elf(5)); None if it has none."""
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
    """Return {"sha256", "build_id", "release"} of a module file; None if there is no such file."""
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


def provisioned(request: ProvisionedRequest) -> ProvisionedAnswer:
    """Return which commands are missing, and the facts of module files that provisioning left.

    The file ``stamp`` next to each module identifies its inputs.
    """
    modules: dict[str, ModuleFacts | None] = {}
    for module in request.modules:
        facts = module_facts(module)
        stamp = read_bytes(os.path.join(os.path.dirname(module), "stamp")).decode(errors="replace").strip()
        if facts is not None:
            facts["stamp"] = stamp
        modules[module] = facts
    return {
        "missing": [name for name in request.commands if command_path(name) is None],
        "modules": modules,
    }
