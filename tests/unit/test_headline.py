# SPDX-License-Identifier: Apache-2.0
"""Who won: said as strongly as the numbers allow, and no more."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from orchestrator.analysis.dataset import load
from orchestrator.analysis.headline import headline, standings
from orchestrator.analysis.page import render
from orchestrator.paths import CHECKOUT, RESULTS
from tests.unit.synthetic_run import write_run


def by_rank(variant: str, cores: int, tunnels: int, rng: Any) -> float:
    """vanilla 1, threaded 1.5, inline 2, each times the cores, without noise."""
    return 1e9 * cores * {"none": 9.0, "vanilla": 1.0, "threaded": 1.5, "inline": 2.0}[variant]


def alike(variant: str, cores: int, tunnels: int, rng: Any) -> float:
    """All variants the same, but for noise."""
    return float(4e9 if variant == "none" else 1e9 * rng.gauss(1.0, 0.05))


ALL = ("vanilla", "threaded", "inline")


def test_who_won_is_said_against_both_unpatched_modules_at_one_tunnel_a_core(tmp_path: Path) -> None:
    found = headline(load(write_run(tmp_path, variants=ALL, rounds=6, speed=by_rank, tunnels=(1, 2, 4))))
    assert found.verdict == "inline won."
    assert found.ratios == (
        "With 2 tunnels on 2 cores inline carried 2.00 times as much as vanilla (95 % interval within one boot 2.00 to "
        "2.00, n = 6 pairs) and 1.33 times as much as threaded (95 % interval within one boot 1.33 to "
        "1.33, n = 6 pairs)."
    )
    assert "Of all 6 combinations of cores and tunnels, inline won 6." in found.remarks


@pytest.mark.parametrize("rounds", [1, 3, 5])
def test_with_too_few_rounds_nobody_has_won(tmp_path: Path, rounds: int) -> None:
    found = headline(load(write_run(tmp_path, variants=ALL, rounds=rounds, speed=by_rank)))
    assert found.verdict.startswith("inline was ahead in ")
    assert "interval" not in found.ratios
    assert any("Too few rounds" in remark for remark in found.remarks)


def test_what_is_not_told_apart_is_said_to_be_so(tmp_path: Path) -> None:
    found = headline(load(write_run(tmp_path, variants=ALL, rounds=9, speed=alike)))
    assert found.verdict.startswith("No clear winner: ")
    assert all(name in found.verdict for name in ALL)


def test_invalid_attempts_and_variants_without_a_number_are_beside_it(tmp_path: Path) -> None:
    def fate(trial: dict[str, Any]) -> list[str]:
        if trial["levels"]["variant"] == "threaded":
            return ["failed"]
        return ["invalid", "ok"] if trial["round"] == 1 else ["ok"]

    found = headline(load(write_run(tmp_path, variants=ALL, rounds=6, speed=by_rank, fate=fate)))
    assert found.verdict == "inline won."
    assert "Invalid attempts in these cells: 2." in found.remarks
    assert "Without a valid trial there: threaded." in found.remarks


def test_the_readme_says_what_the_example_run_says() -> None:
    readme = (CHECKOUT / "README.md").read_text()
    found = headline(load(RESULTS / "example"))
    assert found.verdict.removesuffix(" won.") in readme
    for lead in found.leads:
        assert f"{lead.median:.2f} times" in readme
        assert f"{lead.interval.low:.2f} to {lead.interval.high:.2f}" in readme


def test_a_run_of_one_variant_and_one_of_nothing(tmp_path: Path) -> None:
    alone = headline(load(write_run(tmp_path / "a", variants=["vanilla"], rounds=6, speed=by_rank)))
    assert alone.verdict == "vanilla carried 2.00 Gbit/s with 2 tunnels on 2 cores; nothing to compare it with."
    assert alone.ratios == ""
    run = load(write_run(tmp_path / "b", fate=lambda trial: ["invalid"]))
    assert standings(run) == []
    assert headline(run).verdict == "Nothing came out: none of the 24 planned trials is valid."


def test_packet_rates_are_no_throughput(tmp_path: Path) -> None:
    path = write_run(tmp_path)
    text = (path / "run.json").read_text()
    (path / "run.json").write_text(text.replace('"tool": "iperf3"', '"tool": "pktgen"'))
    run = load(path)
    run = dataclasses.replace(run, trials=run.trials.assign(throughput_bps=float("nan")))
    assert headline(run).verdict == "Nothing came out: none of the 24 planned trials is valid."
    assert 'id="throughput"' not in render(run, path, [])
