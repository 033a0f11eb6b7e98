# SPDX-License-Identifier: Apache-2.0
"""Headlines, tables and figures on limits and on the cost of throughput, for runs made for this purpose."""

import html
import json
import random
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.analysis import figures
from orchestrator.analysis.cells import cells
from orchestrator.analysis.dataset import Run, load
from orchestrator.analysis.headline import headline
from orchestrator.analysis.limits import LETTERS, limit_of
from orchestrator.analysis.limits.rankings import reversals
from orchestrator.analysis.limits.remarks import limits_in_words
from orchestrator.analysis.page import render
from orchestrator.paths import RESULTS
from tests.unit.synthetic_run import write_run
from tests.unit.test_limits import CONSTRUCTED

VARIANTS = ("vanilla", "inline")


def run_with(
    folder: Path, busy: Mapping[str, tuple[float, ...]], rates: Mapping[str, float], rounds: int = 6, noise: float = 0.0
) -> Run:
    """Return a run of one place with 2 cores and 2 tunnels, whose CPUs were busy for these shares with each variant."""

    def speed(variant: str, cores: int, tunnels: int, rng: random.Random) -> float:
        return rates.get(variant, 50e9) * rng.gauss(1, noise)

    shape: Any = {"variants": VARIANTS, "cores": (2,), "tunnels": (2,), "rounds": rounds, "speed": speed}
    path = write_run(folder, **shape)
    for file in path.glob("trials/*/*/attempt.json"):
        attempt = json.loads(file.read_text())
        shares = busy.get(attempt["levels"]["variant"], (0.1, 0.1))
        kinds = dict.fromkeys((f"{kind}_s" for kind in ("user", "softirq", "irq", "steal", "iowait")), 0.0)
        attempt["probes"]["per_cpu"] = [
            {**row, **kinds, "system_s": 3 * share, "idle_s": 3 * (1 - share)}
            for row, share in zip(attempt["probes"]["per_cpu"], shares, strict=True)
        ]
        file.write_text(json.dumps(attempt))
    return load(path)


def without_none(label: str) -> str:
    return label.removeprefix("none (").removesuffix(")") if label.startswith("none (") else label


@pytest.mark.parametrize("name", CONSTRUCTED)
def test_a_limit_that_is_probable_is_never_said_to_be_certain(name: str) -> None:
    cell, label = CONSTRUCTED[name]
    run: Any = SimpleNamespace(loads=[cell])
    said = limits_in_words(run, cell.key)
    limit = limit_of(cell)
    if label == "nothing saturated":
        assert said == "Nothing was saturated with vanilla."
    elif label.startswith("probably "):
        assert said == f"Probable limit of vanilla: {without_none(label.removeprefix('probably '))}."
        assert limit.letter.endswith("?")
    else:
        assert said == f"Limit of vanilla: {without_none(label)}."
        assert len(limit.letter) == 1
    assert limit.letter[0] == LETTERS[limit.what][0]


def test_letters_tell_limits_apart() -> None:
    letters = [letter for letter, _ in LETTERS.values()]
    assert len(set(letters)) == len(letters)


def test_headline_and_table_name_the_limit_of_each_variant(tmp_path: Path) -> None:
    busy = {"vanilla": (1.0, 0.99), "inline": (0.92, 0.91)}
    run = run_with(tmp_path, busy, {"vanilla": 2e9, "inline": 3e9})
    assert (
        "Limit of vanilla: both CPUs of lab1 busy; probable limit of inline: both CPUs of lab1 busy."
        in headline(run).remarks
    )
    table = cells(run).set_index("variant")
    assert table.loc["vanilla", "limit"] == "none (both CPUs of lab1 busy)"
    assert table.loc["inline", "limit"] == "probably none (both CPUs of lab1 busy)"
    page = render(run, tmp_path, [])
    assert page.count(">probably none (both CPUs of lab1 busy)</td>") == 2  # of the cells, and of the evidence


