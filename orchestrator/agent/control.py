# SPDX-License-Identifier: Apache-2.0
"""Loops that only compute, one on each CPU: together they must do as many times the work of one.

They share nothing but the processors, so what is missing is what the host's CPUs do not give: in virtual time, clocks
that do not charge what they should.
"""

import gc
import os
import select
import signal
import struct
import time

from orchestrator.agent.host import LIBC, AgentError
from orchestrator.agent.host_messages import ControlAnswer, ControlRequest

CONTROLLER = 0  # the descriptor whose end says that the controller is gone
PR_SET_PDEATHSIG = 1
TURN = 10000  # rounds between two looks at the clock: short beside a phase, long beside what a look takes
START_IN_S = 0.05  # from when all loops are ready
LEAD = 0.1  # share of a phase in which its loops come and others go, which is not counted
READY = b"r"
NUMBER = struct.Struct("=d")


def control(request: ControlRequest) -> ControlAnswer:
    """Count what loops get done: {"seconds": how long a phase is, by CLOCK_MONOTONIC; "phases": how many loops compute
    in each phase; "cpus": on which CPUs, null for all that this agent may use}.

    In a phase of n loops, those on the first n CPUs compute. So phases with different numbers of loops can be held
    against their neighbours: the speed of a computer's cores changes from second to second where others use them too.

    {"rates": [rounds per second of each loop that computed, in the order of the CPUs, for each phase]}
    """
    cpus = sorted(request.cpus or os.sched_getaffinity(0))[: max(request.phases)]
    turns = [phases_of(number, request.phases) for number in range(len(cpus))]
    started = []  # type: list[tuple[int, int, int]]
    try:
        for number, cpu in enumerate(cpus):
            started.append(start_loop(cpu, request.seconds, turns[number]))
        for _, result, _ in started:
            receive(result, 1)
        start_at = NUMBER.pack(time.monotonic() + START_IN_S)
        for _, _, begin in started:
            os.write(begin, start_at)
        rates = [[] for _ in request.phases]  # type: list[list[float]]
        for number, (_, result, _) in enumerate(started):
            values = len(turns[number])
            told = struct.unpack("=%dd" % values, receive(result, 8 * values))
            for place, phase in enumerate(turns[number]):
                rates[phase].append(told[place])
    finally:
        for pid, result, begin in started:
            os.close(result)
            os.close(begin)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return {"rates": rates}


def phases_of(loop, phases):
    """Return in which phases a loop computes, from how many loops do in each."""
    return [number for number, loops in enumerate(phases) if loop < loops]


def start_loop(cpu, seconds, phases):
    """Fork a process for a loop: (pid, descriptor of what it tells, descriptor to which its start goes)."""
    result, to_result = os.pipe()
    begin, to_begin = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        os.close(to_result)
        os.close(begin)
        return pid, result, to_begin
    status = 1
    try:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            os.sched_setaffinity(0, {cpu})
            gc.disable()
            compute(TURN)  # so that what a first round touches is there
            os.write(to_result, READY)
            (start_at,) = NUMBER.unpack(os.read(begin, NUMBER.size))  # a pipe gives whole what was written at once
            rates = [rate_of_phase(start_at + phase * seconds, seconds) for phase in phases]
            os.write(to_result, struct.pack("=%dd" % len(rates), *rates))
            status = 0
    finally:
        os._exit(status)


def rate_of_phase(start_at, seconds):
    """Return how many rounds per second are computed in the phase that starts at this time of CLOCK_MONOTONIC."""
    time.sleep(max(0.0, start_at - time.monotonic()))
    count_rounds(start_at + LEAD * seconds)
    return count_rounds(start_at + seconds)


def count_rounds(until):
    """Compute until then, at least one turn, and return the rounds per second."""
    rounds, began = 0, time.monotonic()
    while True:
        compute(TURN)
        rounds += TURN
        now = time.monotonic()
        if now >= until:
            return rounds / (now - began)


def compute(rounds):
    """Work that touches no memory to speak of."""
    value = 1
    for _ in range(rounds):
        value = (value * 69069 + 1) & 0xFFFFFFFF
    return value


def receive(descriptor, size):
    """Read ``size`` bytes from a loop. Raises AgentError where it has ended, EOFError when the controller is gone."""
    data = b""
    while len(data) < size:
        ready = select.select([CONTROLLER, descriptor], [], [])[0]
        if descriptor in ready:
            more = os.read(descriptor, size - len(data))
            if not more:
                raise AgentError("a loop of the control ended before it was done.")
            data += more
        else:
            raise EOFError
    return data
