# SPDX-License-Identifier: Apache-2.0
"""The kernel's packet generator on a role: Documentation/networking/pktgen.rst

A kernel thread on each CPU sends over devices that are given to it. A device here is the role's interface under one
more name, and sends the flows of one tunnel; its files are those of the role's network namespace.
"""

import contextlib
import errno
import os
import re
import select
import threading
import time

from orchestrator.agent.host import AgentError, call, inside, read_text, sysfs_of
from orchestrator.agent.messages import Nothing
from orchestrator.agent.netlink import IFF_UP
from orchestrator.agent.packet_messages import PktgenDevice, PktgenRequest

FOLDER = "/proc/thread-self/net/pktgen/"
ETHERNET = "1"  # ARPHRD_ETHER
HEADER = 14  # bytes of an Ethernet header, which pktgen counts
NOT_SUPPORTED = (errno.EOPNOTSUPP, 524)  # ENOTSUPP, which older kernels return
IN_STEP_NS = 1000000  # between packets that are sent to have threads stop together: how far apart they do
SLACK_S = 0.25  # beyond the time planned, for threads that look for work ten times a second
RESULT = re.compile(r"Result: OK: \d+\(c\d+\+d\d+\) usec, (\d+) \(\d+byte,-?\d+frags\)")
TIMES = re.compile(r"errors: (\d+).*?started: (\d+)us\s+stopped: (\d+)us", re.DOTALL)


def refuse(role, device):
    """AgentError where pktgen can't send over a device."""
    folder = "%s/class/net/%s/" % (sysfs_of(role), device)
    if not os.path.isdir(folder):
        raise AgentError("%s has no interface %s." % (role, device))
    if read_text(folder + "type").strip() != ETHERNET:
        raise AgentError(
            "pktgen writes Ethernet frames, and %s of %s has no Ethernet header (a WireGuard device has none): send "
            "over the interface in front of the gateway, as the topology site-to-site does." % (device, role)
        )
    if not int(read_text(folder + "flags"), 16) & IFF_UP:
        raise AgentError("the interface %s of %s is down, and pktgen needs it up." % (device, role))


def ethernet_address(address):
    """Of a neighbour that was reached before. arp(7)"""
    for line in read_text("/proc/thread-self/net/arp").splitlines()[1:]:
        fields = line.split()
        if fields[0] == address and int(fields[2], 16) & 2:  # ATF_COM: complete
            return fields[3]
    raise AgentError("the Ethernet address of %s is not known, so nothing can be sent to it." % address)


def tell(name, command, what):
    """Write a command to one of pktgen's files; AgentError says that ``what`` did not work."""
    try:
        descriptor = os.open(FOLDER + name, os.O_WRONLY)
    except OSError as error:
        raise AgentError("pktgen has no %s (%s)." % (name, error.strerror)) from error
    try:
        os.write(descriptor, command.encode() + b"\n")
    except OSError as error:
        if error.errno in NOT_SUPPORTED:
            raise AgentError(
                "%s is not possible on this interface: it keeps the packets that it is given (veth does). Set burst "
                "to 1 and clone to 0." % what
            ) from error
        raise AgentError("pktgen refused %r for %s: %s." % (command, name, error.strerror)) from error
    finally:
        os.close(descriptor)


