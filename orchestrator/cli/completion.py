# SPDX-License-Identifier: Apache-2.0
"""The values of options and arguments that a shell completes.

Where a function returns nothing, the shell completes the names of files.
"""

import contextlib
from pathlib import Path
from typing import Any

import typer

from orchestrator.paths import CLAIMS, EXPERIMENTS, TESTBEDS


def claims(incomplete: str) -> list[str]:
    """Return the names of the paper's claims that begin with ``incomplete``."""
    return sorted(name for path in CLAIMS.glob("*.yaml") if (name := path.stem.upper()).startswith(incomplete))


def testbeds(incomplete: str) -> list[str]:
    """Return the names of the shipped testbeds that begin with ``incomplete``."""
    return sorted(path.stem for path in TESTBEDS.glob("*.yaml") if path.stem.startswith(incomplete))


def tiers(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the tiers that begin with ``incomplete``: those of the spec, or of the claim's spec, which the command
    line names; none if it names neither or the file cannot be read.
    """
    # Where an option still lacks its value, Click has not yet assigned the arguments.
    named = str(ctx.params.get("spec") or ctx.params.get("claim") or next(iter(ctx.args), ""))
    experiment = _read(CLAIMS / f"{named.lower()}.yaml").get("experiment")
    names = _read(EXPERIMENTS / f"{experiment}.yaml" if experiment else Path(named)).get("tiers")
    return [name for name in names if str(name).startswith(incomplete)] if isinstance(names, dict) else []


def _read(path: Path) -> dict[str, Any]:
    """Return a file's mapping, or an empty one if it has none."""
    import yaml

    with contextlib.suppress(OSError, ValueError, yaml.YAMLError):
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}
