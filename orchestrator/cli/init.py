# SPDX-License-Identifier: Apache-2.0
"""`orch init`: create an experiment of your own to start from."""

import re
import shutil
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.errors import UserError
from orchestrator.paths import EXPERIMENTS, TESTBEDS, as_argument

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_EXAMPLE = "own-patch"


def init(
    folder: Annotated[Path, typer.Argument(help="The folder to create. Its name becomes the name of the experiment.")],
) -> None:
    """Create a folder with a spec, a testbed file, and a variants file with a patch to start from."""
    name = folder.resolve().name
    if not _NAME.fullmatch(name):
        raise UserError(f"{name} is not a valid name for an experiment: use lower-case letters, digits and hyphens.")
    example = EXPERIMENTS / _EXAMPLE
    spec, testbed = folder / f"{name}.yaml", folder / "testbed.yaml"
    written = _spec((example / f"{_EXAMPLE}.yaml").read_text(encoding="utf-8"), name, spec)
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise UserError(f"{folder} already exists. Name a new folder.") from error
    except OSError as error:
        raise _not_written(folder, error) from error
    try:
        for path in sorted(example.iterdir()):
            if path.stem != _EXAMPLE:
                shutil.copyfile(path, folder / path.name)
        spec.write_text(written, encoding="utf-8")
        testbed.write_text(_testbed((TESTBEDS / "lab.yaml").read_text(encoding="utf-8"), name), encoding="utf-8")
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)  # a partial folder would block another attempt
        if isinstance(error, OSError):
            raise _not_written(folder, error) from error
        raise
    *names, last = sorted(path.name for path in folder.iterdir())
    print(f"Created in {folder}: {', '.join(names)} and {last}.")
    there = as_argument(spec)
    print(f"Next: orch validate {there}, then orch run {there} --tier smoke")


def _not_written(folder: Path, error: OSError) -> UserError:
    return UserError(f"Cannot write {folder}: {error.strerror or error}. Name another folder.")


def _spec(text: str, name: str, path: Path) -> str:
    text = re.sub(r"# yaml-language-server:.*\n", "", text)
    shown = as_argument(path) if str(path).isprintable() else path.name  # in comments
    text = text.replace(f"exp/{_EXAMPLE}/{_EXAMPLE}.yaml", shown)
    text = text.replace("testbed: lab\n", "testbed: testbed.yaml               # a file beside this one\n")
    return text.replace(f"experiment: {_EXAMPLE}", f"experiment: {name}")


def _testbed(text: str, name: str) -> str:
    text = re.sub(r"# yaml-language-server:.*\n", "", text)
    return re.sub(r"(?m)^testbed: .*$", f"testbed: {name}-lab", text)
