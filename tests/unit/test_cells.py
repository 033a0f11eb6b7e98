# SPDX-License-Identifier: Apache-2.0
"""Cells: their equality, order, storage and wording."""

import json

import numpy as np
import pandas as pd
import pytest

from orchestrator.spec import Cell, factor_of

SIZED = Cell("vanilla", 2, 4, 512, {"traffic.streams": 8, "links.wan.delay": 0.01})


def test_a_cell_is_a_mapping_from_factor_to_level() -> None:
    assert list(SIZED) == ["variant", "cores", "tunnels", "packet_size", "links.wan.delay", "traffic.streams"]
    assert SIZED["traffic.streams"] == 8
    assert "packet_size" not in Cell("vanilla", 2, 4)
    assert Cell("vanilla", 2, 4).packet_size is None


def test_cells_with_the_same_levels_are_the_same_whatever_the_order() -> None:
    other = Cell("vanilla", 2, 4, 512, {"links.wan.delay": 0.01, "traffic.streams": 8})
    assert {SIZED: 1}[other] == 1
    assert other != SIZED.replaced(**{"traffic.streams": 4})
    assert SIZED.place == SIZED.replaced(variant="threaded").place


def test_a_cell_comes_back_from_json_and_from_a_row() -> None:
    assert Cell.from_json(json.loads(json.dumps(SIZED.to_json()))) == SIZED
    rows = pd.DataFrame([SIZED.row(), Cell("none", 2, 4, "imix").row()])  # the second has fewer factors
    assert [Cell.of(row) for row in rows.to_dict("records")] == [SIZED, Cell("none", 2, 4, "imix")]
    assert Cell.of({"variant": "a", "cores": np.int32(1), "tunnels": np.int32(1), "nics.a.gro": np.bool_(True)}) == (
        Cell("a", 1, 1, more={"nics.a.gro": True})
    )


def test_cells_are_in_order_of_their_levels_and_words_come_first() -> None:
    sizes = [None, "imix", 64, 1024]
    found = [Cell("a", cores, tunnels, size) for cores in (1, 2) for tunnels in (2, 10) for size in sizes]
    found.reverse()
    assert sorted(found) == found[::-1]
    levels = [Cell("a", 1, 1, more={"tunnel.mtu": mtu}) for mtu in (900, 1280)]
    levels.reverse()
    assert sorted(levels) == levels[::-1]


def test_a_cell_says_its_levels_with_their_units() -> None:
    assert str(SIZED) == "vanilla, 2 cores, 4 tunnels, packets of 512 B, delay of wan 10 ms, streams 8"
    assert str(SIZED.place).startswith("2 cores")
    assert str(Cell("a", 1, 1, "imix", {"tunnel.mtu": 1280})) == "a, 1 core, 1 tunnel, imix, MTU 1280 B"


def test_levels_of_a_testbed_become_numbers() -> None:
    assert Cell("a", "max", "per-core", more={"tunnel.mtu": 1280}).resolved(6) == Cell(
        "a", 6, 6, more={"tunnel.mtu": 1280}
    )
    assert SIZED.resolved(6) is SIZED


@pytest.mark.parametrize(
    ("name", "level", "words"),
    [
        ("tunnel.mtu", 1420, "1420 B"),
        ("links.wan.delay", 0.0005, "500 µs"),
        ("links.wan.delay", 0, "0 s"),
        ("links.wan.loss", 0.001, "0.1 %"),
        ("links.wan.rate", 2.5e9, "2.5 Gbit/s"),
        ("traffic.rate", 200e3, "200 kpps"),
        ("traffic.rate", "max", "max"),
        ("nics.gateways.gro", False, "off"),
        ("settings.gateways.net.core.netdev_budget", 600, "600"),
    ],
)
def test_a_level_is_shown_with_its_unit(name: str, level: float | str, words: str) -> None:
    assert factor_of(name).show(level) == words


def test_what_needs_prepared_hosts_is_known() -> None:
    names = ("cores", "settings.gateways.net.core.netdev_budget", "nics.gateways.gro", "traffic.mss", "tunnel.mtu")
    assert [factor_of(name).needs_preparation for name in names] == [True, True, True, False, False]
