# SPDX-License-Identifier: Apache-2.0
"""Rules for the part of the path that limited a cell. They are pure functions of its load; a label is sure only if no
other fits.

The thresholds were set on loads with a limit known by construction (tests/unit/test_limits.py): one CPU, a throttled
sender, a shaped link, one tunnel on many CPUs, a slow server. tests/lab/test_known_limits.py measures such cells.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.analysis.baselines import is_generator_bound
from orchestrator.analysis.limits.loads import CellLoad, Group
from orchestrator.analysis.limits.profile_shares import stages_in_words
from orchestrator.analysis.packets import HIGHEST_LOAD
from orchestrator.spec.links import RATE, shape_of

SATURATED = 0.97  # busy share of the window from which a CPU has no time left
NEARLY = 0.88  # busy share from which a CPU may be the limit, since its input comes in bursts
APART = 0.2  # how far a CPU's share must be below that of the busiest of its role for it to count as having time left
ONE_CPU_OF_SOFTIRQ = 0.6  # share of time in softirqs from which a CPU mostly polls
MUCH_SPINNING = 0.25  # share of a role's busy time spent waiting for locks from which they are the limit
WHOLE_LINK = 0.96
NEARLY_WHOLE_LINK = 0.85  # share of a link's rate that a short window may count although the link was always full
WHOLE_OFFER = 0.98
MOST_LOST = 0.5  # share of the lost packets that found no room at a role, from which it is the first suspect
NEARLY_ALL_LOST = 0.9  # the same, from which it is the only suspect

SURELY, PROBABLY = "surely", "probably"

OFFERED = "offered rate"
GENERATOR = "generator"
RECEIVER = "receiver"
LINK = "link"
ALL = "none: all CPUs busy"
CPUS = "CPUs"
SERIAL = "serial stage"
POLLING = "one CPU polls"
LOCKS = "locks"
NONE = "nothing saturated"
# Letters in figures, and their meaning.
LETTERS = {
    ALL: ("A", "none: all CPUs of a gateway or host busy"),
    CPUS: ("C", "the one CPU, or some CPUs, of a gateway or host"),
    SERIAL: ("S", "serial stage"),
    POLLING: ("P", "one CPU polls"),
    LOCKS: ("K", "locks"),
    GENERATOR: ("G", "generator"),
    RECEIVER: ("R", "receiver"),
    LINK: ("L", "link"),
    OFFERED: ("O", "offered rate"),
    NONE: ("N", "nothing saturated"),
}


@dataclass(frozen=True)
class Limit:
    """The limit of a cell.

    ``what``: one of this module's labels; ``where``: a role or host, or empty; ``cpus``: the number of CPUs there, and
    ``busy`` how many of them were busy, 0 if that is irrelevant. ``how_sure``: surely or probably. ``why``: the
    evidence, one sentence each. ``lifted_by``: what would lift the limit.
    """

    what: str
    where: str
    how_sure: str
    why: tuple[str, ...]
    lifted_by: str
    busy: int = 0
    cpus: int = 0

    @property
    def label(self) -> str:
        """Return a short description, such as: serial stage on gateway-b, or probably none (all 4 CPUs of gateway-a
        busy)."""
        text = self.what
        if self.what in (ALL, CPUS):
            text = _cpus_in_words(self)
        elif self.what in (SERIAL, POLLING, LOCKS) and self.where:
            text = f"{self.what} on {self.where}"
        return text if self.how_sure == SURELY or self.what == NONE else f"probably {text}"

    @property
    def letter(self) -> str:
        """Return a letter of LETTERS, with a question mark if the limit is probable: S, or C?."""
        letter, _ = LETTERS[self.what]
        return letter if self.how_sure == SURELY or self.what == NONE else f"{letter}?"


def _cpus_in_words(limit: Limit) -> str:
    if limit.what == ALL:
        return f"none ({'both' if limit.cpus == 2 else f'all {limit.cpus}'} CPUs of {limit.where} busy)"
    if limit.cpus == 1:
        return f"the one CPU of {limit.where}"
    return f"{limit.busy} of {limit.cpus} CPUs of {limit.where}"


def limit_of(load: CellLoad) -> Limit:
    """Return the limit of a cell, by the first rule that its load meets.

    The order of the rules: the rate that the sender was told to send, a full link, the throughput without a tunnel,
    CPUs that are all busy (then no part of the architecture holds up the others), a CPU that is busy while others of
    its role are not, no limit.
    """
    return _outside(load) or _busy_cpus(load) or _nothing(load)


def _outside(load: CellLoad) -> Limit | None:
    """Return the limit if it is outside the system under test."""
    rate = load.throughput_bps
    if load.offered_bps and rate >= WHOLE_OFFER * load.offered_bps:
        why = f"It carried {_rate(load, rate)} of the {_rate(load, load.offered_bps)} that the sender was told to send."
        return Limit(OFFERED, "client", SURELY, (why,), _more_offered(load))
    if _share_of_link(load) >= WHOLE_LINK:
        return Limit(LINK, "", SURELY, (_of_the_link(load),), _a_faster_link(load))
    baseline = load.baseline_bps
    if baseline and is_generator_bound(load.key, rate / baseline, load.baseline_headroom):
        why = f"It carried {rate / baseline:.0%} of what passes without a tunnel, {_rate(load, baseline)}."
        if load.offered_bps and baseline >= WHOLE_OFFER * load.offered_bps:  # which passes without a tunnel
            return Limit(OFFERED, "client", PROBABLY, (why,), _more_offered(load))
        gateways = [group for group in _gateways(load) if group.mean >= NEARLY]
        sure = PROBABLY if gateways and not load.shared else SURELY
        return Limit(GENERATOR, "client", sure, (why,), "a faster generator and server, or more CPUs for them")
    if load.packets is not None and load.packets.bounded_by == HIGHEST_LOAD and not load.shared:
        why = "Nothing was lost at the highest load, and the rate without a tunnel is unknown."
        return Limit(GENERATOR, "client", PROBABLY, (why,), "a faster generator, or more CPUs for it")
    return None


def _share_of_link(load: CellLoad) -> float:
    """Return the share of the link's rate that the cell's frames took; 0 where the rate is not known.

    For a packet rate it is the share at the load just above that rate, where the link is full.
    """
    carried_bps = max(load.throughput_bps, load.carried_bps)
    return carried_bps * load.frame_overhead / load.link_bps if load.link_bps else 0.0


def _of_the_link(load: CellLoad) -> str:
    return f"Its frames took {_share_of_link(load):.0%} of a link of {_gbps(load.link_bps or 0.0)}."


def _a_faster_link(load: CellLoad) -> str:
    return "a faster link" if RATE not in load.key else f"a higher {RATE}"


def _more_offered(load: CellLoad) -> str:
    return "a higher bitrate in the spec" if load.packets is None else "a higher rate in the spec"


def _gateways(load: CellLoad) -> list[Group]:
    return [group for group in load.groups if group.name.startswith("gateway")]


_OF_ROLE = {"client": GENERATOR, "server": RECEIVER}


def _busy_cpus(load: CellLoad) -> Limit | None:
    """Return the limit if CPUs have no time left: all of a group, or one of several."""
    whole = [group for group in load.sampled if group.mean >= NEARLY]
    # One of several: busy while another has time left.
    single = [g for g in load.sampled if g not in whole and g.busy[0] >= NEARLY and g.busy[0] - g.busy[-1] >= APART]
    lost = load.packets.lost if load.packets else {}
    suspects = sorted(whole + single, key=lambda group: _order(group, group in whole, lost))
    if not suspects:
        return None
    first = suspects[0]
    level = _pressure(first, first in whole)
    close = [group for group in suspects[1:] if _pressure(group, group in whole) >= min(NEARLY + 0.04, level)]
    if lost.get(first.name, 0.0) >= NEARLY_ALL_LOST:
        close = []  # the others lost almost nothing
    elsewhere = not load.shared and lost and lost.get(first.name, 0.0) < MOST_LOST
    sure = SURELY if level >= SATURATED and not (close or elsewhere or load.counts_waiting) else PROBABLY
    why = [_described(first)] + [f"Near its end too: {_described(group, False)}" for group in close]
    why += _of_packets(load)
    if (locks := _locks(load, first, why)) is not None:
        return locks
    return _whole(load, first, sure, why) if first in whole else _one_of_several(load, first, sure, why)


def _order(group: Group, whole: bool, lost: Mapping[str, float]) -> tuple[bool, float]:
    """Return the sort key of suspects: first where most packets were lost, then the least time left."""
    return lost.get(group.name, 0.0) < MOST_LOST, -_pressure(group, whole)


def _of_packets(load: CellLoad) -> list[str]:
    """Return sentences on where packets were lost and on a generator that shares CPUs; none without packets."""
    if load.packets is None:
        return []
    said = []
    if load.packets.places:
        place, share = next(iter(load.packets.places.items()))
        offered = f"At {load.shown(load.carried_bps):.4g} kpps that arrived, {load.packets.loss_ratio:.2%} was lost"
        said.append(f"{offered}, {share:.0%} of it at {place.replace('/', ': ')}.")
    if load.counts_waiting:
        said.append("The generator shares these CPUs and spins while it waits, which counts as busy.")
    return said


def _pressure(group: Group, whole: bool) -> float:
    return group.mean if whole else group.busy[0]


def _locks(load: CellLoad, group: Group, why: list[str]) -> Limit | None:
    """Return the limit if CPUs mostly wait for locks of each other, which only a profile shows; it is of another
    trial."""
    profiled = load.profile.get(group.name)
    if profiled is None or profiled.spinning < MUCH_SPINNING:
        return None
    why.append(f"By the profile, {profiled.spinning:.0%} of the busy time of {group.name} was waiting for locks.")
    return Limit(LOCKS, group.name, PROBABLY, tuple(why), "fewer CPUs or tunnels that share a lock")


def _whole(load: CellLoad, group: Group, sure: str, why: list[str]) -> Limit:
    """Return the limit of a group whose CPUs are all busy. Several show that none waits for another; a single one does
    not."""
    if group.name in _OF_ROLE:
        return Limit(_OF_ROLE[group.name], group.name, sure, tuple(why), f"more CPUs for the {group.name}")
    count = len(group.busy)
    if count > 1 and not load.counts_waiting:
        why.append("No serial stage left any of them without work.")
    if (profiled := load.profile.get(group.name)) is not None and (told := stages_in_words(profiled.stages)):
        why.append(f"By the profile, {'their' if count > 1 else 'its'} time was {told}.")
    lifted = "more cores" if load.key.tunnels >= load.key.cores else "more cores, or less work for each packet"
    if load.shared:
        lifted = "more cores, or a host for each role: generator, gateways and server share these CPUs"
    return Limit(ALL if count > 1 else CPUS, group.name, sure, tuple(why), lifted, count, count)


def _one_of_several(load: CellLoad, group: Group, sure: str, why: list[str]) -> Limit:
    """Return the limit of a group in which one CPU (or one per tunnel) is busy while the others have time left."""
    tunnels = load.key.tunnels
    busy = sum(share >= NEARLY for share in group.busy)
    if (profiled := load.profile.get(group.name)) is not None and (told := stages_in_words(profiled.busiest)):
        why.append(f"By the profile, the time of the busiest CPU was {told}.")
    if group.name in _OF_ROLE:
        why.append("Its other CPUs had time: one process or connection does not use more than one.")
        return Limit(_OF_ROLE[group.name], group.name, sure, tuple(why), "more processes or streams in each tunnel")
    if tunnels > busy and group.softirq[0] >= ONE_CPU_OF_SOFTIRQ and tunnels > 1:
        why.append(f"It spent {group.softirq[0]:.0%} of its time in softirqs, and {tunnels} tunnels were open.")
        lifted = "polls on more CPUs: threaded NAPI, receive steering (RSS, RPS), or the inline path"
        # Only a trace of the polls shows that this CPU's time is spent on them.
        return Limit(POLLING, group.name, PROBABLY, tuple(why), lifted)
    if tunnels == 1 or busy <= tunnels:
        count = "the tunnel" if tunnels == 1 else f"{tunnels} tunnels"
        idle = len(group.busy) - busy
        others = "the other CPU" if idle == 1 else f"the other {idle} CPUs"
        why.append(f"What {count} must do one packet after another did not use {others}.")
        kept = SURELY if sure == SURELY and (tunnels == 1 or busy == tunnels) and not load.shared else PROBABLY
        return Limit(SERIAL, group.name, kept, tuple(why), "more tunnels, as many as there are cores")
    lifted = "work spread over the other CPUs"
    return Limit(CPUS, group.name, PROBABLY, tuple(why), lifted, busy, len(group.busy))


def _nothing(load: CellLoad) -> Limit:
    busiest = max(load.sampled, key=lambda group: group.busy[0])
    why = f"The busiest CPU, on {busiest.name}, was busy for {busiest.busy[0]:.0%} of the time."
    told = (why, *_of_packets(load))
    if (shape := shape_of(load.key)) is not None and (shape.delay_s or shape.loss) and load.packets is None:
        more = "The link between the gateways was given a delay or loss, for which TCP waits."
        return Limit(NONE, "", PROBABLY, (why, more), "larger windows (traffic.window), or more streams in each tunnel")
    if _share_of_link(load) >= NEARLY_WHOLE_LINK:
        return Limit(LINK, "", PROBABLY, (_of_the_link(load), why), _a_faster_link(load))
    if load.key.tunnels == 1 and not load.shared:
        more = "One tunnel was open: stages that wait for each other leave CPUs idle without any of them being full."
        return Limit(SERIAL, "", PROBABLY, (*told, more), "more tunnels, as many as there are cores")
    lifted = "unknown: look at how the stages wait for each other (the probe polls), at windows and at loss"
    if load.packets is not None:
        lifted = "unknown: look at where packets are lost, and at what the CPUs run (the probe profile)"
    return Limit(NONE, "", PROBABLY, told, lifted)


def _described(group: Group, sentence: bool = True) -> str:
    count = len(group.busy)
    if count == 1:
        text = f"the CPU of {group.name} was busy for {group.busy[0]:.0%} of the time"
    else:
        text = f"of {count} CPUs of {group.name} the busiest was busy for {group.busy[0]:.0%} of the time, "
        text += f"all together for {group.mean:.0%}"
    return f"{text[0].upper()}{text[1:]}." if sentence else f"{text}."


def _rate(load: CellLoad, bps: float) -> str:
    return f"{load.shown(bps):.3g} {load.unit}"


def _gbps(bps: float) -> str:
    return f"{bps / 1e9:.3g} Gbit/s"
