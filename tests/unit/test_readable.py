# SPDX-License-Identifier: Apache-2.0
"""Frames as a notebook shows them."""

import itertools
import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis import cells, packets
from orchestrator.analysis.dataset import load
from orchestrator.analysis.readable import number, readable
from orchestrator.paths import RESULTS
from tests.unit.synthetic_run import write_run


@given(st.floats(1e-3, 1e12))
def test_a_number_has_three_digits_and_no_exponent(value: float) -> None:
    text = number(value)
    assert "e" not in text
    assert math.isclose(float(text), value, rel_tol=0.006)


def test_cells_are_in_the_units_of_the_figures_and_say_once_what_all_have_in_common() -> None:
    run = load(RESULTS / "example")
    frame = cells.cells(run)
    shown = readable(run, frame)
    assert shown.frame["median, Gbit/s"].tolist() == [number(bps / 1e9) for bps in frame["median_bps"]]
    assert "packet size" not in shown.frame
    assert "interval" not in shown.frame
    assert "Interval: 95 % interval within one boot." in shown.notes
    assert "Measured in: real time." in shown.notes
    assert "None: failed, invalid, missing, invalid attempts, generator bound." in shown.notes
    assert "vanilla" in repr(shown)


def test_packet_rates_are_in_kpps() -> None:
    run = load(RESULTS / "example-packet-rate")
    frame = packets.packet_cells(run)
    assert readable(run, frame).frame["median, kpps"].tolist() == [number(pps / 1e3) for pps in frame["median_pps"]]


def test_a_cell_without_a_trial_is_counted_and_not_shown(tmp_path: Path) -> None:
    fates = itertools.cycle([["ok"], ["failed"]])
    run = load(write_run(tmp_path, cores=(2,), tunnels=(2,), rounds=1, fate=lambda trial: next(fates)))
    frame = cells.cells(run)
    shown = readable(run, frame)
    assert sorted(frame["n"]) == [0, 1]
    assert len(shown.frame) == 1
    assert "1 row without a value is left out." in shown.notes


@pytest.mark.parametrize("frame", [pd.DataFrame(), pd.DataFrame({"variant": ["vanilla"], "median": [math.nan]})])
def test_a_frame_without_values_says_so(frame: pd.DataFrame) -> None:
    shown = readable(load(RESULTS / "example"), frame)
    assert "Nothing to show" in repr(shown)
    assert "Nothing to show" in shown._repr_html_()


def test_what_is_missing_is_empty_and_names_cannot_be_markup() -> None:
    frame = pd.DataFrame({"variant": ["<b>", "b"], "cores": [1, 2], "low": [1.0, math.nan], "high": [2.0, 3.0]})
    shown = readable(load(RESULTS / "example"), frame)
    assert shown.frame["low"].tolist() == ["1.00", ""]
    assert "<b>" not in shown._repr_html_()
    assert "nan" not in shown._repr_html_().lower()
