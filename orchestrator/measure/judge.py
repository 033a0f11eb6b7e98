# SPDX-License-Identifier: Apache-2.0
"""The verdict on an attempt: which limits it broke, each as a sentence. Pure. The limits are the same in every tier.

Longer than other modules: the evidence and every rule that judges it are read together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, pstdev
from typing import Any, NamedTuple

from orchestrator.measure import shares
from orchestrator.measure.alike import condensed, named
from orchestrator.measure.control import within
from orchestrator.measure.load import Load
from orchestrator.measure.streams import Stream
from orchestrator.spec import REKEY_AFTER_S, Limits

# Starting and ending a process may take this much in addition to the share that a limit allows.
_PROCESS_S = 0.1
_WINDOW_S = 0.2
_STRAY_PACKETS = 100  # keepalives and late answers are not traffic
_FEWEST_SECONDS = 3  # for a meaningful variation
# Limits that other load on the computer breaks: those on the load itself, and those broken in consequence.
LOAD = ("competing_load", "steal")
_EFFECTS_OF_LOAD = ("duration", "window", "clock_skew", "throttling", "frequency", "retransmits", "drops", "variation")
# Share of the bytes that receivers report: the windows of a busy host drift apart, but traffic that bypasses a tunnel
# leaves next to nothing on its interface.
_LEAST_CARRIED = 0.05


class Passage(NamedTuple):
    """Bytes that receivers report, and those received on the interface that they must have come through: in the whole
    traffic, or in the measured time."""

    where: str
    received_bytes: int
    interface_bytes: int
    in_window: bool = False


@dataclass(frozen=True)
class Evidence:
    """What is known about an attempt after its traffic.

    ``probes``: as from `orchestrator.measure.probes`; ``rekeyed``: ROLE/DEVICE with a handshake during the traffic;
    ``baseline``: what the block carried without a tunnel, in the unit of the tool, None if it was not measured or
    this is a baseline; ``rate``: the attempt's own rate to compare with it, in the same unit, None if it counts
    nothing that compares; ``loads``: of packets; ``plain_pps``: what the generator sent without loss and without a
    tunnel, if known; ``clock_skew_s``: the host's clock minus the controller's, None if not measured;
    ``segment_bytes``: payload of a TCP segment; ``carried``: as from `orchestrator.measure.shares`; ``flows``: how
    many were spread over the tunnels, None if each tunnel had its own; ``control``: as from
    `orchestrator.measure.control`, None in real time; ``unused``: the tunnels that carried nothing although they
    should have.
    """

    streams: Sequence[Stream]
    probes: Mapping[str, Any]
    duration_s: float
    handshake_age_s: float | None = None
    rekeyed: Sequence[str] = ()
    kernel_log: Sequence[str] = ()
    passages: Sequence[Passage] = ()
    baseline: float | None = None
    rate: float | None = None
    loads: Sequence[Load] = ()
    plain_pps: float | None = None
    clock_skew_s: float | None = None
    segment_bytes: int = 1368
    carried: Mapping[str, Sequence[Mapping[str, int]]] = field(default_factory=dict)
    flows: int | None = None
    control: Mapping[str, Any] | None = None
    unused: Sequence[int] = ()

    @property
    def in_virtual_time(self) -> bool:
        """True if the hosts' clock was virtual."""
        return self.probes.get("virtual_time") is not None


@dataclass
class Verdict:
    """The outcome of judging an attempt.

    ``broken``: a sentence for each limit that makes the attempt invalid; ``marks``: for each that only marks it;
    ``names``: the limits in ``broken``, as the spec calls them.
    """

    broken: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def judge(evidence: Evidence, limits: Limits, *, load_marks: bool = False, emulated: bool = False) -> Verdict:
    """Return the verdict of an attempt against all limits.

    Where each tunnel has its own flows, their spread only marks the attempt. ``load_marks``: competing load only marks
    the attempt, and if there is some, so do the limits that it breaks in consequence, such as the one on lost packets.
    ``emulated``: an emulated processor stops at any time for long, so the same limits only mark the attempt.
    """
    verdict = Verdict()
    report_only = {*limits.report_only, *(["spread"] if evidence.flows is None else [])}
    breaches = list(_breaches(evidence, limits))
    if emulated or (load_marks and any(name in LOAD for name, _ in breaches)):
        report_only |= {*LOAD, *_EFFECTS_OF_LOAD, *(() if _went_past(evidence) else ("counters",))}
    for name, sentence in condensed(breaches):
        if name in report_only:
            verdict.marks.append(sentence)
        else:
            verdict.broken.append(sentence)
            verdict.names.append(name)
    verdict.marks += _remarks(evidence)
    return verdict


