# SPDX-License-Identifier: Apache-2.0
"""Samples of what CPUs run while a trial is measured, folded into the time of each call chain on each CPU.

The lab kernel has its own samples (kernel/lab/patches, um-samples); elsewhere they are those of perf-record(1).
"""

import bisect
import os
import re
import shutil
import signal
import subprocess
import time

from orchestrator.agent.host import AgentError, call, read_text, write_text
from orchestrator.agent.probes import virtual_time
from orchestrator.agent.processes import PROFILE, environment_of, new_folder

SAMPLES = "/proc/cpu_samples"
PERIOD_NS = 4019000  # about 4 ms, and no multiple of a tick; every 1 ms costs 3 % in the lab (benchmarks/profiling.py)
# In virtual time samples are taken in the ticks of the lab's host, 100 to 1000 a second: in each tick at 100 and 250 a
# second, in every fourth at 1000.
VIRTUAL_PERIOD_NS = 3011000
BUFFERS_BYTES = 128 << 20  # of all CPUs together
LEAST_WORDS, MOST_WORDS = 1 << 14, 1 << 20  # per CPU; a sample takes about 20 words of 8 bytes
MOST_STACKS = 20000  # per host
MOST_FRAMES = 64
CUT = "..."  # replaces the calls of stacks beyond MOST_STACKS
USER = "[user]"
HOST = "[host]"  # the code that User-Mode Linux runs on its host lies after the kernel's own code
PATIENCE_S = 120
HEAD = re.compile(r"^(?P<comm>.*?)\s+\[(?P<cpu>\d+)\]\s+(?P<weight>\d+):?\s*(?:\S+:)?\s*$")


def profile():
    """Return the sampler of this host, which is entered before the traffic; it has ``start``, ``stop``, ``result``.

    Raises AgentError if there is none.
    """
    if os.path.exists(SAMPLES):
        return LabSamples()
    if shutil.which("perf"):
        return PerfSamples()
    raise AgentError(
        "CPUs cannot be sampled here: the kernel has no %s, and there is no perf. Install perf (Debian: linux-perf), "
        "or leave the probe profile out." % SAMPLES
    )


class LabSamples:
    """Samples of the lab kernel, at equal steps of virtual time if it has one.

    A full buffer keeps the earliest samples.
    """

    def __enter__(self):
        write_text(SAMPLES, "0")
        share = BUFFERS_BYTES // 8 // max(1, os.cpu_count() or 1)
        self.period_ns = PERIOD_NS if virtual_time() is None else VIRTUAL_PERIOD_NS
        self.begin = "%d %d" % (self.period_ns, min(MOST_WORDS, max(LEAST_WORDS, share)))
        self.start()  # allocates the buffers now rather than in the measured window
        self.stop()
        return self

    def __exit__(self, *exception):
        write_text(SAMPLES, "0")

    def start(self):
        self.before = virtual_time()
        write_text(SAMPLES, self.begin)
        self.began = time.monotonic()

    def stop(self):
        self.seconds = time.monotonic() - self.began
        write_text(SAMPLES, "0")
        self.after = virtual_time()

    def result(self):
        """Return the profile; see `folded`."""
        with open(SAMPLES, encoding="ascii", errors="replace") as lines:
            counts, lost_ns = of_lab(lines)
        if self.before is not None and self.after is not None:
            counts = completed(counts, lost_ns, busy_between(self.before, self.after))
        names = Symbols(read_text("/proc/kallsyms"))
        named = {}  # type: dict[tuple[int, tuple[str, ...]], list[int]]
        for (cpu, addresses, comm), (weight, seen) in counts.items():
            add(named, (cpu, (comm, *names.chain(addresses))), weight, seen)
        return folded(named, "lab kernel", sum(lost_ns.values()), self.seconds, self.period_ns)


def of_lab(lines):
    """Parse the lab kernel's samples: ({(cpu, addresses, comm): [ns, samples]}, {cpu: ns of those that found no room}).

    ``addresses`` is the text of the file: user, or addresses with commas, the innermost first.
    """
    counts = {}  # type: dict[tuple[int, str, str], list[int]]
    lost_ns = {}  # type: dict[int, int]
    for line in lines:
        first, second, rest = line.split(" ", 2)
        if first == "lost":
            lost_ns[int(second)] = int(rest.split()[1])
            continue
        addresses, _, comm = rest.rstrip("\n").partition(" ")
        add(counts, (int(first), addresses, comm), int(second), 1)
    return counts, lost_ns


def busy_between(before, after):
    """Return {cpu: ns for which it was busy} between two readings of `virtual_time`."""
    names = {cpu: "cpu%d_busy_ns" % cpu for cpu in range(after["cpus"])}
    return {cpu: after[name] - before[name] for cpu, name in names.items()}


def completed(counts, lost_ns, busy_ns):
    """Return the counts with what each CPU did after its last sample divided among its samples, by their weight.

    A sample stands for the time before it. With many CPUs that do little, a few percent of the busy time come after the
    last one. A CPU without samples has none to divide it among. ``busy_ns``: {cpu: ns} in the sampled window.
    """
    sampled = {}  # type: dict[int, int]
    for (cpu, _, _), (weight, _) in counts.items():
        sampled[cpu] = sampled.get(cpu, 0) + weight
    factors = {
        cpu: max(1.0, (busy_ns.get(cpu, 0) - lost_ns.get(cpu, 0)) / weight) for cpu, weight in sampled.items() if weight
    }
    return {key: [round(weight * factors.get(key[0], 1.0)), seen] for key, (weight, seen) in counts.items()}


