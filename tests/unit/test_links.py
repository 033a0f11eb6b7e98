# SPDX-License-Identifier: Apache-2.0
"""Delay, loss, reordering and rate of the link between the gateways as factors."""

from pathlib import Path

import pytest

from orchestrator.analysis.limits.loads import frame_overhead, link_bps
from orchestrator.plan import lab_capabilities, make_plan
from orchestrator.spec import Cell, load_experiment
from orchestrator.spec.links import DELAY, LOSS, RATE, REORDER, Shape, shape_of
from orchestrator.spec.problems import SpecError

SPEC = """\
experiment: condition
factors:
  variant: [inline]
  cores: [1]
  tunnels: [1]
  {}
traffic: {{duration: 2s}}
repetitions: 1
"""


def cells_of(folder: Path, factor: str) -> list[Cell]:
    file = folder / "condition.yaml"
    file.write_text(SPEC.format(factor))
    plan = make_plan(load_experiment(file), lab_capabilities(1, ["inline"]), order="sequential")
    assert len(plan.blocks) == 1
    baselines = [trial.levels for trial in plan.trials if trial.kind == "baseline"]
    cells = [trial.levels for trial in plan.trials if trial.kind == "measure"]
    assert [cell.more for cell in baselines] == [cell.more for cell in cells]  # a baseline has the same link
    return cells


@pytest.mark.parametrize(
    ("factor", "levels", "words"),
    [
        ("links.wan.delay: [0, 2500us, 40ms]", [0, 0.0025, 0.04], "delay of wan 2.5 ms"),
        ("links.wan.loss: [0, 0.25%]", [0, 0.0025], "loss of wan 0.25 %"),
        ("links.wan.rate: [40 Mbit/s, 3 Gbit/s]", [4e7, 3e9], "rate of wan 3 Gbit/s"),
    ],
)
def test_levels_have_units_and_are_told_with_them(tmp_path: Path, factor: str, levels: list[float], words: str) -> None:
    cells = cells_of(tmp_path, factor)
    assert [cell[factor.partition(":")[0]] for cell in cells] == levels
    assert words in str(cells[1])


MISTAKES = {
    "links.wan.delay: [5]": "it has no unit",
    "links.wan.delay: [11s]": "a time from 0 to 10s",
    "links.wan.loss: [60%]": "a percentage from 0 to 50%",
    "links.wan.rate: [10 kbit/s]": "a rate from 100 kbit/s to 1 Tbit/s",
    "links.wan.rate: [0]": "a rate from 100 kbit/s to 1 Tbit/s",
    "links.wan.lag: [1ms]": "Did you mean links.wan.",
    "links.wan.reorder: [1%]": "so links.wan.delay must be above 0 with it",
    "links.wan.reorder: [0, 1%]\n  links.wan.delay: [0, 1ms]": "so links.wan.delay must be above 0 with it",
}


@pytest.mark.parametrize("factor", MISTAKES)
def test_a_mistake_is_told_where_it_is(tmp_path: Path, factor: str) -> None:
    with pytest.raises(SpecError, match=r"condition.yaml:\d+:\d+") as error:
        cells_of(tmp_path, factor)
    assert MISTAKES[factor] in str(error.value)


def test_a_link_without_delay_loss_or_rate_is_left_as_it_is() -> None:
    assert shape_of(Cell("inline", 1, 1)) is None
    assert shape_of(Cell("inline", 1, 1, more={DELAY: 0.0, LOSS: 0.0, REORDER: 0.0})) is None
    assert shape_of(Cell("inline", 1, 1, more={DELAY: 0.0, RATE: 2e8})) == Shape(rate_bps=2e8)
    assert shape_of(Cell("inline", 1, 1, more={LOSS: 0.003})) == Shape(loss=0.003)


@pytest.mark.parametrize(("delay_s", "rate_bps"), [(0.0, 1e6), (0.1, 1e9), (0.002, 4e10), (10.0, 1e12)])
def test_the_queue_holds_what_is_delayed_and_a_round_trip_more(delay_s: float, rate_bps: float) -> None:
    held_bits = Shape(delay_s, rate_bps=rate_bps).queue * 1514 * 8
    assert held_bits >= 3 * delay_s * rate_bps
    assert held_bits >= (delay_s + 0.05) * rate_bps
    assert Shape(delay_s, rate_bps=rate_bps).queue < 2**32


def test_without_a_rate_the_queue_drops_nothing_that_a_host_can_send() -> None:
    assert Shape(0.1).queue * 1514 * 8 >= 0.1 * 1e11
    assert Shape(loss=0.01).queue >= 1000


TRAFFIC = {"protocol": "tcp", "direction": "forward", "ip_version": 4}


def test_what_a_shaped_link_carries_is_known_in_bits_of_its_frames() -> None:
    cell = Cell("inline", 1, 1, more={RATE: 3e8})
    assert link_bps(TRAFFIC, cell) == 3e8
    assert link_bps({**TRAFFIC, "direction": "both"}, cell) == 6e8
    assert link_bps(TRAFFIC, Cell("inline", 1, 1)) is None
    # 1420 bytes in the tunnel are 52 of headers and 1368 of payload; on the link they are 1420 + 60 + 14.
    assert frame_overhead(TRAFFIC, cell) == pytest.approx(1494 / 1368)
    # Datagrams of 100 bytes make packets of 128, a multiple of 16.
    assert frame_overhead({**TRAFFIC, "protocol": "udp", "datagram_bytes": 100}, cell) == pytest.approx(202 / 100)
    # Segments of 1000 bytes less 12 of time stamps make packets of 1040, padded to 1040.
    assert frame_overhead({**TRAFFIC, "mss_bytes": 1000}, cell) == pytest.approx((1040 + 74) / 988)
