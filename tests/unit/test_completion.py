# SPDX-License-Identifier: Apache-2.0
"""Shells complete the commands and options of `orch`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.paths import CHECKOUT

ORCH = Path(sys.executable).with_name("orch")
ASKED = {
    "zsh": {"_TYPER_COMPLETE_ARGS": "{line}"},
    "fish": {"_TYPER_COMPLETE_ARGS": "{line}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
}


NAMED = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # the shell is the one named, not one above this process


def said(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [ORCH, *arguments], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("orch rep", ["report", "reproduce"]),
        ("orch run --ti", ["--tier"]),
        ("orch lab sh", ["shell"]),
        ("orch reproduce C4", ["C4"]),
        ("orch run exp/scaling.yaml --tier q", ["quick"]),
        ("orch reproduce C7 --tier c", ["claims"]),
        ("orch run exp/none.yaml --tier q", []),
        ("orch plan --testbed virtual-l", ["virtual-lab"]),
    ],
)
def test_bash_completes_with_the_script_that_it_is_given(line: str, wanted: list[str]) -> None:
    script = said("--show-completion", "bash", **NAMED)
    ask = f"COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _orch_completion {ORCH}; "
    command = [shutil.which("bash") or "bash", "-c", f'{script}\n{ask}printf "%s\\n" "${{COMPREPLY[@]}}"']
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == wanted


@pytest.mark.parametrize("shell", ASKED)
def test_other_shells_get_what_they_ask_for(shell: str) -> None:
    def asked(line: str) -> str:
        environment = {name: value.format(line=line) for name, value in ASKED[shell].items()}
        return said(_ORCH_COMPLETE=f"complete_{shell}", **environment)

    assert "Show which of the paper" in asked("orch ver")
    assert "--tier" in asked("orch run --ti")
    assert "orch" in said("--show-completion", shell, **NAMED)


def test_zsh_shows_whole_sentences_with_their_apostrophes() -> None:
    told = said(_ORCH_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="orch rep")
    assert r"""Redraw a run'\''s figures and report.""" in told
    assert "Run the experiment that a claim needs, and give the verdict." in told


@pytest.mark.parametrize("command", [(), ("lab",), ("kernel",), ("cache",), ("testbed",)])
def test_the_list_of_commands_cuts_no_sentence_off(command: tuple[str, ...]) -> None:
    commands = said(*command, "--help", COLUMNS="80").partition("Commands:")[2]
    assert commands
    assert "..." not in commands


def test_zsh_completes_at_the_first_tab_too() -> None:
    defines, _, at_once = said("--show-completion", "zsh", **NAMED).partition("compdef _orch_completion orch")
    assert "_orch_completion()" in defines
    assert 'loadautofunc ]]; then _orch_completion "$@"; fi' in at_once


def test_completion_is_installed_where_the_shell_looks(tmp_path: Path) -> None:
    # With a further command, the shell remains the program's parent, which looks for it there.
    command = [shutil.which("bash") or "bash", "-c", f"{ORCH} --install-completion; exit $?"]
    done = subprocess.run(
        command, env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "orch" in (tmp_path / ".bashrc").read_text()
