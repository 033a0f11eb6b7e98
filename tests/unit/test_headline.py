# SPDX-License-Identifier: Apache-2.0
"""The winner: stated as strongly as the numbers allow, and no more."""

import dataclasses
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from orchestrator.analysis.dataset import load
from orchestrator.analysis.headline import headline
from orchestrator.analysis.page import render
from orchestrator.analysis.standings import Lead, standings
from orchestrator.paths import CHECKOUT, RESULTS
from orchestrator.stats import FEWEST_FOR_INTERVAL, ahead_test, paired_ratio, sign_test
from tests.unit.synthetic_run import write_run


def by_rank(variant: str, cores: int, tunnels: int, rng: Any) -> float:
    """Return vanilla 1, threaded 1.5, inline 2, each times the cores, without noise."""
    return 1e9 * cores * {"none": 9.0, "vanilla": 1.0, "threaded": 1.5, "inline": 2.0}[variant]


def alike(variant: str, cores: int, tunnels: int, rng: Any) -> float:
    """Return the same for all variants, except for noise."""
    return float(4e9 if variant == "none" else 1e9 * rng.gauss(1.0, 0.05))


ALL = ("vanilla", "threaded", "inline")


def by_round(rates: dict[str, list[float]]) -> Any:
    """Return a speed for `write_run`: each variant's throughput by round, the same in every cell, without noise."""
    turns: Counter[tuple[str, int, int]] = Counter()

    def speed(variant: str, cores: int, tunnels: int, rng: Any) -> float:
        turns[variant, cores, tunnels] += 1
        mine = rates.get(variant, [90.0])
        return 1e9 * mine[(turns[variant, cores, tunnels] - 1) % len(mine)]

    return speed


def test_who_won_is_said_against_both_unpatched_modules_at_one_tunnel_a_core(tmp_path: Path) -> None:
    found = headline(load(write_run(tmp_path, variants=ALL, rounds=6, speed=by_rank, tunnels=(1, 2, 4))))
    assert found.verdict == "inline won."
    assert found.ratios == (
        "With 2 tunnels on 2 cores inline carried 2.00 times as much as vanilla (95 % interval within one boot 2.00 to "
        "2.00, n = 6 pairs) and 1.33 times as much as threaded (95 % interval within one boot 1.33 to "
        "1.33, n = 6 pairs)."
    )
    # 6 rounds of 6 have p = 1/32, and 12 of these are not significant after a correction for multiple comparisons.
    assert (
        "Of all 6 planned combinations of cores and tunnels, inline was ahead in 6. Each by its own numbers: none "
        "is significant after Holm's correction for all 12 comparisons." in found.remarks
    )


def test_of_many_places_the_word_won_stands_a_correction_for_being_many(tmp_path: Path) -> None:
    found = headline(load(write_run(tmp_path, variants=ALL, rounds=9, speed=by_rank, tunnels=(1, 2))))
    # 9 of 9: p = 1/256, and times 8 comparisons that is 0.031.
    assert (
        "Of all 4 planned combinations of cores and tunnels, inline won 4. Won: significant after Holm's "
        "correction for all 8 comparisons." in found.remarks
    )


@pytest.mark.parametrize("n", range(1, 30))
def test_a_clear_lead_and_the_sign_test_agree(n: int) -> None:
    """The interval of the median ratio excludes 1 where the sign test says so at 5 %, whatever the number of rounds."""
    for ahead in range(n + 1):
        values = {("block", turn): 2.0 if turn < ahead else 0.5 for turn in range(n)}
        ratio = paired_ratio(values, dict.fromkeys(values, 1.0))
        assert ratio is not None
        lead = Lead("a", "b", n, ahead, ratio.median, ratio.interval)
        assert lead.is_clear == (n >= FEWEST_FOR_INTERVAL and sign_test(ahead, n) <= 0.05)


@pytest.mark.parametrize("boots", [2, 3, 6])
def test_over_boots_the_p_value_agrees_with_the_interval(boots: int) -> None:
    noise = random.Random(boots)
    seen = set()
    for _ in range(50):
        speeds = {boot: noise.lognormvariate(0.1, 0.1) for boot in range(boots)}
        values = {(boot, turn): speed * noise.gauss(1, 0.01) for boot, speed in speeds.items() for turn in range(3)}
        ratio = paired_ratio(values, dict.fromkeys(values, 1.0))
        assert ratio is not None
        ahead = sum(value > 1 for value in values.values())
        lead = Lead("a", "b", ratio.n, ahead, ratio.median, ratio.interval)
        assert lead.is_clear == (ahead_test(ratio, ahead) <= 0.05)
        seen.add(lead.is_clear)
    assert seen == {True, False}


