# SPDX-License-Identifier: Apache-2.0
"""The labels of runs in virtual time, which are all worded here.

In virtual time, a lab machine has more virtual CPUs than the computer lends it cores, and each virtual CPU has a clock
that advances only while it runs; see `docs/virtual-time.md`. A run that does not state its clock was in real time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

REAL, VIRTUAL = "real", "virtual"
REAL_TIME = "real time"
MEANING = "Shapes and ratios are the result; Gbit/s are those of one core of the computer that measured."
NOT_MODELLED = (
    "Not modelled: caches, memory bandwidth, the cost of moving cache lines between cores, NUMA, CPU frequency, "
    "network cards and PCIe."
)
_SUFFIX = " of virtual time"
_LINKS = {
    "veth": "Links are veth: there is no RSS, and receive processing runs on the sender's CPU.",
    "rss": "Links are veth, and a gateway spreads the packets that it receives over its CPUs by a hash of their outer "
    "headers, as a NIC with RSS does.",
    "steered": "Links are veth, and the flows that a gateway receives take its CPUs in turn, as they do with explicit "
    "flow rules of a NIC.",
}


@dataclass(frozen=True, slots=True)
class RunVirtualTime:
    """The virtual time of a run.

    ``cpus``: the largest number of virtual CPUs of a machine in the run. ``slots``: how many of them run at a time,
    which is the number of cores that the computer lends; ``quanta_s``: how far a clock may run ahead of the others, in
    seconds. Both are ascending, have several values only if the testbeds of a pool differ, and are empty if the run
    does not state them. ``each``: how many of the virtual CPUs belong to each gateway; None if all roles share them.
    """

    cpus: int
    slots: tuple[int, ...]
    quanta_s: tuple[float, ...]
    each: int | None = None

    @property
    def label(self) -> str:
        """The label, such as "virtual time, 16 virtual CPUs on 2 cores"."""
        cores = " or ".join(map(str, self.slots)) or "an unknown number of"
        cores += " core" if self.slots == (1,) else " cores"
        return f"virtual time, {self.cpus} virtual CPU{'s' * (self.cpus != 1)} on {cores}"

    @property
    def sentence(self) -> str:
        """The label as a sentence."""
        return f"{self.label[0].upper()}{self.label[1:]}."

    @property
    def notes(self) -> list[str]:
        """Sentences for captions and pages: the label, to which roles the virtual CPUs belong, what the numbers mean,
        and what is not modelled."""
        return [self.sentence, *([self.whose] if self.whose else []), MEANING, NOT_MODELLED]

    @property
    def whose(self) -> str:
        """A sentence that says to which roles the virtual CPUs belong; empty if all roles share them."""
        if self.each is None:
            return ""
        ends = (self.cpus - 2 * self.each) // 2
        if ends == self.each:
            return f"Each of the four roles has {self.each} of them."
        return f"Each gateway has {self.each} of them, the client and the server {ends} each."

    @property
    def quantum(self) -> str:
        """The quantum in words, such as 20 µs."""
        return " or ".join(map(duration, self.quanta_s)) or "an unknown quantum"


def virtual_time(run: Mapping[str, Any]) -> RunVirtualTime | None:
    """Return the virtual time of a run, given the content of its run.json; None for a run in real time."""
    testbed = run.get("testbed") or {}
    every = [testbed, *(testbed.get("members") or {}).values()]  # the testbeds of a pool all have the same clock
    virtual = [one for one in every if clock_of(one) == VIRTUAL]
    if not virtual:
        return None
    from orchestrator.spec.role_cpus import HALF_ENDS, machine_cpus

    blocks = (run.get("plan") or {}).get("blocks") or ()
    cores = max((int(block["cores"]) for block in blocks), default=0)
    cores = cores or max(int(one.get("cores") or 0) for one in virtual)
    own = virtual[0].get("role_cpus") == "own"
    cpus = machine_cpus(cores, "own" if own else "shared", virtual[0].get("ends") or HALF_ENDS)
    return RunVirtualTime(cpus, _known(virtual, "slots"), _known(virtual, "quantum_s"), cores if own else None)


def links_note(testbed: Mapping[str, Any]) -> str:
    """Return a sentence on how packets get to the CPUs that receive them in the lab. Runs that do not state it had
    plain veth."""
    return _LINKS[str(testbed.get("links") or "veth")]


def clock_of(testbed: Mapping[str, Any]) -> str:
    """Return the clock of a testbed as run.json describes it: real or virtual."""
    return VIRTUAL if testbed.get("clock") == VIRTUAL else REAL


def label_of(found: RunVirtualTime | None) -> str:
    """Return the label of a run in virtual time, or "real time" for None."""
    return found.label if found else REAL_TIME


def in_its_time(found: RunVirtualTime | None, quantity: str) -> str:
    """Return the name of a quantity that ends with its unit, with "of virtual time" appended if the run is in virtual
    time."""
    return quantity + _SUFFIX if found else quantity


def difference(a: RunVirtualTime | None, b: RunVirtualTime | None) -> Sequence[str]:
    """Return sentences about the clocks of two runs, A and B, that a reader needs before comparing them; none if both
    are real."""
    if a is None and b is None:
        return []
    said = [f"A: {label_of(a)}; B: {label_of(b)}."]
    if a is None or b is None:
        said.append(
            "A and B have different clocks, so absolute throughput is not compared: Gbit/s of virtual time are those "
            "of cores that virtual CPUs take turns on, and what cores of their own cost in caches and memory is not "
            "modelled. Only ratios to the reference variant are compared."
        )
        return said
    if (a.each is None) != (b.each is None):
        said.append(
            "In one run all roles share the virtual CPUs, and in the other each role has its own: their cores are not "
            "the same thing."
        )
    if a.slots != b.slots:
        said.append("The number of slots differs: virtual CPUs that share a core also share its caches.")
    if a.quanta_s != b.quanta_s:
        said.append(
            f"The quantum differs, {a.quantum} and {b.quantum}: with a longer one, packets cross between virtual CPUs "
            "in larger batches."
        )
    return [*said, MEANING]


def duration(seconds: float) -> str:
    """Return a short duration in words, with three significant digits, such as "20 µs", "1.53 ms" or "2 s"."""
    rounded = float(f"{seconds:.3g}")
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(rounded) >= scale:
            return f"{float(f'{rounded / scale:.3g}'):g} {unit}"
    return f"{float(f'{rounded / 1e-9:.3g}'):g} ns"


def _known(testbeds: Iterable[Mapping[str, Any]], name: str) -> tuple[Any, ...]:
    return tuple(sorted({one[name] for one in testbeds if one.get(name) is not None}))