class Generator:
    """The generator of one role. Whatever ends the agent ends it: the kernel stops when its starter is killed."""

    def __init__(self):
        self.loaded = False  # by us
        self.request = None  # type: PktgenRequest | None
        self.begun_at = 0.0  # CLOCK_MONOTONIC, of the last time

    def configure(self, request: PktgenRequest):
        """Have the devices ready; the same request again changes nothing."""
        role = request.role
        if request == self.request and self.is_ready():
            return
        refuse(role, request.device)
        if not os.path.isdir("/sys/module/pktgen"):
            try:
                call(["modprobe", "pktgen"])
            except AgentError as error:
                raise AgentError(
                    "the kernel module pktgen cannot be loaded (%s): install a kernel that has it (CONFIG_NET_PKTGEN; "
                    "Debian's cloud kernels do not)." % error
                ) from error
            self.loaded = True
        with inside(role):
            if self.request:
                tell("pgctrl", "reset", "starting afresh")
            self.request = None
            address = ethernet_address(request.gateway)
            try:
                for device in request.devices:
                    tell("kpktgend_%d" % device["cpu"], "add_device " + device["name"], "sending")
                    for command, what in settings(request, device, address):
                        tell(device["name"], command, what)
            except AgentError:
                tell("pgctrl", "reset", "taking back what was begun")
                raise
        self.request = request
        if len({device["cpu"] for device in request.devices}) > 1:
            self.keep_step()

    def configured(self) -> PktgenRequest:
        """What it is ready for."""
        assert self.request is not None
        return self.request

    def keep_step(self):
        """Have the threads begin together from now on, by stopping all at once: one that has nothing to do looks for
        work every tenth of a second, from when it stopped."""
        with self.sending({device["name"]: [0, IN_STEP_NS] for device in self.configured().devices}):
            time.sleep(SLACK_S)

    def is_ready(self):
        with inside(self.configured().role):
            return all(os.path.exists(FOLDER + device["name"]) for device in self.configured().devices)

    @contextlib.contextmanager
    def sending(self, loads):
        """Send from now on: {device: [packets, nanoseconds between two]}; 0 packets: until it is stopped.

        Gives what `wait` waits for. On the way out, what still sends is stopped.
        """
        with inside(self.configured().role):
            for name, (packets, gap_ns) in loads.items():
                tell(name, "count %d" % packets, "counting")
                tell(name, "delay %d" % gap_ns, "pacing")
        self.begun_at = time.monotonic()
        ended, to_end = os.pipe()
        trouble = []  # type: list[str]
        starter = threading.Thread(target=self.run, args=(to_end, trouble), daemon=True)
        starter.start()
        try:
            yield ended
        finally:
            if starter.is_alive():
                self.stop()
            starter.join(10)
            os.close(ended)
        if trouble:
            raise AgentError(trouble[0])

    def run(self, to_end, trouble):
        """Start, which returns when all threads have sent what they had to, or were stopped."""
        try:
            with inside(self.configured().role):
                tell("pgctrl", "start", "sending")
        except AgentError as error:
            trouble.append(str(error))
        finally:
            os.close(to_end)

    def wait(self, ended, deadline):
        """Until all is sent, or a time of CLOCK_MONOTONIC; EOFError when the controller goes away meanwhile."""
        left = deadline - time.monotonic()
        ready = select.select([0, ended], [], [], max(0.0, left))[0]
        if 0 in ready:
            raise EOFError

    def stop(self):
        if self.request:
            with inside(self.configured().role), contextlib.suppress(AgentError):
                tell("pgctrl", "stop", "stopping")

    def results(self):
        """[{"name", "sent", "errors", "started_s", "stopped_s"}] of the devices; times are of CLOCK_MONOTONIC."""
        with inside(self.configured().role):
            found = [
                {"name": device["name"], **result_of(device["name"], read_text(FOLDER + device["name"]))}
                for device in self.configured().devices
            ]
        late = [one["name"] for one in found if one["started_s"] < self.begun_at]  # what it says is of another time
        if late:
            raise AgentError("pktgen's %s did not begin in time: its CPU was busy with something else." % late[0])
        return found

    def leave(self):
        """Stop, and take the module out of the kernel where it was not in it before."""
        if self.request:
            # The namespace may be gone, and pktgen's devices with it.
            with contextlib.suppress(AgentError, OSError), inside(self.configured().role):
                tell("pgctrl", "reset", "ending")
            self.request = None
        if self.loaded:
            call(["modprobe", "--remove", "pktgen"])
            self.loaded = False


def settings(request: PktgenRequest, device: PktgenDevice, gateway):
    """(command, what it is for) of everything that a device is told before it sends."""
    first, flows = device["ports"]
    yield "dst_mac " + gateway, "the gateway's address"
    yield "src_min " + device["source"], "the source"
    yield "src_max " + device["source"], "the source"
    yield "dst " + device["destination"], "the destination"
    yield "udp_src_min %d" % first, "the flows"
    yield "udp_src_max %d" % (first + flows if flows > 1 else first), "the flows"  # the last is one below
    sizes = request.sizes
    if len(sizes) == 1:
        yield "pkt_size %d" % (sizes[0][0] + HEADER), "the packets' size"
    else:
        mixture = " ".join("%d,%d" % (size + HEADER, weight) for size, weight in sizes)
        yield "imix_weights " + mixture, "the mixture of sizes"
    if request.clone:
        yield "clone_skb %d" % request.clone, "sending a packet several times"
    if request.burst > 1:
        yield "burst %d" % request.burst, "sending in bursts"


def result_of(name, text):
    """What a device's file says of a run that has ended."""
    result, times = RESULT.search(text), TIMES.search(text)
    if not result or not times:
        said = re.search(r"Result: (.*)", text)
        raise AgentError("pktgen's %s has no result: %s." % (name, said.group(1) if said else "it sent nothing"))
    errors, started_us, stopped_us = (int(number) for number in times.groups())
    return {
        "sent": int(result.group(1)),
        "errors": errors,
        "started_s": started_us / 1e6,
        "stopped_s": stopped_us / 1e6,
    }


GENERATOR = Generator()


def pktgen(request: PktgenRequest) -> Nothing:
    """Have the generator ready on a role, for `measure` to start.

    ``role``, ``device``, ``gateway``: the address of the neighbour that everything goes to; ``sizes``: [[bytes of an IP
    packet, weight]]; ``clone``, ``burst``; ``devices``: [{"name": DEVICE@N, "cpu", "source", "destination", "ports":
    [first UDP source port, how many]}].
    """
    GENERATOR.configure(request)
    return {}
