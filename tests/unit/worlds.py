# SPDX-License-Identifier: Apache-2.0
"""Worlds whose truth is known: throughputs that follow a law, with noise between boots and trials, for judging
claims."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orchestrator.analysis.claims import STANDINGS, judge, load_claims
from orchestrator.analysis.claims.observed import CellFacts, Observed
from orchestrator.analysis.claims.standing import PLAINLY
from orchestrator.spec import Cell

Law = Callable[[str, int, int], float]  # (variant, cores, tunnels) -> Gbit/s without noise
VARIANTS = ("vanilla", "threaded", "inline")
EVERY = {f"C{number}": True for number in range(1, 7)}
BASELINE_GBPS = 40.0
_HOSTS = next(standing for standing in STANDINGS if standing.may == PLAINLY)


def as_published(variant: str, cores: int, tunnels: int) -> float:
    """Return the throughput with which all claims are true: one tunnel carries 1 Gbit/s on any number of cores; many
    carry 2.2 with vanilla, 4 times that with threaded from 16 cores on, and with inline a linear growth, 18 times at 18
    cores."""
    if tunnels == 1 and (variant != "inline" or cores > 1):
        return 1.0
    busy = min(cores, tunnels)
    return {"vanilla": min(2.2, busy), "threaded": min(8.8, 0.55 * busy + 0.45), "inline": float(busy)}[variant]


@dataclass(frozen=True)
class World:
    """A law, the measured cells, and the truth about claims: True or False, None if nothing may be concluded.

    ``between`` and ``within``: standard deviations of the logarithm between boots and between trials of one. ``apart``:
    the same for the effect of a boot on each variant, which pairing does not cancel. ``lost``: the share of trials that
    are not ok. ``disturb``: changes a trial's throughput. ``likely``: whether most draws should find the truth.
    """

    name: str
    truth: Mapping[str, bool | None]
    law: Law = as_published
    cores: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    variants: tuple[str, ...] = VARIANTS
    boots: int = 3
    rounds: int = 5
    between: float = 0.05
    within: float = 0.02
    apart: float = 0.0
    lost: float = 0.0
    unmeasured: frozenset[str] = frozenset()
    disturb: Callable[[Cell, float, random.Random], float] | None = None
    likely: bool = True

    def draw(self, rng: random.Random) -> Observed:
        """Return one random run of this world."""
        keys = [
            Cell(variant, cores, tunnels)
            for cores in self.cores
            for variant in self.variants
            for tunnels in sorted({1, 16, cores})
        ]
        values: dict[Cell, dict[tuple[object, ...], float]] = {key: {} for key in keys}
        for block, cores in enumerate(self.cores * self.boots):
            boot = rng.lognormvariate(0, self.between)
            own = {variant: rng.lognormvariate(0, self.apart) for variant in self.variants}
            for key in keys:
                if key.cores != cores or key.variant in self.unmeasured:
                    continue
                centre = self.law(key.variant, key.cores, key.tunnels) * boot * own[key.variant]
                for turn in range(1, self.rounds + 1):
                    if rng.random() >= self.lost:
                        value = centre * rng.lognormvariate(0, self.within)
                        changed = self.disturb(key, value, rng) if self.disturb else value
                        values[key]["lab", block, turn] = 1e9 * changed
        facts = {
            key: CellFacts(
                of_baseline=self.law(key.variant, key.cores, key.tunnels) / BASELINE_GBPS,
                not_ok={} if values[key] else {"failed": 1},
            )
            for key in keys
        }
        kept = {key: mine for key, mine in values.items() if mine}
        return Observed(_HOSTS, facts, kept, frozenset({"vanilla", "threaded"}))


def count(world: World, draws: int) -> dict[str, dict[str, int]]:
    """Return {claim: {verdict: number of draws}}."""
    rng = random.Random(world.name)
    found: dict[str, dict[str, int]] = {}
    for _ in range(draws):
        seen = world.draw(rng)
        for claim in load_claims():
            if claim.claim in world.truth:
                mine = found.setdefault(claim.claim, {})
                verdict = judge(claim, seen).verdict
                mine[verdict] = mine.get(verdict, 0) + 1
    return found


def _amdahl(variant: str, cores: int, tunnels: int) -> float:
    if variant != "inline":
        return as_published(variant, cores, tunnels)
    busy = min(cores, tunnels)
    return busy / (1 + 0.15 * (busy - 1))


def _one_of_many_collapses(variant: str, cores: int, tunnels: int) -> float:
    return 0.003 if variant == "vanilla" and tunnels > 1 else as_published(variant, cores, tunnels)


def _collapses_with_cores(variant: str, cores: int, tunnels: int) -> float:
    return 0.003 if variant == "vanilla" and cores > 1 else as_published(variant, cores, tunnels)


def _never_works(variant: str, cores: int, tunnels: int) -> float:
    return 0.003 if variant == "vanilla" else as_published(variant, cores, tunnels)


def efficiency_of(value: float) -> Law:
    """Return a law in which inline has this efficiency with every number of cores but one."""

    def law(variant: str, cores: int, tunnels: int) -> float:
        if variant == "inline" and cores > 1 and tunnels == cores:
            return value * cores
        return as_published(variant, cores, tunnels)

    return law


def times_threaded(value: float) -> Law:
    """Return a law in which inline carries this multiple of threaded, with many tunnels."""

    def law(variant: str, cores: int, tunnels: int) -> float:
        if variant == "inline" and tunnels > 1:
            return value * as_published("threaded", cores, tunnels)
        return as_published(variant, cores, tunnels)

    return law


def one_tunnel_threaded(value: float) -> Law:
    """Return a law in which threaded carries this multiple of vanilla, with one tunnel."""

    def law(variant: str, cores: int, tunnels: int) -> float:
        return value if variant == "threaded" and tunnels == 1 else as_published(variant, cores, tunnels)

    return law


def _two_modes(key: Cell, value: float, rng: random.Random) -> float:
    """Let two thirds of the trials of threaded with many tunnels carry 1.6 times as much, outside the range that C3
    accepts."""
    return value * 1.6 if key.variant == "threaded" and key.tunnels > 1 and rng.random() < 2 / 3 else value


def _quantized(key: Cell, value: float, rng: random.Random) -> float:
    """Round to two digits, so that most values have a tie."""
    return float(f"{value:.2g}")


_ONE_BOOT = {**EVERY, "C1": None, "C6": None}
WORLDS = (
    World("as published, 18 cores", EVERY, cores=(1, 2, 4, 8, 18)),
    World("as published, 32 cores", EVERY),
    World("as published, 64 cores", EVERY, cores=(1, 2, 4, 8, 16, 32, 64)),
    World("as published, five boots of three rounds", EVERY, boots=5, rounds=3),
    World("as published, one boot", _ONE_BOOT, boots=1, rounds=8),
    World("as published, ties", EVERY, disturb=_quantized),
    World("as published, a third of the trials lost", EVERY, lost=0.33, rounds=7),
    World("as published, variants differ by boot", EVERY, apart=0.03, likely=False),
    World("Amdahl", {**EVERY, "C4": False, "C5": False, "C6": False}, _amdahl),
    World(
        "many tunnels collapse", {"C1": True, "C2": False, "C3": None, "C4": None, "C5": True}, _one_of_many_collapses
    ),
    World("vanilla collapses with cores", {"C1": False, "C2": None, "C3": None}, _collapses_with_cores),
    World("vanilla never works", dict.fromkeys(("C1", "C2", "C3", "C4", "C5")), _never_works),
    World("bimodal", {"C1": True, "C2": True, "C3": False}, disturb=_two_modes, rounds=7, likely=False),
    World("bimodal, one boot", {"C2": True, "C3": False}, disturb=_two_modes, boots=1, rounds=12, likely=False),
    World("no inline", {**EVERY, "C4": None, "C5": None, "C6": None}, variants=("vanilla", "threaded")),
    World("no trial of inline", {**EVERY, "C4": None, "C5": None, "C6": None}, unmeasured=frozenset({"inline"})),
    World("no cell with one core", {"C1": None, "C6": None}, efficiency_of(0.58), cores=(8, 12, 16)),
    World("two core counts", {"C1": None, "C6": None}, cores=(1, 16)),
    World("few cores", dict.fromkeys(("C1", "C2", "C4", "C5", "C6")), cores=(1, 2, 4)),
    World("one tunnel is changed, two cores", {"C3": False}, one_tunnel_threaded(1.57), cores=(1, 2)),
    World("efficiency just below", {"C6": False}, efficiency_of(0.79), likely=False),
    World("efficiency just above", {"C6": True}, efficiency_of(0.81), likely=False),
    World("efficiency just below, five boots", {"C6": False}, efficiency_of(0.79), boots=5, likely=False),
    World("efficiency just below, two boots", {"C6": False}, efficiency_of(0.79), boots=2, likely=False),
    World("ratio just below", {"C4": False}, times_threaded(1.49), apart=0.05, likely=False),
    World("ratio just above", {"C4": True}, times_threaded(1.51), apart=0.05, likely=False),
    World("ratio just below, one boot", {"C4": False}, times_threaded(1.49), boots=1, rounds=8, likely=False),
    World("ratio just above, one boot", {"C4": True}, times_threaded(1.51), boots=1, rounds=8, likely=False),
    World("superlinear", {"C6": False}, efficiency_of(1.6)),
    World("one tunnel just changed", {"C3": False}, one_tunnel_threaded(1.11), likely=False),
    World("one tunnel just unchanged", {"C3": True}, one_tunnel_threaded(1.09), likely=False),
)