@pytest.mark.parametrize(
    ("busy", "reason"),
    [
        (
            {"vanilla": (0.5, 0.5), "inline": (1.0, 1.0)},
            "mostly because more CPUs are busy, 2 against 1 (2.00 times); a packet takes 7,573 against 7,573 ns of CPU "
            "time",
        ),
        (
            {"vanilla": (1.0, 1.0), "inline": (1.0, 1.0)},
            "mostly because a packet takes less CPU time, 7,573 against 15,147 ns (0.50 times); 2 against 2 CPUs are "
            "busy",
        ),
        (
            {"vanilla": (0.7, 0.7), "inline": (1.0, 1.0)},
            "because a packet takes less CPU time, 7,573 against 10,603 ns (0.71 times), and more CPUs are busy, 2 "
            "against 1.4 (1.43 times)",
        ),
    ],
)
def test_a_lead_comes_from_busier_cpus_or_cheaper_packets(
    tmp_path: Path, busy: dict[str, tuple[float, ...]], reason: str
) -> None:
    run = run_with(tmp_path, busy, {"vanilla": 1.5e9, "inline": 3e9}, noise=1e-5)
    found = headline(run)
    assert found.verdict == "inline won."
    assert found.why[0] == f"inline is ahead of vanilla {reason}."
    assert found.why[0] in html.unescape(render(run, tmp_path, []))


def test_without_a_clear_lead_there_is_no_reason_for_one(tmp_path: Path) -> None:
    busy = {"vanilla": (0.5, 0.5), "inline": (1.0, 1.0)}
    run = run_with(tmp_path, busy, {"vanilla": 2e9, "inline": 2e9}, noise=0.2)
    assert not any("because" in sentence for sentence in headline(run).why)


def test_where_no_cpu_was_sampled_nothing_is_said_of_limits(tmp_path: Path) -> None:
    run = run_with(tmp_path, {}, {"vanilla": 2e9, "inline": 3e9})
    for file in run.path.glob("trials/*/*/attempt.json"):
        attempt = json.loads(file.read_text())
        file.write_text(json.dumps(attempt | {"probes": attempt["probes"] | {"per_cpu": []}}))
    bare = load(run.path)
    assert not any("imit of" in remark for remark in headline(bare).remarks)
    assert set(cells(bare)["limit"]) == {""}
    assert "Letters above" not in " ".join(figures.one_tunnel_a_core(bare).notes)


def test_an_order_that_changes_for_each_busy_core_is_said_in_the_headline(tmp_path: Path) -> None:
    busy = {"vanilla": (1.0, 0.5), "inline": (1.0, 1.0)}
    run = run_with(tmp_path, busy, {"vanilla": 3.0e9, "inline": 3.2e9}, noise=0.01)
    (found,) = reversals(run)
    assert (found.fastest, found.cheapest) == ("inline", "vanilla")
    assert found.is_clear
    assert found.each.median == pytest.approx(3.0 / 1.5 / (3.2 / 2.0), rel=0.03)
    assert found.sentence in headline(run).remarks
    assert found.sentence in render(run, tmp_path, [])


@pytest.mark.parametrize(("rounds", "noise", "cost"), [(3, 0.01, 0.5), (6, 0.3, 0.93)])
def test_an_order_that_changes_by_chance_is_not_in_the_headline(
    tmp_path: Path, rounds: int, noise: float, cost: float
) -> None:
    busy = {"vanilla": (1.0, cost), "inline": (1.0, 1.0)}
    run = run_with(tmp_path, busy, {"vanilla": 3.1e9, "inline": 3.2e9}, rounds, noise)
    found = reversals(run)
    assert not any(one.is_clear for one in found)
    assert all("which shows no difference" in one.sentence for one in found)
    assert not any("busy core" in remark for remark in headline(run).remarks)


def test_the_same_order_is_no_reversal(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"vanilla": (1.0, 1.0), "inline": (1.0, 0.9)}, {"vanilla": 2e9, "inline": 3e9})
    assert reversals(run) == []


@pytest.mark.parametrize("draw", [figures.one_tunnel, figures.throughput_tunnels, figures.one_tunnel_a_core])
def test_figures_have_a_letter_for_each_cell_that_they_show(draw: Any, tmp_path: Path) -> None:
    run = load(RESULTS / "example-virtual")
    drawing = draw(run)
    expected = sorted(
        limit_of(one).letter
        for one in run.loads
        if draw is figures.throughput_tunnels
        or (one.key.tunnels == (1 if draw is figures.one_tunnel else one.key.cores))
    )
    texts = [text.get_text() for axes in drawing.figure.axes for text in axes.texts]
    assert sorted(text for text in texts if text.rstrip("?") in {letter for letter, _ in LETTERS.values()}) == expected
    note = next(note for note in drawing.notes if note.startswith("Letters above"))
    for letter, meaning in LETTERS.values():
        assert (f"{letter} {meaning}" in note) == any(text[0] == letter for text in expected)
    assert ("?: probable" in note) == any(text.endswith("?") for text in expected)
    drawing.save(tmp_path)
    (svg,) = tmp_path.glob("*.svg")
    assert svg.read_text(encoding="utf-8").count("limit: ") == len(expected)
