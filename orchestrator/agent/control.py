# SPDX-License-Identifier: Apache-2.0
"""Pure compute loops, one on each CPU: together they must do as many times the work of one.

They share nothing but the processors, so any shortfall is what the host's CPUs do not deliver: in virtual time, clocks
that are not charged correctly.
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
TURN = 10000  # rounds between two readings of the clock: much shorter than a phase, much longer than a reading
START_IN_S = 0.05  # after all loops are ready
LEAD = 0.1  # share of a phase, not counted, in which its loops start and others stop
READY = b"r"
NUMBER = struct.Struct("=d")


def control(request: ControlRequest) -> ControlAnswer:
    """Measure how much work loops do that only compute; the order of phases and loops is that of `ControlRequest`.

    In a phase of n loops, those on the first n CPUs compute. Phases with different numbers of loops can thus be
    compared with their neighbours: the speed of a computer's cores changes from second to second if others use them
    too.
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
    """Fork a process for a loop; return (pid, descriptor of its results, descriptor that takes its start time)."""
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
            compute(TURN)  # so that the memory of a first round is present
            os.write(to_result, READY)
            (start_at,) = NUMBER.unpack(os.read(begin, NUMBER.size))  # a small write to a pipe is read as a whole
            rates = [rate_of_phase(start_at + phase * seconds, seconds) for phase in phases]
            os.write(to_result, struct.pack("=%dd" % len(rates), *rates))
            status = 0
    finally:
        os._exit(status)


def rate_of_phase(start_at, seconds):
    """Return the rounds per second computed in the phase that starts at this time of CLOCK_MONOTONIC."""
    time.sleep(max(0.0, start_at - time.monotonic()))
    count_rounds(start_at + LEAD * seconds)
    return count_rounds(start_at + seconds)


def count_rounds(until):
    """Compute until this time, at least one turn, and return the rounds per second."""
    rounds, began = 0, time.monotonic()
    while True:
        compute(TURN)
        rounds += TURN
        now = time.monotonic()
        if now >= until:
            return rounds / (now - began)


def compute(rounds):
    """Compute with hardly any memory access."""
    value = 1
    for _ in range(rounds):
        value = (value * 69069 + 1) & 0xFFFFFFFF
    return value


def receive(descriptor, size):
    """Read ``size`` bytes from a loop.

    Raises AgentError if the loop has ended, EOFError if the controller is gone.
    """
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