def _went_past(evidence: Evidence) -> bool:
    """Return True if the interfaces counted too little to have carried the same traffic, even sampled early or late."""
    return bool(evidence.unused) or any(
        one.interface_bytes < _LEAST_CARRIED * one.received_bytes for one in evidence.passages
    )


def beyond(share: float, limit: float, digits: int = 0) -> str:
    """Format a share above a limit in percent, with as many decimals (at least ``digits``) as show that it is above."""
    while float(f"{100 * share:.{digits}f}") <= 100 * limit and digits < 9:
        digits += 1
    return f"{share:.{digits}%}"


def total_rates(streams: Sequence[Stream]) -> list[float]:
    """Return the total throughput of all streams, second by second."""
    return [sum(rates) for rates in zip(*(stream.rates_bps for stream in streams), strict=False)]


def variation(streams: Sequence[Stream]) -> float | None:
    """Return the coefficient of variation of the streams' total throughput over seconds; None below 3 s."""
    seconds = total_rates(streams)
    if len(seconds) < _FEWEST_SECONDS or fmean(seconds) <= 0:
        return None
    return float(pstdev(seconds) / fmean(seconds))


def _breaches(evidence: Evidence, limits: Limits) -> Iterator[tuple[str, str]]:
    yield from _clocks(evidence, limits)
    yield from _tunnels(evidence, limits)
    yield from _processors(evidence, limits)
    yield from _packets(evidence, limits)
    yield from _loads(evidence, limits)
    yield from _virtual_time(evidence, limits)
    if evidence.kernel_log:
        quoted = "; ".join(f'"{line}"' for line in evidence.kernel_log)
        yield "kernel_log", f"the kernel complained during the trial: {quoted}"


def _clocks(evidence: Evidence, limits: Limits) -> Iterator[tuple[str, str]]:
    planned, probes = evidence.duration_s, evidence.probes
    slack = _PROCESS_S + limits.duration * planned
    for stream in evidence.streams:
        if abs(stream.duration_s - planned) > slack:
            yield (
                "duration",
                f"{stream.where}: received over {stream.duration_s:.2f} s instead of {planned:g} s",
            )
    if abs(probes["window_s"] - planned) > max(limits.window * planned, _WINDOW_S):
        yield "window", f"the host was sampled over {probes['window_s']:.2f} s instead of {planned:g} s"
    if abs(probes["clock_step_s"]) > limits.clock_step_s:
        yield "clock_step", f"the host's clock jumped by {probes['clock_step_s']:+.2f} s inside the window"
    # In virtual time a host's clock falls behind whenever the host is busy.
    skew_s = evidence.clock_skew_s
    if skew_s is not None and abs(skew_s) > limits.clock_skew_s and not evidence.in_virtual_time:
        yield "clock_skew", f"the host's clock differs by {skew_s:+.2f} s from the controller's"


