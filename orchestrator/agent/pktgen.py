# SPDX-License-Identifier: Apache-2.0
"""The kernel's packet generator on a role (Documentation/networking/pktgen.rst).

A kernel thread on each CPU sends over devices that are assigned to it. A device here is an additional name for the
role's interface, and sends the flows of one tunnel; its files are those of the role's network namespace.
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
NOT_SUPPORTED = (errno.EOPNOTSUPP, 524)  # 524 is ENOTSUPP, which older kernels return
IN_STEP_NS = 1000000  # gap between the packets that align the threads: how far apart they may stop
SLACK_S = 0.25  # beyond the time planned, for threads that look for work ten times a second
RESULT = re.compile(r"Result: OK: \d+\(c\d+\+d\d+\) usec, (\d+) \(\d+byte,-?\d+frags\)")
TIMES = re.compile(r"errors: (\d+).*?started: (\d+)us\s+stopped: (\d+)us", re.DOTALL)


def refuse(role, device):
    """Raise AgentError if pktgen cannot send over a device."""
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
    """Return the Ethernet address of a neighbour that was reached before (arp(7)).

    Raises AgentError if it is unknown.
    """
    for line in read_text("/proc/thread-self/net/arp").splitlines()[1:]:
        fields = line.split()
        if fields[0] == address and int(fields[2], 16) & 2:  # ATF_COM: complete
            return fields[3]
    raise AgentError("the Ethernet address of %s is not known, so nothing can be sent to it." % address)


def tell(name, command, what):
    """Write a command to one of pktgen's files. The AgentError of a failure says that it was for ``what``."""
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
    """The generator of one role.

    It ends with the agent, however that ends: the kernel stops when its starter is killed.
    """

    def __init__(self):
        self.loaded = False  # whether this agent loaded the module
        self.request = None  # type: PktgenRequest | None
        self.begun_at = 0.0  # last start, by CLOCK_MONOTONIC

    def configure(self, request: PktgenRequest):
        """Set up the devices; repeating the same request changes nothing."""
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
        """The request for which the generator is set up."""
        assert self.request is not None
        return self.request

    def keep_step(self):
        """Make the threads begin together from now on, by stopping all at once.

        An idle thread looks for work every tenth of a second, counted from when it stopped.
        """
        with self.sending({device["name"]: [0, IN_STEP_NS] for device in self.configured().devices}):
            time.sleep(SLACK_S)

    def is_ready(self):
        with inside(self.configured().role):
            return all(os.path.exists(FOLDER + device["name"]) for device in self.configured().devices)

    @contextlib.contextmanager
    def sending(self, loads):
        """Context manager that sends: {device: [packets, nanoseconds between two]}; 0 packets: until it is stopped.

        It gives the argument of `wait`. On exit, whatever still sends is stopped.
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
        """Start the generator; this returns once all threads have sent their packets, or were stopped."""
        try:
            with inside(self.configured().role):
                tell("pgctrl", "start", "sending")
        except AgentError as error:
            trouble.append(str(error))
        finally:
            os.close(to_end)

    def wait(self, ended, deadline):
        """Wait until all is sent, or until a time of CLOCK_MONOTONIC. Raises EOFError if the controller goes away."""
        left = deadline - time.monotonic()
        ready = select.select([0, ended], [], [], max(0.0, left))[0]
        if 0 in ready:
            raise EOFError

    def stop(self):
        if self.request:
            with inside(self.configured().role), contextlib.suppress(AgentError):
                tell("pgctrl", "stop", "stopping")

    def results(self):
        """Return [{"name", "sent", "errors", "started_s", "stopped_s"}] of the devices, by CLOCK_MONOTONIC.

        Raises AgentError for a device that did not begin in time.
        """
        with inside(self.configured().role):
            found = [
                {"name": device["name"], **result_of(device["name"], read_text(FOLDER + device["name"]))}
                for device in self.configured().devices
            ]
        late = [one["name"] for one in found if one["started_s"] < self.begun_at]  # its result is of an earlier run
        if late:
            raise AgentError("pktgen's %s did not begin in time: its CPU was busy with something else." % late[0])
        return found

    def leave(self):
        """Stop, and unload the module if it was not loaded before."""
        if self.request:
            # The namespace may be gone, and pktgen's devices with it.
            with contextlib.suppress(AgentError, OSError), inside(self.configured().role):
                tell("pgctrl", "reset", "ending")
            self.request = None
        if self.loaded:
            call(["modprobe", "--remove", "pktgen"])
            self.loaded = False


def settings(request: PktgenRequest, device: PktgenDevice, gateway):
    """Yield (command, purpose) for everything that a device is told before it sends."""
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
    """Return the result in a device's file after a run has ended. Raises AgentError if there is none."""
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
    """Set up the generator on a role, for `measure` to start."""
    GENERATOR.configure(request)
    return {}
