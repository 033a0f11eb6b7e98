# SPDX-License-Identifier: Apache-2.0
"""The servers and clients of a trial, and the sampling around their traffic."""

import contextlib
import os
import select
import sys
import time

from orchestrator.agent.attached import Attached
from orchestrator.agent.echo import Echoes
from orchestrator.agent.hardware import Cycles
from orchestrator.agent.hops import device_counts
from orchestrator.agent.host import RUNTIME, AgentError, free_bytes, inside, packed, read_text
from orchestrator.agent.load import process_seconds, used_between
from orchestrator.agent.messages import Nothing
from orchestrator.agent.pktgen import GENERATOR, SLACK_S
from orchestrator.agent.polls import PollTrace
from orchestrator.agent.probes import forget_skew, online_cpus, reading, sample, surroundings
from orchestrator.agent.processes import PROCESSES, ROOM_FOR_OUTPUT
from orchestrator.agent.profile import profile
from orchestrator.agent.roaming import Roaming
from orchestrator.agent.traffic_messages import (
    HoldRequest,
    MeasureAnswer,
    MeasureRequest,
    Quiet,
    QuietRequest,
    ServeRequest,
)

QUIET_SINCE = {}  # type: dict[str, float]
QUIET_S = 0.1  # minimum time for which packets are counted before the traffic, so that a slow stray flow shows too


def packets_so_far():
    """Return the packets that all roles' devices have received, except loopback."""
    total = 0
    for role in os.listdir(RUNTIME + "/sys"):
        with inside(role):
            counted = device_counts(read_text("/proc/thread-self/net/dev"))
            total += sum(numbers[1] for name, numbers in counted.items() if name != "lo")
    return total


def expect_quiet(request: QuietRequest) -> Nothing:
    """Count the packets that pass from now on until the traffic, where none are expected."""
    QUIET_SINCE.update(at_s=time.monotonic(), packets=packets_so_far())
    return {}


LISTENS = {"tcp": "0A", "udp": "07"}  # states of listening sockets; for UDP, of unconnected ones


def listening(role, protocols=("tcp",)):
    """Return (packed address, port) of every socket that listens in a role's namespace (proc_net(5))."""
    found = set()
    with inside(role):
        names = [(protocol, "/proc/thread-self/net/" + protocol + six) for protocol in protocols for six in ("", "6")]
        tables = [(protocol, path) for protocol, path in names if os.path.exists(path)]
        for protocol, line in [(of, line) for of, path in tables for line in read_text(path).splitlines()[1:]]:
            fields = line.split()
            if fields[3] == LISTENS[protocol]:
                address, port = fields[1].split(":")
                words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
                found.add((b"".join(word.to_bytes(4, sys.byteorder) for word in words), int(port, 16)))
    return found


def served_anyhow(role, wanted):
    """Return those of the ``wanted`` (packed address, port) that a TCP or UDP socket serves, even on all addresses."""
    found = listening(role, ("tcp", "udp"))
    everywhere = {port for address, port in found if not any(address)}
    return {(address, port) for address, port in wanted if port in everywhere or (address, port) in found}


def serve(request: ServeRequest) -> Nothing:
    """Start servers, possibly none, and return once all listen. No packets are expected from now until the traffic.

    Raises AgentError if a server ends, or does not listen in time.
    """
    PROCESSES.stop()
    expect_quiet(QuietRequest())
    if free_bytes(RUNTIME) < ROOM_FOR_OUTPUT:
        raise AgentError("the disk of %s is full: free some space there." % RUNTIME)
    waiting = {}  # type: dict[str, set[tuple[bytes, int]]]
    free = set()
    PROCESSES.keep(request.files)
    for server in request.servers:
        role, anyhow = server["role"], server.get("any", False)
        PROCESSES.start(role, server["name"], server["arguments"], anyhow, server.get("preload"))
        if server["port"] is not None:
            waiting.setdefault(role, set()).add((packed(server["address"]), server["port"]))
            free |= {role} if anyhow else set()
    deadline = time.monotonic() + request.patience_s
    while waiting:
        for role in list(waiting):
            waiting[role] -= listening(role) if role not in free else served_anyhow(role, waiting[role])
            if not waiting[role]:
                del waiting[role]
        if waiting:
            failed = [name for name, process in PROCESSES.processes.items() if process.poll()]
            if failed or time.monotonic() > deadline:
                said = [(name, got["err"] or got["out"]) for name, got in PROCESSES.stop().items()]
                what = "%s ended" % failed[0] if failed else "Servers did not listen within %g s" % request.patience_s
                raise AgentError("%s: %s" % (what, str(said)[:500]))
            time.sleep(0.005)
    return {}


