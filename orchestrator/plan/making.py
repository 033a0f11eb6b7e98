# SPDX-License-Identifier: Apache-2.0
"""Making a plan from an experiment and a testbed's capabilities. Pure, and linear in the number of trials."""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

from orchestrator.errors import UserError
from orchestrator.plan.capabilities import Capabilities
from orchestrator.plan.noise_floor import NOISE_FLOOR, second_cells
from orchestrator.plan.trials import (
    PROFILE,
    Block,
    LeftOut,
    Plan,
    Repetitions,
    Trial,
    reference_variant,
    without_tunnel,
)
from orchestrator.spec import Cell, Experiment, Level, Traffic
from orchestrator.spec.selection import cells, excluded, extra_cells
from orchestrator.spec.varied import traffic_of

ORDERS = ("random", "sequential")


def make_plan(
    spec: Experiment, capabilities: Capabilities, *, order: str = "random", testbed: str | None = None
) -> Plan:
    """Return the plan of an experiment on a testbed: its trials in order.

    There is a block for each number of cores, the fewest first, and for each combination of host settings that are
    factors. A block has baselines (for each number of tunnels and packet size), with ``trace`` every cell once while
    the kernel records, and then rounds with every cell once, up to the maximum number; cells of a ``noise_floor`` are
    measured once more per round. With several boots there are as many passes over the core counts, so that the boots of
    each are spread over the run: every pass has all of them once, in an order that the seed decides; traces are in the
    first pass. In random order a round depends only on the seed, the round's number, and the cores, cells and boot of
    its block. ``order`` sequential keeps the cells, and the core counts of every pass, in the order of the spec.

    ``testbed``: its name if it is not the one in the spec. Raises UserError if nothing is left to measure.
    """
    if order not in ORDERS:
        raise UserError(f"There is no order {order}. Use {' or '.join(ORDERS)}.")
    if spec.topology not in capabilities.topologies:
        known = ", ".join(capabilities.topologies)
        raise UserError(f"The testbed cannot be wired as {spec.topology}; it supports {known}. Change topology.")
    chosen, left_out = _choose(spec, capabilities)
    if not chosen:
        raise UserError(_empty(spec, left_out))
    maker = _Maker(spec.traffic, spec.topology)
    blocks: list[Block] = []
    planned = 0
    parts = list(_parts(chosen, capabilities.testbeds))
    for boot in range(1, spec.repetitions.boots + 1):
        for here in _one_pass(parts, spec, boot, order):
            block = _block(spec, maker, len(blocks) + 1, boot, here, planned, order, capabilities.variants)
            planned += len(block.trials)
            blocks.append(block)
    return Plan(
        experiment=spec.experiment,
        tier=spec.tier,
        seed=spec.seed,
        testbed=testbed or spec.testbed,
        topology=spec.topology,
        blocks=tuple(blocks),
        left_out=tuple(left_out),
        order=order,
        repetitions=_repetitions(spec, chosen),
    )


def _repetitions(spec: Experiment, chosen: Sequence[Cell]) -> Repetitions:
    """Return the spec's repetitions; a width has no effect if ``min`` equals ``max``.

    By default the width applies to the ratio to a reference variant, if there is one.
    """
    rule = spec.repetitions
    width = rule.width if rule.max > rule.min else None
    variants = list(dict.fromkeys(levels.variant for levels in chosen))
    reference = None
    if width is not None and rule.width_of != "median" and len(variants) > 1:
        reference = reference_variant(variants)
    return Repetitions(rule.min, rule.max, width, rule.boots, reference)


def _one_pass(parts: Sequence[list[Cell]], spec: Experiment, boot: int, order: str) -> list[list[Cell]]:
    """Return the cells of each block of one pass over the core counts; a single pass begins with the fewest cores."""
    found = list(parts)
    if spec.repetitions.boots > 1 and order == "random":
        random.Random(f"{spec.seed}/pass/{boot}").shuffle(found)
    return found


