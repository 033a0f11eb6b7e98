# SPDX-License-Identifier: Apache-2.0
"""The stages of `orch test`: how they are run, and what is printed of them."""

import sys

import pytest

from orchestrator.cli.test import CheckStage, run_stages
from orchestrator.errors import TestbedError


def stage(name: str, code: str, *, shows_output: bool = False) -> CheckStage:
    return CheckStage(name, (sys.executable, "-c", code), shows_output)


def test_stages_that_fail_are_named_and_only_they_show_what_they_said(capfd: pytest.CaptureFixture[str]) -> None:
    failed = run_stages(
        [
            stage("live", "print('seen')", shows_output=True),
            stage("good", "print('kept back')"),
            stage("bad", "print('why'); raise SystemExit(3)"),
        ]
    )
    said = capfd.readouterr().out
    assert failed == ["bad"]
    assert "kept back" not in said
    lines = [line.split()[:2] for line in said.splitlines()]
    assert lines[lines.index(["✗", "bad"]) + 1] == ["why"]
    assert lines[-3:] == [["live"], ["seen"], ["✓", "live"]]  # after the others


def test_what_a_stage_said_is_cut_to_a_screen(capfd: pytest.CaptureFixture[str]) -> None:
    run_stages([stage("long", "print('x' * 1000); print('y\\n' * 99); raise SystemExit(1)")])
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 1 + 60 + 1
    assert lines[1] == "x" * 300
    assert lines[-1].startswith("… and ")


def test_bytecode_is_stored_whatever_the_caller_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert run_stages([stage("writes", "import sys; sys.exit(sys.dont_write_bytecode)")]) == []


def test_a_missing_tool_is_a_sentence() -> None:
    with pytest.raises(TestbedError, match=r"^/nowhere/ruff is missing: this environment was not created by the"):
        run_stages([CheckStage("ruff", ("/nowhere/ruff",))])