@pytest.mark.parametrize("rounds", [2, 3, 5])
def test_with_too_few_rounds_nobody_has_won(tmp_path: Path, rounds: int) -> None:
    found = headline(load(write_run(tmp_path, variants=ALL, rounds=rounds, speed=by_rank)))
    assert found.verdict == f"inline was ahead in each of the {rounds} rounds that were measured."
    assert "interval" not in found.ratios
    assert any("Too few rounds" in remark for remark in found.remarks)


def test_one_round_shows_no_winner(tmp_path: Path) -> None:
    found = headline(load(write_run(tmp_path, variants=ALL, rounds=1, speed=by_rank)))
    assert found.verdict == "No winner can be named from one round. inline carried the most in it."


def test_a_lost_round_is_counted(tmp_path: Path) -> None:
    def fate(trial: dict[str, Any]) -> list[str]:
        return ["failed"] if trial["levels"]["variant"] == "threaded" and trial["round"] > 3 else ["ok"]

    nine = {"vanilla": [1.0] * 9, "threaded": [1.5] * 9, "inline": [2, 2, 2, 2, 0.9, 2, 2, 2, 2]}
    run = load(write_run(tmp_path, variants=ALL, cores=(1,), tunnels=(1,), rounds=9, speed=by_round(nine), fate=fate))
    (standing,) = standings(run)
    assert standing.outcome == "ahead"  # clearly ahead of vanilla, and of threaded in the three common rounds
    verdict = headline(run).verdict
    assert "every" not in verdict
    assert verdict == "inline was ahead of threaded in 3 of 3 rounds and of vanilla in 8 of 9 rounds."


def test_rounds_that_both_have_decide_and_not_the_medians_of_others(tmp_path: Path) -> None:
    def fate(trial: dict[str, Any]) -> list[str]:
        return ["failed"] if trial["levels"]["variant"] == "threaded" and trial["round"] > 6 else ["ok"]

    # The computer became twice as fast after round 6, when threaded was not measured any more.
    rates = {"vanilla": [0.9] * 6 + [1.8] * 9, "threaded": [1.0] * 15}
    shape: dict[str, Any] = {"variants": ALL[:2], "cores": (1,), "tunnels": (1,), "rounds": 15}
    run = load(write_run(tmp_path, **shape, speed=by_round(rates), fate=fate))
    (standing,) = standings(run)
    assert (standing.best, standing.outcome, standing.rivals) == ("threaded", "won", [])
    found = headline(run)
    assert found.verdict == "threaded won."
    assert "1.11 times as much as vanilla (95 % interval within one boot 1.11 to 1.11, n = 6 pairs)" in found.ratios
    assert any("vanilla has a higher median over all rounds" in remark for remark in found.remarks)


def test_what_is_not_told_apart_has_an_interval_that_holds_1(tmp_path: Path) -> None:
    for seed in range(5):
        noise = random.Random(seed)
        rates = {name: [noise.gauss(1.0, 0.2) for _ in range(8)] for name in ALL}
        run = load(write_run(tmp_path / str(seed), variants=ALL, rounds=8, speed=by_round(rates)))
        for standing in standings(run):
            for lead in standing.leads:
                assert (lead.other in standing.rivals) == (lead.interval.low <= 1 <= lead.interval.high)


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
    assert found.verdict == "inline won against vanilla; threaded has no valid trial there."
    assert (
        "With 2 tunnels on 2 cores 12 of 18 trials are valid: 6 attempts failed and 2 attempts broke a limit."
        in found.remarks
    )