def hold(request: HoldRequest) -> Nothing:
    """Prepare the clients of a trial, which begin together in `measure`."""
    for client in request.clients:
        anyhow, preload = client.get("any", False), client.get("preload")
        PROCESSES.hold(client["role"], client["name"], client["arguments"], anyhow, preload)
    return {}


def measure(request: MeasureRequest) -> MeasureAnswer:
    """Start the held clients, sample around the measured window, and return all results.

    Recording polls costs time and disturbs the traffic. The processes of attached commands are among ``processes``; the
    first of the ``readings`` is at the start of the window. ``before`` counts packets for at least ``QUIET_S`` before
    the traffic. ``polls``, ``profile``, ``pktgen`` and ``echoes`` are None unless requested.
    """
    attached = request.attached or {"commands": [], "tracepoints": []}
    with recording(request) as trace, Attached(PROCESSES, attached["commands"], attached["tracepoints"]) as beside:
        return measure_with(request, trace, beside)


def recording(request: MeasureRequest):
    """Return a context manager that records the measured window; its value is None if nothing is recorded."""
    if request.trace_polls:
        return PollTrace()
    return profile() if request.profile else contextlib.nullcontext()


def generating(loads):
    """Return a context manager in which the generator sends, if this host has it."""
    return GENERATOR.sending(loads) if loads else contextlib.nullcontext()


def echoing(request):
    """Return a context manager that times round trips, if this host does."""
    return Echoes(request) if request else contextlib.nullcontext()


def measure_with(request: MeasureRequest, trace, beside) -> MeasureAnswer:
    time.sleep(max(0.0, QUIET_SINCE["at_s"] + QUIET_S - time.monotonic()))
    before: Quiet = {
        "seconds": time.monotonic() - QUIET_SINCE["at_s"],
        "packets": packets_so_far() - QUIET_SINCE["packets"],
    }
    surroundings_before = surroundings(request.sample_roles)
    others_before, others_since = process_seconds(PROCESSES.pids()), time.monotonic()
    if request.start_at is not None:
        time.sleep(max(0.0, request.start_at - time.time()))
    began = time.monotonic()
    started_at = time.time()
    PROCESSES.release()
    deadline = began + request.patience_s
    samples, readings = [], []
    roaming = Roaming(request.roaming) if request.roaming else None
    generators = generating(request.pktgen), echoing(request.echoes)
    with generators[0] as sending, generators[1] as echoes, Cycles(online_cpus()) as cycles:
        wait_or_leave(began + request.warm_up_s)
        forget_skew()
        samples.append(sample(request.sample_roles, cycles))
        if trace:
            trace.start()
        beside.start()
        until = began + request.warm_up_s + request.duration_s
        calls = []
        if request.sample_every_s:
            readings.append(reading(request.sample_roles))
            calls.append((request.sample_every_s, lambda: readings.append(reading(request.sample_roles))))
        if roaming is not None:
            calls.append((roaming.every_s, roaming.move))
        call_until(until, calls)
        if trace:
            trace.stop()
        beside.stop()
        samples.append(sample(request.sample_roles, cycles))
        if sending is not None:
            GENERATOR.wait(sending, until + SLACK_S)
    others = used_between(others_before, process_seconds(PROCESSES.pids()), time.monotonic() - others_since)
    beside.end()
    PROCESSES.wait(deadline)
    traffic_s = time.monotonic() - began
    return {
        "started_at": started_at,
        "traffic_s": traffic_s,
        "samples": samples,
        "readings": readings,
        "moves": roaming.moves if roaming is not None else [],
        "before": before,
        "surroundings": [surroundings_before, surroundings(request.sample_roles)],
        "others": others,
        "processes": PROCESSES.stop(),
        "polls": trace.result() if request.trace_polls else None,
        "profile": trace.result() if request.profile else None,
        "pktgen": GENERATOR.results() if request.pktgen else None,
        "echoes": echoes.result() if echoes else None,
        "tracepoints": beside.counted,
        "clock_s": time.time(),
    }


def call_until(until, calls):
    """Wait until a time of CLOCK_MONOTONIC, and call functions periodically before it: [(seconds, function)].

    Raises EOFError if the controller goes away.
    """
    began = time.monotonic()
    due = [(began + every_s, number) for number, (every_s, _) in enumerate(calls)]
    while due and min(due)[0] < until:
        at, number = min(due)
        wait_or_leave(at)
        every_s, call = calls[number]
        call()
        due[number] = (at + every_s, number)
    wait_or_leave(until)


def wait_or_leave(until):
    """Sleep until a time of CLOCK_MONOTONIC. Raises EOFError if the controller goes away."""
    left = until - time.monotonic()
    if left > 0 and select.select([0], [], [], left)[0]:
        raise EOFError
