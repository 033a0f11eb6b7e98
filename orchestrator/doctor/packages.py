# SPDX-License-Identifier: Apache-2.0
"""The Debian packages of system-packages.txt, which the launcher reads too."""

import glob
import shutil
from dataclasses import dataclass
from pathlib import Path

from orchestrator.requirement import Observation

FILE = Path(__file__).with_name("system-packages.txt")
USES = ("environment", "run", "build", "test", "full")
_OF_THE_LAB = ("run", "build")


@dataclass(frozen=True, slots=True)
class SystemPackage:
    """A line of the list. ``mark``: a command or a file pattern whose presence shows that the package is installed."""

    name: str
    mark: str
    use: str

    def look(self) -> Observation:
        """Return whether this computer has the package's mark, and where."""
        at = next(iter(sorted(glob.glob(self.mark))), None) if self.mark.startswith("/") else shutil.which(self.mark)
        if at:
            return Observation(True, at)
        return Observation(False, "not there", f"Install the Debian package: apt-get install {self.name}")


def system_packages(file: Path = FILE) -> list[SystemPackage]:
    """Return the packages of the list that the lab needs."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].split()
        if text:
            name, mark, use = text
            if use not in USES:
                raise ValueError(f"{file.name}: {name} is for {use!r}, which is none of {', '.join(USES)}")
            if use in _OF_THE_LAB:
                found.append(SystemPackage(name, mark, use))
    return found
