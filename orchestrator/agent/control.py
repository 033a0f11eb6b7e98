# SPDX-License-Identifier: Apache-2.0
"""Loops that only compute, one on each CPU: together they must do as many times the work of one alone.

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

CONTROLLER = 0  # the descriptor whose end says that the controller is gone
PR_SET_PDEATHSIG = 1
TURN = 20000  # rounds between two looks at the clock: short beside the loops' time, long beside what a look takes
START_IN_S = 0.05  # from when all loops are ready
READY = b"r"
RESULT = struct.Struct("=Qd")  # rounds, seconds


def control(request):
    """Count what loops get done: {"seconds": how long each computes, by CLOCK_MONOTONIC; "times": how often that is
    done; "cpus": on which CPUs, null for all that this agent may use}.

    {"alone": [each time, rounds per second of one loop on the first CPU while the others have nothing to do],
    "together": [each time, [rounds per second of each of as many loops as there are CPUs, each on its own, all at the
    same time]]}. Both are measured in turn, since the speed of a computer's cores changes from second to second where
    others use them too.
    """
    cpus = sorted(request.get("cpus") or os.sched_getaffinity(0))
    alone, together = [], []
    for _ in range(request["times"]):
        alone += loops(cpus[:1], request["seconds"])
        together.append(loops(cpus, request["seconds"]))
    return {"alone": alone, "together": together}


def loops(cpus, seconds):
    """Run a loop on each CPU, from one agreed time on; the rounds per second of each, in the order of the CPUs."""
    started = []  # type: list[tuple[int, int, int]]
    try:
        for cpu in cpus:
            started.append(start_loop(cpu, seconds))
        for _, result, _ in started:
            receive(result, 1)
        start_at = struct.pack("=d", time.monotonic() + START_IN_S)
        for _, _, begin in started:
            os.write(begin, start_at)
        counts = [RESULT.unpack(receive(result, RESULT.size)) for _, result, _ in started]
    finally:
        for pid, result, begin in started:
            os.close(result)
            os.close(begin)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return [rounds / elapsed_s for rounds, elapsed_s in counts]


def start_loop(cpu, seconds):
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
            (start_at,) = struct.unpack("=d", os.read(begin, 8))  # a pipe gives whole what was written at once
            time.sleep(max(0.0, start_at - time.monotonic()))
            os.write(to_result, RESULT.pack(*count_rounds(seconds)))
            status = 0
    finally:
        os._exit(status)


def count_rounds(seconds):
    """(rounds, seconds that they took) of computing for so many seconds."""
    rounds, began = 0, time.monotonic()
    now = began
    while now - began < seconds:
        compute(TURN)
        rounds += TURN
        now = time.monotonic()
    return rounds, now - began


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
