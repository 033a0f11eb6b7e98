# SPDX-License-Identifier: Apache-2.0
"""The fork server: what a called function sends, returns and raises, and what is told when its process is killed."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.analysis.forks import ForkServer, serve
from orchestrator.analysis.notebook_host import kernels
from orchestrator.errors import UserError


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    # PYTHONPATH: a kernel of a notebook finds the package by it; here the server finds this module too.
    found = ForkServer({**os.environ, "PYTHONPATH": os.getcwd()})
    yield found
    found.close()


def doubled(client: Any, first: int) -> str:
    client.send(os.getpid())
    return f"{first * client.recv()}"


def refused(client: Any) -> None:
    raise UserError("The file is missing.")


class Unportable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__("it broke")


def broken(client: Any) -> None:
    raise Unportable(1, 2)


def killed(client: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_function_runs_in_a_process_of_its_own_and_exchanges_values(server: ForkServer) -> None:
    calls = [server.call(doubled, number) for number in (3, 4)]
    pids = [call.receive() for call in calls]
    assert pids == [call.process.pid for call in calls]
    for call in calls:
        call.send(5)
    assert [call.receive() for call in calls] == ["15", "20"]
    assert [call.process.wait(60) for call in calls] == [-1, -1]


def test_an_error_of_the_function_is_raised_here_with_where_it_arose(server: ForkServer) -> None:
    with pytest.raises(UserError, match=r"The file is missing\.") as raised:
        server.call(refused).receive()
    assert "in refused" in raised.value.__notes__[0]
    with pytest.raises(RuntimeError, match="Unportable: it broke") as other:
        server.call(broken).receive()
    assert "in broken" in other.value.__notes__[0]


def test_a_process_that_is_killed_is_a_sentence_and_the_server_goes_on(server: ForkServer) -> None:
    with pytest.raises(UserError, match="ended before its work was done"):
        server.call(killed).receive()
    call = server.call(doubled, 1)
    pid = call.receive()
    call.end()
    assert call.process.wait(60) == -1
    assert pid == call.process.pid


def test_a_server_that_has_ended_is_a_sentence() -> None:
    other = ForkServer({**os.environ, "PYTHONPATH": os.getcwd()})
    other._server.kill()
    other._server.wait()
    with pytest.raises(UserError, match="imports pandas and matplotlib ended"):
        other.call(serve)
    other.close()


def test_a_kernel_is_a_kernel_in_a_list_of_processes(server: ForkServer, tmp_path: Path) -> None:
    kernel = server.kernel(["-f", str(tmp_path / "connection.json")], os.environ, str(tmp_path))
    try:
        deadline = time.monotonic() + 60
        while b"ipykernel_launcher" not in (shown := Path(f"/proc/{kernel.pid}/cmdline").read_bytes()):
            assert time.monotonic() < deadline, shown
            time.sleep(0.05)
        assert shown.startswith(b"python\0-m\0ipykernel_launcher\0-f\0")
    finally:
        kernel.kill()


def font_size(client: Any) -> float:
    import matplotlib as mpl

    return float(mpl.rcParams["font.size"])


def test_settings_of_figures_in_the_current_folder_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "matplotlibrc").write_text("font.size: 40\nno setting: 1\n")
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", os.getcwd())
        patch.setenv("MATPLOTLIBRC", str(tmp_path / "matplotlibrc"))
        patch.setenv("MPLCONFIGDIR", str(tmp_path))
        patch.chdir(tmp_path)
        with kernels() as place:
            assert place.server.call(font_size).receive() == 10
