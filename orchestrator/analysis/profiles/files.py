# SPDX-License-Identifier: Apache-2.0
"""The files of a run's profiles: for each profiled cell a flame graph and a file that speedscope opens."""

import json
import re
from pathlib import Path

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.profiles.flame import flame_graph
from orchestrator.analysis.profiles.samples import Profile
from orchestrator.analysis.profiles.speedscope import speedscope
from orchestrator.store.files import replace_file

FOLDER = "profiles"


def file_stem(profile: Profile) -> str:
    """Return the name of a cell's files without extension, such as inline-cores-2-tunnels-2."""
    words = [profile.key.variant, *(f"{name}-{level}" for name, level in profile.key.items() if name != "variant")]
    return re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(words)).strip("-")


def write_profiles(run: Run, folder: Path) -> list[Path]:
    """Write STEM.svg and STEM.speedscope.json for every profiled cell, and return the paths of the flame graphs.

    The folder is created only if there are any. Raises OSError if a file cannot be written.
    """
    written = []
    for profile in run.profiles:
        folder.mkdir(exist_ok=True)
        stem = file_stem(profile)
        replace_file(folder / f"{stem}.speedscope.json", json.dumps(speedscope(profile), separators=(",", ":")))
        replace_file(folder / f"{stem}.svg", flame_graph(profile))
        written.append(folder / f"{stem}.svg")
    return written
