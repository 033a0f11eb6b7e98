# SPDX-License-Identifier: Apache-2.0
"""The keeper of a lab: PID 1 of the lab's own namespaces, the parent of its machines.

It needs only the standard library. It is started by ``unshare`` in new network, mount and process namespaces (and a
user namespace when not root). When it ends, the kernel ends every process of the lab and removes its network and
mounts. It ends on request, or when its standard input closes, which happens however the controller ends.

Requests come over a Unix socket, as one JSON object each. The answer is one JSON object too, to which a connected
socket may be attached (SCM_RIGHTS): so the controller reaches a machine inside the lab's network without a relay.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

NETWORK = "192.0.2."  # TEST-NET-1 (RFC 5737); it cannot collide, because the lab has its own network namespace
MANAGEMENT = "lab"  # the bridge over which the controller reaches the machines
MNT_DETACH = 2
ABOVE = 5  # how much higher than the lab's real-time priority that of the keeper and its watchdog is


def run(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError("`%s` failed: %s" % (" ".join(arguments), done.stderr.strip()))


class Keeper:
    def __init__(self, folder):
        self.folder = folder
        self.machines = {}
        self.lock = threading.Lock()
        self.watchdog = None
        self.own_proc = False

    # --- the lab's surroundings ---

    def prepare(self):
        libc = ctypes.CDLL(None, use_errno=True)
        # A /proc of the lab's own: without it, real-time priority cannot be set for the lab's processes.
        self.own_proc = libc.mount(b"proc", b"/proc", b"proc", 0, None) == 0
        memory = os.path.join(self.folder, "memory")
        os.mkdir(memory)
        # Huge pages spare a machine's memory a second look-up; not every kernel has them for a tmpfs.
        options = (b"mode=700,size=90%,huge=always", b"mode=700,size=90%")
        if all(libc.mount(b"tmpfs", memory.encode(), b"tmpfs", 0, text) for text in options):
            raise RuntimeError("a tmpfs for the machines' memory cannot be mounted: " + os.strerror(ctypes.get_errno()))
        run("ip", "link", "set", "lo", "up")
        self.bridge(MANAGEMENT)
        run("ip", "address", "add", NETWORK + "1/24", "dev", MANAGEMENT)

    def bridge(self, name):
        """Make a bridge, unless it exists, that carries only what machines send."""
        if not os.path.isdir("/proc/sys/net/ipv4/conf/" + name):
            run("ip", "link", "add", name, "type", "bridge", "mcast_snooping", "0")
            self.silence(name)
            run("ip", "link", "set", name, "up")

    def silence(self, device):
        """Disable IPv6 on a device: its neighbour discovery would be stray traffic in a trial."""
        with contextlib.suppress(OSError), open("/proc/sys/net/ipv6/conf/%s/disable_ipv6" % device, "w") as file:
            file.write("1")

    # --- requests ---

    def start(self, request):
        """Start a machine: {"name", "number", "program", "arguments", "ports": [{"kind", "bridge", "queues"}]}.

        Port i is the device ``nic<number>.<i>``, for the program to use: of the kind veth, its other end is on the
        bridge; of the kind tap, it is on the bridge itself. The machine's console goes to <folder>/<name>.console.
        """
        name, number = request["name"], request["number"]
        self.stop({"name": name})
        ports = [self.plug("%d.%d" % (number, i), port) for i, port in enumerate(request["ports"])]
        arguments = [request["program"], *request["arguments"]]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": self.folder,
            "TMPDIR": os.path.join(self.folder, "memory"),
        }
        with open(os.path.join(self.folder, name + ".console"), "ab") as console:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=environment,
                cwd=self.folder,
                start_new_session=True,
            )
        address = "%s%d" % (NETWORK, 10 + number)
        self.machines[name] = {"process": process, "address": address, "ports": ports}
        return {"address": address}

    def plug(self, suffix, port):
        """Make a port. Return the device whose deletion removes it."""
        self.bridge(port["bridge"])
        inner, outer = "nic" + suffix, "port" + suffix
        if port["kind"] == "tap":
            outer = inner
            queues = ["multi_queue"] if port["queues"] > 1 else []
            run("ip", "tuntap", "add", inner, "mode", "tap", "vnet_hdr", *queues)
        else:
            run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner)
        for device in {inner, outer}:
            self.silence(device)
            run("ip", "link", "set", device, "up")
        run("ip", "link", "set", outer, "master", port["bridge"])
        return outer

    def stop(self, request):
        """Kill a machine: {"name"}."""
        machine = self.machines.pop(request["name"], None)
        if machine:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(machine["process"].pid, signal.SIGKILL)
            machine["process"].wait()
            for port in machine["ports"]:
                with contextlib.suppress(RuntimeError):
                    run("ip", "link", "delete", port)
            self.reap_orphans()
        return {}

    def reap_orphans(self):
        """Reap the processes that a killed machine left, which have become the keeper's children."""
        mine = {machine["process"].pid for machine in self.machines.values()}
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None or ended.si_pid in mine:
                return
            os.waitpid(ended.si_pid, 0)

    def wait(self, request):
        """Wait until a machine has ended by itself: {"name", "patience_s"}."""
        machine = self.machines[request["name"]]
        try:
            machine["process"].wait(request["patience_s"])
        except subprocess.TimeoutExpired:
            return {"ended": False}
        return {"ended": True}

    def status(self, request):
        """Return the machines: whether each is running, its exit status (negative: a signal's number) and address."""
        del request
        found = {}
        for name, machine in self.machines.items():
            status = machine["process"].poll()
            found[name] = {"running": status is None, "exit_status": status, "address": machine["address"]}
        return {"pid": os.getpid(), "machines": found}

    def connect(self, request):
        """Return a socket that is connected to a port of a machine: {"name", "port", "timeout_s"}."""
        machine = self.machines.get(request["name"])
        if machine is None:
            raise RuntimeError("there is no machine %r" % request["name"])
        if machine["process"].poll() is not None:
            raise RuntimeError("the machine %s has ended" % request["name"])
        return {"socket": socket.create_connection((machine["address"], request["port"]), request["timeout_s"])}

    def prioritize(self, request):
        """Give the machines real-time priority for at most ``seconds``: {"priority", "seconds"}.

        The keeper goes above them first, so that its watchdog can always take the priority back.
        """
        if not self.own_proc:
            return {"realtime": False}
        self.unprioritize({})
        try:
            self.set_scheduler(lambda pid: pid == os.getpid(), os.SCHED_FIFO, request["priority"] + ABOVE)
            self.watchdog = threading.Timer(request["seconds"], self.unprioritize, ({},))
            self.watchdog.daemon = True
            self.watchdog.start()
            self.set_scheduler(lambda pid: pid != os.getpid(), os.SCHED_FIFO, request["priority"])
        except PermissionError:
            self.unprioritize({})
            return {"realtime": False}
        return {"realtime": True}

    def unprioritize(self, request):
        """Return every process of the lab to the ordinary scheduler."""
        del request
        watchdog, self.watchdog = self.watchdog, None
        if watchdog:
            watchdog.cancel()
        if self.own_proc:
            self.set_scheduler(lambda pid: pid != os.getpid(), os.SCHED_OTHER, 0)
            self.set_scheduler(lambda pid: pid == os.getpid(), os.SCHED_OTHER, 0)
        return {}

    def usage(self, request):
        """Return the CPU seconds that the lab's processes, and their ended children, have used: {"cpu_s"}."""
        del request
        ticks = 0
        for pid in self.pids():
            with contextlib.suppress(OSError, IndexError, ValueError), open("/proc/%d/stat" % pid) as file:
                fields = file.read().rsplit(")", 1)[1].split()
                ticks += sum(int(value) for value in fields[11:15])
        return {"cpu_s": ticks / os.sysconf("SC_CLK_TCK")}

    def quit(self, request):
        """End the lab."""
        del request
        threading.Timer(0.05, os._exit, (0,)).start()
        return {}

    def clear_away(self):
        """End every other process of the lab, and remove its folder, because no other process would."""
        with contextlib.suppress(OSError):
            os.kill(-1, signal.SIGKILL)  # from PID 1: every process of its own namespace, and no other
        ctypes.CDLL(None).umount2(os.path.join(self.folder, "memory").encode(), MNT_DETACH)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- helpers ---

    def pids(self):
        return [int(name) for name in os.listdir("/proc") if name.isdigit()] if self.own_proc else []

    def set_scheduler(self, which, policy, priority):
        """Set the scheduler of all threads of the processes that ``which`` selects; twice, as more may start."""
        for _ in range(2):
            for pid in filter(which, self.pids()):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    for thread in os.listdir("/proc/%d/task" % pid):
                        with contextlib.suppress(ProcessLookupError):
                            os.sched_setscheduler(int(thread), policy, os.sched_param(priority))

    # --- the loop ---

    REQUESTS = ("start", "stop", "wait", "status", "connect", "prioritize", "unprioritize", "usage", "quit")

    def serve(self, connection):
        with connection:
            try:
                request = json.loads(connection.makefile("rb").readline())
                if request["op"] not in self.REQUESTS:
                    raise RuntimeError("there is no request %r" % request["op"])
                operation = getattr(self, request["op"])
                if request["op"] in ("wait", "connect"):  # these may take long
                    result = operation(request)
                else:
                    with self.lock:
                        result = operation(request)
            except Exception as error:
                result = {"error": "%s" % error}
            attached = result.pop("socket", None)
            with contextlib.suppress(OSError):
                data = json.dumps(result).encode() + b"\n"
                if attached is None:
                    connection.sendall(data)
                else:
                    with attached:
                        attached.settimeout(None)
                        socket.send_fds(connection, [data], [attached.fileno()])

    def accept(self, listener):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()


def main():
    folder, lifeline = sys.argv[1], sys.argv[2] == "lifeline"
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C is meant for the controller, which then ends the lab
    keeper = Keeper(folder)
    try:
        keeper.prepare()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(os.path.join(folder, "control.new"))
        listener.listen(64)
        os.rename(os.path.join(folder, "control.new"), os.path.join(folder, "control"))
    except (OSError, RuntimeError) as error:
        print("orch-keeper: %s" % error, file=sys.stderr)
        os._exit(1)
    threading.Thread(target=keeper.accept, args=(listener,), daemon=True).start()
    if lifeline:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        keeper.clear_away()
        os._exit(0)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