def test_the_place_is_chosen_from_the_plan_and_what_failed_is_named(tmp_path: Path) -> None:
    def fate(trial: dict[str, Any]) -> list[str]:
        largest = trial["levels"]["cores"] == 4 and trial["kind"] == "measure"
        return ["failed", "failed"] if largest and trial["levels"]["tunnels"] == 4 else ["ok"]

    shape: dict[str, Any] = {"cores": (2, 4), "tunnels": (0, 1, 8), "rounds": 2, "speed": by_rank, "fate": fate}
    found = headline(load(write_run(tmp_path, variants=ALL, **shape)))
    assert found.standing is not None
    assert found.standing.where == "8 tunnels on 4 cores"
    assert found.notes[0] == (
        "No trial is valid with 4 tunnels on 4 cores (6 failed), so this is about the next largest place: 8 tunnels on "
        "4 cores."
    )
    assert any(
        "Of all 6 planned combinations of cores and tunnels, inline was ahead in 5 and 1 has no valid trial "
        "(4 tunnels on 4 cores)." in remark
        for remark in found.remarks
    )


def test_a_run_most_of_which_did_not_work_names_nobody(tmp_path: Path) -> None:
    def fate(trial: dict[str, Any]) -> list[str]:
        return ["ok"] if trial["levels"]["variant"] in ("inline", "none") else ["invalid"]

    shape: dict[str, Any] = {"cores": (2,), "tunnels": (2,), "rounds": 1, "speed": by_rank, "fate": fate}
    assert headline(load(write_run(tmp_path, variants=ALL, **shape))).verdict.startswith("inline carried 4.00 Gbit/s")
    shape["tunnels"] = (1, 2, 3)
    verdict = headline(load(write_run(tmp_path / "more", variants=ALL, **shape))).verdict
    assert verdict == "No verdict: only 4 of 10 trials are valid (6 invalid)."


def test_a_run_that_was_cut_off_says_what_its_first_rounds_show(tmp_path: Path) -> None:
    def fate(trial: dict[str, Any]) -> list[str]:
        return ["ok"] if trial["round"] <= 2 else []

    found = headline(load(write_run(tmp_path, variants=ALL, rounds=9, speed=by_rank, fate=fate)))
    assert found.verdict == "inline was ahead in each of the 2 rounds that were measured."
    assert "With 2 tunnels on 2 cores 6 of 27 trials are valid: 21 not measured." in found.remarks


def test_the_examples_page_says_what_the_example_run_says() -> None:
    page = (CHECKOUT / "docs" / "examples.md").read_text()
    found = headline(load(RESULTS / "example"))
    assert found.verdict.removesuffix(" won.") in page
    for lead in found.leads:
        assert f"{lead.median:.2f} times" in page
        assert f"{lead.interval.low:.2f} to {lead.interval.high:.2f}" in page


def test_where_the_winner_is_not_ahead_is_an_exception(tmp_path: Path) -> None:
    def speed(variant: str, cores: int, tunnels: int, rng: random.Random) -> float:
        if tunnels == 2:
            return alike(variant, cores, tunnels, rng)
        swapped = {"vanilla": "inline", "inline": "vanilla"} if tunnels == 1 else {}
        return by_rank(swapped.get(variant, variant), cores, tunnels, rng)

    found = headline(load(write_run(tmp_path, variants=ALL, rounds=9, speed=speed, cores=(4,), tunnels=(1, 2, 4))))
    assert found.verdict == "inline won."
    (said,) = found.exceptions
    assert said.startswith("inline is not ahead with 1 tunnel on 4 cores (vanilla won) and with 2 tunnels on 4 cores (")
    assert said in found.remarks


def test_a_run_of_one_variant_and_one_of_nothing(tmp_path: Path) -> None:
    alone = headline(load(write_run(tmp_path / "a", variants=["vanilla"], rounds=6, speed=by_rank)))
    assert alone.verdict == "vanilla carried 2.00 Gbit/s with 2 tunnels on 2 cores; nothing to compare it with."
    assert alone.ratios == ""
    run = load(write_run(tmp_path / "b", fate=lambda trial: ["invalid"]))
    assert standings(run) == []
    assert headline(run).verdict == "No valid results: none of the 24 planned trials is valid."


def test_packet_rates_are_no_throughput(tmp_path: Path) -> None:
    path = write_run(tmp_path)
    text = (path / "run.json").read_text()
    (path / "run.json").write_text(text.replace('"tool": "iperf3"', '"tool": "pktgen"'))
    run = load(path)
    run = dataclasses.replace(run, trials=run.trials.assign(throughput_bps=float("nan")))
    assert headline(run).verdict == "No valid results: none of the 24 planned trials is valid."
    assert 'id="throughput"' not in render(run, path, [])
