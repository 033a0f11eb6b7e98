# SPDX-License-Identifier: Apache-2.0
"""`orch test`: the project's own checks and tests, the same on a developer's computer and in CI."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.errors import TestbedError, UserError
from orchestrator.paths import CHECKOUT, IS_CHECKOUT, PLAYBOOKS

FAILED = 1
_SCRIPTS_IN = (".", ".ci", "orchestrator", "kernel", "playbooks", "tests", "benchmarks")
_SHELLS = (b"#!/bin/sh", b"#!/bin/bash", b"#!/usr/bin/env bash")
_LINES_SHOWN, _WIDTH_SHOWN = 60, 300  # of a failed stage's output; run the stage alone to see the rest
_TOOLS = Path(sys.executable).parent
PARALLEL = "not lab or beside"  # by the marks of pyproject.toml


@dataclass(frozen=True, slots=True)
class CheckStage:
    """One program to run. Its output is shown live, or only if it fails."""

    name: str
    command: tuple[str, ...]
    shows_output: bool = False


def shell_scripts(checkout: Path = CHECKOUT) -> list[str]:
    """Return the shell scripts of the checkout, recognized by their first line, as relative paths."""
    found = set()
    for name in _SCRIPTS_IN:
        folder = checkout / name
        files = folder.glob("*") if name == "." else folder.rglob("*")
        for file in files:
            if file.is_file() and not file.is_symlink():
                with file.open("rb") as content:
                    if content.readline().strip().startswith(_SHELLS):
                        found.add(str(file.relative_to(checkout)))
    return sorted(found)


def stages(pytest_arguments: list[str], *, full: bool) -> Iterator[CheckStage]:
    """Yield all stages, the longest checks first."""

    def tool(name: str, *arguments: str) -> tuple[str, ...]:
        return (str(_TOOLS / name), *arguments)

    if any(PLAYBOOKS.glob("*.yml")):
        yield CheckStage("ansible-lint", tool("ansible-lint", "--offline", "-q", "--nocolor", PLAYBOOKS.name))
    # .site is what `mkdocs build` writes by itself; --strict makes a broken link an error.
    yield CheckStage("documentation", tool("mkdocs", "build", "--strict", "--quiet"))
    yield CheckStage("mypy", tool("mypy"))
    yield CheckStage("shellcheck", tool("shellcheck", *shell_scripts()))
    yield CheckStage("import-linter", tool("lint-imports"))
    yield CheckStage("ruff check", tool("ruff", "check", "--quiet", "--output-format=concise", "."))
    yield CheckStage("ruff format", tool("ruff", "format", "--check", "--quiet", "--output-format=concise", "."))
    extra = ["--full"] if full else []
    if pytest_arguments:
        yield CheckStage("pytest", tool("pytest", *extra, *pytest_arguments), shows_output=True)
        return
    extra.append("--durations=20")  # of a whole run: candidates for speeding up
    # On all cores: tests that need neither the lab nor an idle computer, in the order in which they were collected.
    on_all_cores = ("-n", "logical", "--dist", "loadfile", "--no-loadscope-reorder")
    yield CheckStage("parallel tests", tool("pytest", *extra, *on_all_cores, "-m", PARALLEL), shows_output=True)
    yield CheckStage("serial tests", tool("pytest", *extra, "-m", f"not ({PARALLEL})", "tests/lab"), shows_output=True)


def run_stages(wanted: Iterable[CheckStage]) -> list[str]:
    """Run stages, those that show their output one at a time and after the others. Return the names of those that
    failed."""
    every = sorted(wanted, key=lambda stage: stage.shows_output)
    at_once = [stage for stage in every if not stage.shows_output]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        passed = list(pool.map(run_stage, at_once))
    passed += map(run_stage, every[len(at_once) :])
    return [stage.name for stage, ok in zip(every, passed, strict=True) if not ok]


def run_stage(stage: CheckStage) -> bool:
    """Run a stage, and print its outcome and duration. Standard input is closed. Return whether it passed."""
    if stage.shows_output:
        print(f"  {stage.name}", flush=True)
    environment = {
        **os.environ,
        "NO_MKDOCS_2_WARNING": "1",
        "PATH": f"{_TOOLS}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    # Tests start the program hundreds of times; without stored bytecode, each start compiles it.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.monotonic()
    try:
        done = subprocess.run(
            stage.command,
            cwd=CHECKOUT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=None if stage.shows_output else subprocess.PIPE,
            stderr=None if stage.shows_output else subprocess.STDOUT,
            check=False,
        )
    except FileNotFoundError as error:
        raise TestbedError(
            f"{error.filename} is missing: this environment was not created by the launcher. Start `./orch test`."
        ) from error
    passed = done.returncode == 0
    said = [f"{'✓' if passed else '✗'} {stage.name:<14} {time.monotonic() - began:6.1f} s"]
    if not passed and done.stdout:
        lines = [line[:_WIDTH_SHOWN] for line in done.stdout.decode(errors="replace").rstrip().splitlines()]
        more = [f"… and {len(lines) - _LINES_SHOWN} lines more"] if len(lines) > _LINES_SHOWN else []
        said += [*lines[:_LINES_SHOWN], *more]
    print("\n".join(said) + "\n", end="", flush=True)  # whole, beside what other threads print
    return passed


def test(
    context: typer.Context,
    full: Annotated[
        bool, typer.Option("--full", help="Also run the tests that take too long for every change.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Install missing Debian packages without asking.")] = False,
) -> None:
    """Run the project's checks and tests. Other arguments are passed to pytest.

    Lab tests use the real lab kernel, which is built first if the cache has none. Later stages run even if an
    earlier one fails. The exit status is 1 if any stage failed.
    """
    del yes  # the launcher acted on it before this program started
    if not IS_CHECKOUT:
        raise UserError(
            "The tests are only in a checkout, and this program was installed without one. Clone the project."
        )
    began = time.monotonic()
    failed = run_stages(stages(context.args, full=full))
    took = f"{time.monotonic() - began:.0f} s"
    if failed:
        print(f"orch test: failed after {took}: {', '.join(failed)}", flush=True)
        raise typer.Exit(FAILED)
    print(f"orch test: all passed in {took}", flush=True)