def _parts(chosen: Sequence[Cell], testbeds: int) -> Iterator[list[Cell]]:
    """Yield the cells of each block: those for which hosts are prepared alike, the fewest cores first.

    If that makes fewer blocks than a pool has testbeds, the cells are divided by the number of tunnels; variants, whose
    ratios are taken, stay together.
    """
    together: dict[tuple[Level, ...], list[Cell]] = {}
    for levels in sorted(chosen, key=lambda levels: levels.cores):
        together.setdefault(levels.preparation, []).append(levels)
    ways = -(-testbeds // len(together))
    for here in together.values():
        tunnels = sorted({levels.tunnels for levels in here})
        for first in range(min(ways, len(tunnels))):
            part = tunnels[first::ways]
            yield [levels for levels in here if levels.tunnels in part]


def _choose(spec: Experiment, capabilities: Capabilities) -> tuple[list[Cell], list[LeftOut]]:
    """Return the measurable cells, resolved, unique and in the order of the spec, and what was left out."""
    most = capabilities.max_cores
    wanted = [(cell.resolved(most), False) for cell in cells(spec.factors)]
    wanted += [(cell.resolved(most), True) for cell in extra_cells(spec.include)]
    missing_variants: dict[str, int] = {}
    excess: dict[int, int] = {}
    by_rule = [0] * len(spec.exclude)
    chosen: dict[Cell, None] = {}
    for cell, extra in wanted:
        rule = next((i for i, r in enumerate(spec.exclude) if not extra and excluded(r, cell, most)), None)
        if rule is not None:
            by_rule[rule] += 1
        elif cell.variant not in capabilities.variants:
            missing_variants[cell.variant] = missing_variants.get(cell.variant, 0) + 1
        elif not capabilities.min_cores <= cell.cores <= most:
            excess[cell.cores] = excess.get(cell.cores, 0) + 1
        else:
            chosen[cell] = None
    why = capabilities.reasons
    left_out = [
        LeftOut(f"variant {name} ({_count(n)})", why.get("variants", "the testbed has no build of it"))
        for name, n in missing_variants.items()
    ]
    left_out += [
        LeftOut(
            f"{cores} core{'s' * (cores != 1)} ({_count(n)})",
            why.get("few_cores", f"the testbed uses {capabilities.min_cores} at least")
            if cores < capabilities.min_cores
            else why.get("cores", f"the testbed has {most} cores"),
        )
        for cores, n in sorted(excess.items())
    ]
    if spec.noise_floor is not None and spec.noise_floor not in capabilities.variants:
        missing = why.get("variants", "the testbed has no build of it")
        left_out.append(LeftOut(f"the noise floor with {spec.noise_floor}", missing))
    left_out += [
        LeftOut(_count(n), f"rule {index} of exclude in the spec") for index, n in enumerate(by_rule, start=1) if n
    ]
    return list(chosen), left_out


def _count(number: int) -> str:
    return f"{number} cell{'s' * (number != 1)}"


def _empty(spec: Experiment, left_out: Sequence[LeftOut]) -> str:
    tier = f", tier {spec.tier}" if spec.tier else ""
    reasons = "; ".join(f"{left.what}: {left.reason}" for left in left_out)
    nothing = f"Nothing is left to measure in {spec.experiment}{tier}."
    return f"{nothing} Left out: {reasons}. Change the factors or the testbed."


class _Identity:
    """The common part of the trials of a cell: their traffic, and what their ids are derived from."""

    __slots__ = ("_after", "_before", "traffic")

    def __init__(self, before: str, after: str, traffic: Traffic) -> None:
        """``before``, ``after``: the canonical JSON of the parameters before and after the repetition."""
        self._before = hashlib.sha256(before.encode())
        self._after = after
        self.traffic = traffic

    def trial_id(self, round_: int) -> str:
        """Return the id of the trial of a round.

        It is derived from the round, because the repetition would change if a boot had more rounds.
        """
        digest = self._before.copy()
        digest.update(f"{max(round_, 1)}{self._after}".encode())
        return digest.hexdigest()[:16]


class _Maker:
    """Makes trials that share their topology; cells with the same levels of traffic keys share a traffic object."""

    def __init__(self, traffic: Traffic, topology: str) -> None:
        self._traffic, self._topology = traffic, topology
        self._known: dict[tuple[tuple[str, Level], ...], Traffic] = {(): traffic}

    def traffic(self, levels: Cell) -> Traffic:
        """Return the traffic of a cell."""
        if levels.only_known:
            return self._traffic
        key = tuple(levels.more.items())
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = traffic_of(self._traffic, levels.more)
        return found

    def identity(self, kind: str, levels: Cell, boot: int) -> _Identity:
        """Return the identity of a cell's trials.

        The first boot is not part of it, so that a run keeps its trials when boots are added.
        """
        traffic = self.traffic(levels)
        content = {
            "duration_s": traffic.duration_s,
            "kind": kind,
            "levels": levels.to_json(),
            "repetition": 0,
            "topology": self._topology,
            "traffic": traffic.identity,
            "warm_up_s": traffic.warm_up_s,
        }
        content |= {"boot": boot} if boot > 1 else {}
        before, after = json.dumps(content, sort_keys=True, separators=(",", ":")).split('"repetition":0', 1)
        return _Identity(before + '"repetition":', after, traffic)


def _of_a_round(spec: Experiment, here: list[Cell], variants: Sequence[str]) -> list[tuple[str, Cell]]:
    """Return the kinds and cells of a round: each cell, and the noise floor's if the testbed has its variant."""
    again = second_cells(spec.noise_floor, here) if spec.noise_floor in variants else []
    return [("measure", levels) for levels in here] + [(NOISE_FLOOR, levels) for levels in again]


def _by_name(levels: Cell) -> tuple[Any, ...]:
    """Return the key by which the cells of a round are sorted before they are shuffled."""
    return levels.variant, levels.tunnels, str(levels.packet_size), levels.order


def _block(
    spec: Experiment,
    maker: _Maker,
    index: int,
    boot: int,
    here: list[Cell],
    planned: int,
    order: str,
    variants: Sequence[str],
) -> Block:
    cores = here[0].cores
    trials: list[Trial] = []

    def add(kind: str, levels: Cell, identity: _Identity, round_: int, repetition: int) -> None:
        order_ = planned + len(trials) + 1
        id_, traffic = identity.trial_id(round_), identity.traffic
        trials.append(Trial(id_, kind, index, round_, order_, levels, repetition, traffic, spec.topology))

    for packet_size in dict.fromkeys(levels.packet_size for levels in here):
        same = [without_tunnel(levels) for levels in here if levels.packet_size == packet_size]
        for baseline in sorted(dict.fromkeys(same), key=lambda levels: levels.tunnels):
            add("baseline", baseline, maker.identity("baseline", baseline, boot), 0, boot)
    if spec.trace is not None and boot == 1:
        recorded = {"polls": "trace", "profile": PROFILE}[spec.trace]
        for levels in here:
            add(recorded, levels, maker.identity(recorded, levels, boot), 0, boot)
    pairs = [(kind, levels, maker.identity(kind, levels, boot)) for kind, levels in _of_a_round(spec, here, variants)]
    if order == "random":
        # The order in which the spec names levels must not matter.
        pairs.sort(key=lambda pair: (*_by_name(pair[1]), pair[0]))
    most = spec.repetitions.max
    for round_ in range(1, most + 1):
        sequence = pairs
        if order == "random" and len(pairs) > 1:
            sequence = pairs.copy()
            turn = f"{boot}/{round_}" if boot > 1 else f"{round_}"
            random.Random(f"{spec.seed}/{cores}/{turn}").shuffle(sequence)
        for kind, levels, identity in sequence:
            add(kind, levels, identity, round_, (boot - 1) * most + round_)
    return Block(index, cores, tuple(trials), boot)
