# SPDX-License-Identifier: Apache-2.0
"""Trials, blocks and plans: what is measured, and in which order."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import Any, NamedTuple

from orchestrator.spec import Cell, Traffic, factor_of, read_traffic
from orchestrator.spec.host_settings import settings_by_role

NO_VARIANT = "none"  # the variant of a baseline, which has no tunnel
PROFILE = "profile"  # the kind of a trial whose CPUs are sampled


class Trial(NamedTuple):
    """A cell and a repetition; a tuple, since large plans have 100,000 of them.

    ``trial_id``: 16 hexadecimal digits, derived only from the resolved parameters, the boot and the round. ``kind``:
    measure, baseline, trace (a cell while the kernel records polls), profile (a cell while its CPUs are sampled), or
    noise-floor (a cell measured again in a round). Traces and profiles do not enter any median. ``block``, ``order``
    (in the plan), ``repetition`` and ``round`` (in the block) count from 1; ``round`` is 0 before the first round.
    Repetitions continue from boot to boot.
    """

    trial_id: str
    kind: str
    block: int
    round: int
    order: int
    levels: Cell
    repetition: int
    traffic: Traffic
    topology: str


@dataclass(frozen=True, slots=True)
class Block:
    """Trials that share a boot.

    ``index`` counts from 1, and so does ``boot`` among the blocks with the same cells.
    """

    index: int
    cores: int
    trials: tuple[Trial, ...]
    boot: int = 1

    @property
    def settings(self) -> dict[str, dict[str, str]]:
        """The host settings that its cells have in common: {role: {setting: value}}."""
        return settings_by_role(self.trials[0].levels.more) if self.trials else {}

    @property
    def settings_text(self) -> str:
        """The host settings as text; empty if there are none."""
        more = self.trials[0].levels.more if self.trials else {}
        return ", ".join(
            f"{factor_of(path).label} = {factor_of(path).show(level)}"
            for path, level in more.items()
            if factor_of(path).needs_preparation
        )

    @property
    def cells(self) -> frozenset[Cell]:
        """The cells that its rounds measure."""
        measured = (trial for trial in self.trials if trial.kind == "measure")
        return frozenset(trial.levels for trial in takewhile(lambda trial: trial.round == 1, measured))


def reference_variant(variants: Sequence[str]) -> str:
    """Return the reference variant of ratios: vanilla if present, else the first."""
    return "vanilla" if "vanilla" in variants else variants[0]


def nearest_pairs(tunnels: int, measured: Iterable[int]) -> int | None:
    """Return the number of address pairs of the baseline to compare a cell with ``tunnels`` tunnels with.

    It is taken from ``measured``: as many as the cell has tunnels, else the fewest above that, else the most; None if
    there are none. Runs of earlier versions have one baseline per block, with the most pairs.
    """
    counts = sorted(measured)
    return next((count for count in counts if count >= tunnels), counts[-1] if counts else None)


def without_tunnel(cell: Cell) -> Cell:
    """Return the baseline of a cell: the same traffic over as many address pairs as the cell has tunnels, untunnelled.

    Factors of tunnels are left out.
    """
    more = {name: level for name, level in cell.more.items() if factor_of(name).area != "tunnel"}
    return Cell(NO_VARIANT, cell.cores, cell.tunnels, cell.packet_size, more)


def nearest_baseline(cell: Cell, measured: Collection[Cell]) -> Cell | None:
    """Return the baseline among ``measured`` to compare a cell with, or None if there is none.

    It is the cell's own, else the one with the nearest number of address pairs and no other difference (see
    `nearest_pairs`).
    """
    own = without_tunnel(cell)
    if own in measured:
        return own
    found = {one.tunnels: one for one in measured if one.replaced(tunnels=own.tunnels) == own}
    pairs = nearest_pairs(own.tunnels, found)
    return None if pairs is None else found[pairs]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that the spec names but the plan leaves out, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Repetitions:
    """How many rounds a block has.

    ``min`` rounds, then more until the interval of every cell is narrower than ``width`` (a share of the median),
    ``max`` at most; if ``width`` is None, ``max`` rounds. ``boots``: how many blocks have the same cells.
    ``reference``: ``width`` applies to the ratio of each cell to this variant; None for each cell's own median.
    """

    min: int
    max: int
    width: float | None = None
    boots: int = 1
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The blocks of an experiment, in order, with the maximum number of rounds.

    ``order``: random (seeded) or sequential.
    """

    experiment: str
    tier: str | None
    seed: int
    testbed: str
    topology: str
    blocks: tuple[Block, ...]
    left_out: tuple[LeftOut, ...]
    repetitions: Repetitions
    order: str = "random"

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials, in order."""
        return tuple(self.iterate())

    def iterate(self) -> Iterator[Trial]:
        """Yield the trials in order, one at a time."""
        for block in self.blocks:
            yield from block.trials

    def boots_of(self, block: Block) -> tuple[Block, ...]:
        """Return the blocks that measure the same cells as ``block``, including itself, in order."""
        cells = block.cells
        return tuple(one for one in self.blocks if one.cores == block.cores and one.cells == cells)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values, from which `from_json` restores it."""
        names = ("experiment", "tier", "seed", "testbed", "topology", "order")
        return {
            **{name: getattr(self, name) for name in names},
            "blocks": [
                {
                    "index": block.index,
                    "cores": block.cores,
                    "boot": block.boot,
                    "trials": [_trial_to_json(t) for t in block.trials],
                }
                for block in self.blocks
            ],
            "left_out": [asdict(left) for left in self.left_out],
            "repetitions": asdict(self.repetitions),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], like: Traffic | None = None) -> "Plan":
        """Return the plan that `to_json` wrote.

        ``like``: the spec's traffic, needed if its tool is not part of this program.
        """
        known: dict[str, Traffic] = {}
        read = read_traffic if like is None else like.again
        blocks = tuple(
            Block(
                block["index"],
                block["cores"],
                tuple(_trial_from_json(t, known, read) for t in block["trials"]),
                block.get("boot", 1),
            )
            for block in content["blocks"]
        )
        left_out = tuple(LeftOut(**left) for left in content["left_out"])
        repetitions = Repetitions(**content["repetitions"])
        rest = {key: value for key, value in content.items() if key not in ("blocks", "left_out", "repetitions")}
        return cls(**rest, blocks=blocks, left_out=left_out, repetitions=repetitions)


_TRIAL_FIELDS = ("trial_id", "kind", "block", "round", "order", "repetition", "topology")


def _trial_to_json(trial: Trial) -> dict[str, Any]:
    return {
        **{name: getattr(trial, name) for name in _TRIAL_FIELDS},
        "levels": trial.levels.to_json(),
        "traffic": trial.traffic.stored,
    }


def _trial_from_json(
    content: Mapping[str, Any], known: dict[str, Traffic], read: Callable[[Mapping[str, Any]], Traffic]
) -> Trial:
    """Return the trial. ``known``: traffic already read, which most trials share; ``read``: reads more."""
    text = repr(content["traffic"])
    traffic = known.get(text) or known.setdefault(text, read(content["traffic"]))
    return Trial(**{**content, "levels": Cell.from_json(content["levels"]), "traffic": traffic})
