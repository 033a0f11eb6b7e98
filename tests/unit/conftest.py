# SPDX-License-Identifier: Apache-2.0
"""A real SSH server for the tests that log in, and the processes of a trial on this computer."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path

import pytest

from orchestrator.agent import processes
from orchestrator.agent.processes import TrialProcesses
from tests.unit import sshd
from tests.unit.ssh_site import Site


@pytest.fixture(autouse=True)
def no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output is not broken to the width of whoever started the tests; pytest's parallel workers have one as well."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[sshd.Server]:
    root = sshd.find_sshd(Path(request.config.cache.mkdir("sshd")))
    if root is None or not shutil.which("gcc"):
        pytest.skip("needs sshd, or package sources that have openssh-server; and gcc")
    started = sshd.Server(tmp_path_factory.mktemp("sshd"), root)
    yield started
    started.close()


@pytest.fixture(scope="session")
def ssh_keys(ssh_server: sshd.Server) -> tuple[Path, Path]:
    good, other = sshd.make_key(ssh_server.folder / "good"), sshd.make_key(ssh_server.folder / "other")
    ssh_server.authorized.write_text(Path(f"{good}.pub").read_text())
    return good, other


@pytest.fixture(scope="session")
def ssh_programs(tmp_path_factory: pytest.TempPathFactory, ssh_server: sshd.Server) -> Path:
    return sshd.Home.programs_in(tmp_path_factory.mktemp("programs"))


@pytest.fixture
def traffic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrialProcesses:
    """Return the processes of a trial, on this computer and in no role."""
    monkeypatch.setattr(processes, "RUNTIME", str(tmp_path))
    monkeypatch.setattr(processes, "acting_as", lambda role: nullcontext())
    return TrialProcesses()


@pytest.fixture
def site(
    ssh_server: sshd.Server,
    ssh_keys: tuple[Path, Path],
    ssh_programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    home = sshd.Home.make(tmp_path / "home", ssh_programs)
    monkeypatch.setenv("HOME", str(home.folder))
    monkeypatch.setenv("PATH", f"{ssh_programs}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state of mine"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.chdir(tmp_path)
    names = ("there", "jumper", "[127.0.0.1]", "[::1]")
    places = [f"{name if name.startswith('[') else f'[{name}]'}:{ssh_server.port}" for name in names]
    (home.ssh / "known_hosts").write_text(ssh_server.host_line(*places))
    with ExitStack() as ends:
        made = Site(ssh_server, home, *ssh_keys, monkeypatch, ends, tmp_path)
        made.config()
        made.pin()
        yield made