def add(counts, key, weight, seen):
    found = counts.setdefault(key, [0, 0])
    found[0] += weight
    found[1] += seen


class Symbols:
    """Names of the kernel's addresses. ``text``: of /proc/kallsyms."""

    def __init__(self, text):
        known = []
        for line in text.splitlines():
            fields = line.split(None, 3)
            if len(fields) >= 3 and fields[1] in "tTwW":
                known.append((int(fields[0], 16), fields[2]))
        known.sort()
        self.starts = [start for start, _ in known]
        self.names = [name for _, name in known]
        self.seen = {}  # type: dict[str, str]

    def name(self, address):
        place = bisect.bisect_right(self.starts, address) - 1
        name = self.names[place] if place >= 0 else "[unknown]"
        return HOST if name == "_etext" else name

    def chain(self, addresses):
        """Return the functions, the outermost first.

        A return address is behind its call, and may already belong to the next function.
        """
        if addresses == "user":
            return (USER,)
        found = []
        for depth, text in enumerate(addresses.split(",")):
            key = text if depth else "=" + text
            if key not in self.seen:
                self.seen[key] = self.name(int(text, 16) - (1 if depth else 0))
            found.append(self.seen[key])
        return tuple(reversed(found))


class PerfSamples:
    """Samples by perf record: of all CPUs, by the kernel's clock of CPU time, with call chains by frame pointers.

    While interrupts are off, a sample is delayed until they are on again, so the time is attributed to the code after
    that.
    """

    def __enter__(self):
        self.folder = new_folder(PROFILE)
        self.file = os.path.join(self.folder.name, "perf.data")
        self.process = None  # type: subprocess.Popen[bytes] | None
        return self

    def __exit__(self, *exception):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()

    def start(self):
        self.began = time.monotonic()
        command = ["perf", "record", "--all-cpus", "-g", "-e", "cpu-clock", "-c", str(PERIOD_NS), "-o", self.file]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            close_fds=False,
            env=environment_of(self.folder.name),
        )

    def stop(self):
        self.seconds = time.monotonic() - self.began
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)

    def result(self):
        """Return the profile; see `folded`."""
        assert self.process is not None
        try:
            _, said = self.process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AgentError("perf record did not end within %d s." % PATIENCE_S) from None
        if not os.path.exists(self.file) or os.path.getsize(self.file) == 0:
            raise AgentError("perf record recorded nothing: %s" % said.decode(errors="replace").strip()[-300:])
        text = call(["perf", "script", "-i", self.file, "-F", "comm,cpu,period,ip,sym"], timeout=PATIENCE_S)
        return folded(of_perf(text), "perf", 0, self.seconds)


def of_perf(text):
    """Fold what perf-script(1) prints of the fields comm, cpu, period, ip and sym: {(cpu, names): [ns, samples]}."""
    counts = {}  # type: dict[tuple[int, tuple[str, ...]], list[int]]
    head, calls = None, []  # type: tuple[str, str, str] | None, list[str]
    for line in [*text.splitlines(), ""]:
        if line.strip():
            match = None if line[0] in " \t" and head else HEAD.match(line)
            if match:
                head, calls = (match.group("cpu"), match.group("comm").strip(), match.group("weight")), []
            elif head:
                calls.append(perf_name(line.strip()))
            continue
        if head:
            names = tuple(reversed(calls[:MOST_FRAMES])) or (USER,)
            add(counts, (int(head[0]), (head[1], *names)), int(head[2]), 1)
        head = None
    return counts


def perf_name(line):
    """Return the function of a line of perf-script(1), an address and a name; all user-space functions are USER."""
    address, _, name = line.partition(" ")
    name = name.strip().partition(" (")[0].partition("+0x")[0]
    if len(address) < 16 or not address.startswith("ffff"):
        return USER
    return name or "[unknown]"


def folded(counts, source, lost_ns, seconds, period_ns=PERIOD_NS):
    """Fold samples into the profile that `measure` returns.

    ``counts``: {(cpu, names, of which the first is the task's): [ns, samples]}. The profile is {"source",
    "period_ns": how long apart samples are, "seconds": the sampling time, "lost_ns": the time that lost samples stood
    for, "names": of tasks and functions, "rows": [[cpu, ns, samples, [index of each name, the task first and then the
    outermost function first]]]}. Of more than MOST_STACKS rows those with the most time are kept, and each CPU has one
    row for its others, whose function is CUT.
    """
    merged = {}  # type: dict[tuple[int, tuple[str, ...]], list[int]]
    for (cpu, names), (weight, seen) in counts.items():
        add(merged, (cpu, squeezed(names)), weight, seen)
    ranked = sorted(merged.items(), key=lambda item: (-item[1][0], item[0]))
    kept = dict(ranked[:MOST_STACKS])
    for (cpu, _), (weight, seen) in ranked[MOST_STACKS:]:
        add(kept, (cpu, (CUT, CUT)), weight, seen)
    index = {}  # type: dict[str, int]
    rows = []
    for (cpu, names), (weight, seen) in sorted(kept.items()):
        rows.append([cpu, weight, seen, [index.setdefault(name, len(index)) for name in names]])
    about = {"source": source, "period_ns": period_ns, "seconds": seconds, "lost_ns": lost_ns}
    return {**about, "names": list(index), "rows": rows}


def squeezed(names):
    """Return names with user space as one function, however deep, and kernel workers without their pool's number."""
    kept = [name for at, name in enumerate(names) if name != USER or names[at - 1] != USER]
    kept[0] = re.sub(r"^(kworker|ksoftirqd|migration|rcu[a-z]*)/.*", r"\1", kept[0])
    return tuple(kept)
