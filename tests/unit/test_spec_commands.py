# SPDX-License-Identifier: Apache-2.0
"""orch validate, plan and schema, as a user calls them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import testbed
from orchestrator.cli.app import run_command
from orchestrator.paths import EXPERIMENTS
from orchestrator.plan import lab_capabilities, make_plan
from orchestrator.sentences import boots_sentence
from orchestrator.spec import load_experiment
from orchestrator.spec.catalog import known_variants

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testbed, "usable_cores", lambda: 2)


def test_validate(capsys: Output, tmp_path: Path) -> None:
    assert run_command(["validate", "exp/scaling.yaml", "experiments/testbeds/lab.yaml"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    bad = tmp_path / "bad.yaml"
    bad.write_text("experiment: 3\nfactor: 1\n")
    assert run_command(["validate", str(bad), "exp/scaling.yaml", str(tmp_path / "gone.yaml")]) == 2
    output = capsys.readouterr()
    assert len(output.out.splitlines()) == 1
    for says in (f"{bad}:1:13: ", f"{bad}:2:1: ", "gone.yaml"):
        assert says in output.err


def test_plan_as_json(capsys: Output) -> None:
    arguments = ["plan", "exp/scaling.yaml", "--tier", "quick", "--set", "factors.cores=[1, 2, 64]", "--json"]
    assert run_command(arguments) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    trials = found["trials"]
    assert [trial["order"] for trial in trials] == list(range(1, len(trials) + 1))
    assert len({trial["trial_id"] for trial in trials}) == len(trials)
    names = ["kind", "block", "round", "order", "variant", "cores", "tunnels", "repetition"]
    assert all(name in trial for trial in trials for name in names)
    assert [(block["cores"], block["boot"]) for block in found["blocks"]] == [(1, 1), (2, 1)]
    assert (found["comparing"]["n"], found["comparing"]["ratio"], found["comparing"]["needed"]) == (3, None, 6)
    assert sum(block["trials"] for block in found["blocks"]) == len(trials) == found["expected"]["trials"]
    assert [left["reason"] for left in found["left_out"]] == ["this computer has 2 cores"]
    assert run_command(arguments) == 0
    assert json.loads(capsys.readouterr().out)["trials"] == trials


def test_plan_to_read(capsys: Output) -> None:
    assert run_command(["plan", "exp/scaling.yaml"]) == 0
    output = capsys.readouterr().out
    for says in ("scaling, tier full on lab", "6 boots", "Left out:", "32 cores", "this computer has 2 cores"):
        assert says in output
    for says in (
        "baselines without a tunnel, one for each number of tunnels",
        "Each number of cores has 3 boots, in passes over the core counts",
        "when the interval of every cell's ratio to vanilla is at most 10.0 %",
        "(`orch compare`), 6 trials in 3 boots on each side of 18 cells can detect a ratio of medians of",
    ):
        assert says in output
    assert run_command(["plan", "exp/scaling.yaml", "--tier", "quick"]) == 0
    assert "3 trials on each side of 12 cells can detect no difference, however large" in capsys.readouterr().out


def test_a_plan_has_the_variants_of_further_cells_after_those_of_the_factor(capsys: Output) -> None:
    further = "include=[{variant: batched, cores: 1, tunnels: 2}, {variant: inline, cores: 1, tunnels: 1}]"
    levels = ("factors.variant=[vanilla]", "factors.cores=[1]", "factors.tunnels=[1]")
    arguments = [word for override in (*levels, further) for word in ("--set", override)]
    assert run_command(["plan", "exp/scaling.yaml", "--tier", "quick", *arguments]) == 0
    assert " vanilla, batched, inline " in capsys.readouterr().out


def test_a_plan_on_a_narrow_terminal_cuts_nothing_off(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    for width in (60, 80):
        monkeypatch.setenv("COLUMNS", str(width))
        assert run_command(["plan", "exp/scaling.yaml", "--testbed", "virtual-lab", "--tier", "claims"]) == 0
        lines = capsys.readouterr().out.splitlines()
        begin = next(number for number, line in enumerate(lines) if line.split()[:2] == ["block", "cores"])
        end = next(number for number, line in enumerate(lines) if " of results. " in line)
        table = lines[begin:end]
        assert lines[end].startswith("loads: ") == ("loads" in table[0].split())
        assert {"variants", "tunnels", "rounds", "trials", "expected"} <= set(table[0].split())
        assert all(len(line) <= width and "…" not in line for line in table)


def test_a_plan_on_a_narrow_terminal_has_both_ends_of_the_expected_time(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["plan", "exp/scaling.yaml", "--tier", "full", "--set", "factors.cores=[1, 2]"]
    found = []
    for width in (60, 80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        assert run_command(arguments) == 0
        lines = capsys.readouterr().out.splitlines()
        begin = next(number for number, line in enumerate(lines) if line.split()[:2] == ["block", "cores"])
        end = next(number for number, line in enumerate(lines) if " of results. " in line)
        assert "expected" in lines[begin].split()
        found.append(sum(line.split().count("min") for line in lines[begin:end]))
    assert found[0] == found[1] == found[2] > 12


def test_a_plan_lists_its_trials_in_the_order_of_the_run(capsys: Output) -> None:
    arguments = ["plan", "exp/scaling.yaml", "--tier", "quick", "--set", "factors.cores=[1]"]
    assert run_command([*arguments, "--json"]) == 0
    trials = json.loads(capsys.readouterr().out.splitlines()[-1])["trials"]
    assert run_command([*arguments, "--trials"]) == 0
    listed = capsys.readouterr().out.partition("Trials, with block and round:\n")[2].splitlines()
    assert [line.split()[5] for line in listed] == [trial["trial_id"] for trial in trials]
    assert "baseline without tunnel, 1 core" in listed[0]


def test_what_boots_are_not_on_hosts_that_are_not_restarted_is_said() -> None:
    spec = load_experiment(EXPERIMENTS / "scaling.yaml", tier="claims")
    lab = lab_capabilities(32, known_variants())
    plan = make_plan(spec, lab)
    assert boots_sentence(plan, lab).endswith("each in its own order.")
    assert "does not restart its hosts" in boots_sentence(plan, replace(lab, restarts=False))
    assert boots_sentence(make_plan(load_experiment(EXPERIMENTS / "scaling.yaml", tier="quick"), lab), lab) == ""


def test_nothing_to_plan(capsys: Output) -> None:
    assert run_command(["plan", "exp/scaling.yaml", "--set", "factors.cores=[4]"]) == 2
    assert "this computer has 2 cores" in capsys.readouterr().err


def test_schema(capsys: Output) -> None:
    for arguments in ([], ["experiment"]):
        assert run_command(["schema", *arguments]) == 0
        assert json.loads(capsys.readouterr().out)["additionalProperties"] is False
    assert run_command(["schema", "testbed"]) == 0
    providers = json.loads(capsys.readouterr().out)["discriminator"]["mapping"]
    assert {"uml", "ssh"} <= set(providers)
    assert run_command(["schema", "figure"]) == 2