def _tunnels(evidence: Evidence, limits: Limits) -> Iterator[tuple[str, str]]:
    if evidence.rekeyed:
        yield "rekey", f"a new handshake fell into the trial on {named(evidence.rekeyed)}"
    stray = evidence.probes.get("before") or {}
    if stray.get("packets", 0) > _STRAY_PACKETS:
        yield (
            "stray_traffic",
            f"{stray['packets']} packets passed in the {stray['seconds']:.2f} s before the trial's own",
        )
    age = evidence.handshake_age_s
    if age is not None and age > REKEY_AFTER_S:
        yield "rekey", f"a handshake was {age:.0f} s old; WireGuard rekeys after {REKEY_AFTER_S:g} s"
    for where, received, came_in, in_window in evidence.passages:
        # Traffic that bypassed a tunnel, or that had already come in and waited in socket buffers, shows here.
        if received > came_in * (1 + limits.counters):
            when = " in the measured time" if in_window else ""
            yield "counters", f"{where} carried {came_in} bytes{when}, and {received} were received"
    if evidence.unused:
        yield "counters", f"nothing came through tunnel {named(evidence.unused)}: the traffic went another way"
    yield from _spread(evidence, limits)
    share = evidence.rate / evidence.baseline if evidence.rate and evidence.baseline else 0.0
    if share > 1 - limits.headroom:
        yield "headroom", f"generator-bound: {share:.0%} of what this block carries without a tunnel"


def _spread(evidence: Evidence, limits: Limits) -> Iterator[tuple[str, str]]:
    """Yield a breach if flows are spread more unevenly than a hash does by chance, and beyond the limit."""
    found = shares.fullest(evidence.carried)
    if found is None:
        return
    gateway, tunnel, share = found
    tunnels = len(evidence.carried[gateway])
    most, why = (1 + limits.spread) / tunnels, ""
    if evidence.flows is not None:
        chance = shares.by_chance(evidence.flows, tunnels)
        most, why = max(most, chance), f", and by chance {evidence.flows} flows give {chance:.0%} at most"
    if share > most:
        yield (
            "spread",
            f"tunnel {tunnel} carried {share:.0%} of the bytes of {gateway}; an equal share is {1 / tunnels:.0%}{why}",
        )


def _processors(evidence: Evidence, limits: Limits) -> Iterator[tuple[str, str]]:
    probes = evidence.probes
    computer = probes.get("computer") or {}
    elapsed = computer.get("elapsed_s") or 0.0
    # In virtual time, other programs make a trial longer, not wrong: processor time is charged, not wall time.
    if elapsed > 0 and not evidence.in_virtual_time:
        other, steal = computer["other_s"] / elapsed, computer["steal_s"] / elapsed
        if other > limits.competing_load:
            yield (
                "competing_load",
                f"other programs used {beyond(other, limits.competing_load)} of a core of this computer; "
                f"the limit is {limits.competing_load:.0%}",
            )
        if steal > limits.steal:
            yield (
                "steal",
                f"a hypervisor took {beyond(steal, limits.steal)} of a core from this computer; the limit is "
                f"{limits.steal:.0%}",
            )
    for host, others in (probes.get("others") or {}).items():
        if others["cores"] > limits.competing_load:
            names = f" ({', '.join(others['names'])})" if others["names"] else ""
            used = beyond(others["cores"], limits.competing_load)
            limit = f"the limit is {limits.competing_load:.0%}"
            yield "competing_load", f"other programs{names} used {used} of a core of {host}; {limit}"
    window = probes["window_s"]
    stolen = sum(cpu.get("steal_s", 0.0) for cpu in probes.get("per_cpu") or ()) / window if window > 0 else 0.0
    if stolen > limits.steal and not evidence.in_virtual_time:
        taken = beyond(stolen, limits.steal)
        yield "steal", f"a hypervisor took {taken} of a core from the host; the limit is {limits.steal:.0%}"
    for whose, events in (("this computer's", computer.get("throttled")), ("the host's", probes.get("throttled"))):
        if events:
            yield "throttling", f"{whose} CPUs were throttled {events} time{'s' * (events != 1)}"
    for whose, found in (("this computer's", computer), ("the host's", probes)):
        before, after = found.get("frequency_khz_before"), found.get("frequency_khz_after")
        if before and after and after < before * (1 - limits.frequency):
            slower = f"from {before / 1e3:.0f} to {after / 1e3:.0f} MHz"
            yield (
                "frequency",
                f"{whose} CPUs became slower during the trial, {slower}; the limit is {limits.frequency:.0%}",
            )
    if moved := probes.get("interrupts_moved"):
        yield "interrupts", f"interrupts moved to other CPUs during the trial: {', '.join(moved[:5])}"


