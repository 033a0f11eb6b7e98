# SPDX-License-Identifier: Apache-2.0
"""Machines that stand and are used as any hosts are: by an inventory, over SSH."""

import contextlib
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.testbed.lab.standing import standing_lab
from tests.lab.support import ORCH, orch

# What of a host a run may not leave changed; of what changes by itself, nothing. The kernel remembers that a module of
# nobody's was loaded (tainted), and iproute2 keeps its folder of namespaces mounted, empty.
SNAPSHOT = """
sysctl -a 2>/dev/null | grep -vE 'random|nr_|-nr|dentry|inode|pid|uuid|stat_refresh|entropy|tainted' | sort
lsmod | grep wireguard; ip -details link | grep -v valid_lft; ip address | sed 's/ tentative//'
ip route; ip -6 route; ip netns
cat /sys/class/net/*/queues/rx-0/rps_cpus; cat /sys/devices/system/cpu/online
find /run/orch /run/netns -type f -size +0; grep -v /run/netns /proc/mounts; ls -A /tmp
pgrep -af 'iperf3|orch-agent' | grep -v pgrep
"""


class StandingHosts:
    """The hosts, a testbed file that names them, and a spec to run on them.

    ``text``: of the testbed file, in which INVENTORY is the inventory's path, and MORE what a variation of it adds.
    """

    def __init__(self, folder: Path, text: str, spec: str) -> None:
        self.folder = folder
        self._text = text.replace("INVENTORY", orch("lab", "inventory").stdout.strip())
        self.file = self.testbed("standing.yaml")
        self.spec = folder / "spec.yaml"
        self.spec.write_text(spec)
        self.names = orch("lab", "status").stdout.splitlines()[1:]
        self.names = [line.split(":")[0].strip() for line in self.names]
        found = standing_lab()
        assert found is not None
        self.lab = found[0]
        assert orch("lab", "shell", self.names[0], "echo", "$0", "*").stdout == "$0 *\n"

    def testbed(self, name: str, more: str = "") -> Path:
        file = self.folder / name
        file.write_text(self._text.replace("MORE", more))
        return file

    def on(self, host: str, script: str) -> str:
        """Run a script on a host; what it printed. As `orch lab shell` does it, without starting the program."""
        command = ["ssh", *self.lab.ssh_options(), f"root@{host}", script]
        return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False).stdout

    def send(self, host: str, script: str, file: Path) -> None:
        """Run a script on a host with a file as its standard input."""
        with file.open("rb") as data:
            subprocess.run([*ORCH, "lab", "shell", host, script], stdin=data, check=True, timeout=900)

    def snapshot(self) -> set[str]:
        """What a run may not leave changed, a line each."""
        with ThreadPoolExecutor() as pool:
            told = zip(self.names, pool.map(lambda host: self.on(host, SNAPSHOT), self.names), strict=True)
            return {f"{host}: {line}" for host, text in told for line in text.splitlines()}

    def arguments(self, results: Path, file: Path | None = None) -> tuple[str | Path, ...]:
        """A command line of `orch` that runs the spec on the hosts, without a report."""
        return ("run", self.spec, "--no-report", "--testbed", file or self.file, "--results", results)


@contextlib.contextmanager
def standing_hosts(folder: Path, lab: str | Path, text: str, spec: str, cores: int = 1) -> Iterator[StandingHosts]:
    """Bring up a lab of its own, apart from the user's, and take it down."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        up = orch("lab", "up", lab, "--cores", str(cores))
        assert up.returncode == 0, up.stderr
        try:
            yield StandingHosts(folder, text, spec)
        finally:
            orch("lab", "down")