def _virtual_time(evidence: Evidence, limits: Limits) -> Iterator[tuple[str, str]]:
    if found := evidence.probes.get("virtual_time"):
        if found["skew_s"] > limits.skew_s:
            yield (
                "skew",
                f"the clocks of two busy virtual CPUs differed by {found['skew_s'] * 1e3:.2f} ms; the limit is "
                f"{limits.skew_s * 1e3:g} ms",
            )
        if found["lent_share"] > limits.lent:
            share = beyond(found["lent_share"], limits.lent, 1)
            yield (
                "lent",
                f"virtual CPUs ran beyond their quantum for {share} of their busy time, since others "
                f"waited for their locks; the limit is {limits.lent:.1%}",
            )
    if evidence.control is not None and not within(evidence.control, limits.control):
        cpus, done = evidence.control["cpus"], evidence.control["times_one"]
        yield (
            "control",
            f"at the start of the block, {cpus} loops that only compute did {done:.2f} times the work of one; the "
            f"limit is {limits.control:.1%} from {cpus}",
        )


def _packets(evidence: Evidence, limits: Limits) -> Iterator[tuple[str, str]]:
    segments = sum(stream.sent_bytes for stream in evidence.streams) / evidence.segment_bytes
    retransmits = sum(stream.retransmits for stream in evidence.streams)
    if segments > 0 and retransmits > limits.retransmits * segments:
        share = beyond(retransmits / segments, limits.retransmits, 1)
        yield "retransmits", f"{share} of the segments were sent again; the limit is {limits.retransmits:.1%}"
    # Where losses are the measurement, each is attributed to a counter, and a share of them is not a fault.
    for role, devices in (evidence.probes.get("interfaces") or {}).items() if not evidence.loads else ():
        for device, counts in devices.items():
            for way in ("rx", "tx"):
                dropped, packets = counts.get(f"{way}_drops", 0), counts.get(f"{way}_packets", 0)
                if dropped > limits.drops * (packets + dropped):
                    share = beyond(dropped / (packets + dropped), limits.drops, 1)
                    yield (
                        "drops",
                        f"{role}/{device} dropped {share} of its packets; the limit is {limits.drops:.1%}",
                    )
    found = variation(evidence.streams)
    if found is not None and found > limits.variation:
        yield (
            "variation",
            f"the throughput varied by {beyond(found, limits.variation)} from second to second; the limit is "
            f"{limits.variation:.0%}",
        )


def _loads(evidence: Evidence, limits: Limits) -> Iterator[tuple[str, str]]:
    for load in evidence.loads:
        if load.unexplained > 0:
            where = f"at {load.offered_pps / 1e3:.0f} kpps, and no counter says where"
            yield "unexplained", f"{load.unexplained} of {load.sent} packets were lost {where}"
        if load.rate_pps is not None and load.offered_pps < load.rate_pps * (1 - limits.headroom):
            said = f"it sent {load.offered_pps / 1e3:.0f} kpps of the requested {load.rate_pps / 1e3:.0f}"
            # A generator that sends as much without a tunnel is not the limit: whatever takes its packets is.
            held = (evidence.plain_pps or 0.0) >= load.rate_pps * (1 - limits.headroom)
            yield (
                "headroom",
                f"closed loop: {said}, and sends them without a tunnel" if held else f"generator-bound: {said}",
            )


def _remarks(evidence: Evidence) -> Iterator[str]:
    """Yield sentences that a reader should know although no limit is broken."""
    if idle := [stream.where for stream in evidence.streams if not stream.received_bytes]:
        yield f"{len(idle)} of {len(evidence.streams)} connections carried nothing in the measured time"
    if times := evidence.probes.get("tcp_pressures"):
        yield f"TCP ran short of memory {times} time{'s' * (times != 1)}, and then sends little (net.ipv4.tcp_mem)"
    for load in evidence.loads:
        if load.unexplained < 0:
            more = f"{-load.unexplained} more packets were dropped than were lost"
            yield f"according to the counters, {more}: they include other traffic"
