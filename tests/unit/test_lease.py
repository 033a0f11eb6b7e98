# SPDX-License-Identifier: Apache-2.0
"""Leases of this computer: one run at a time, whose testbeds may share one."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.errors import TestbedError
from orchestrator.testbed.lease import has_ended, holder_now, lease

HOLD = """
import sys
from pathlib import Path
import orchestrator.testbed.lease as leases

leases._OF_COMPUTER = Path(sys.argv[1])
with leases.lease("l", run=sys.argv[2] or None):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.testbed.lease._OF_COMPUTER", tmp_path)


@contextlib.contextmanager
def held_elsewhere(folder: Path, run: str | None) -> Iterator[None]:
    """Hold the lease in another process."""
    command = [sys.executable, "-c", HOLD, str(folder), run or ""]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
        process.kill()


def test_testbeds_of_one_run_share_a_lease_in_one_process_and_in_several(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path, "one"), lease("l", wait=False, run="one"), lease("l", wait=False, run="one"):
        pass


@pytest.mark.parametrize(("held", "asked"), [("one", "two"), ("one", None), (None, "one"), (None, None)])
def test_another_run_has_to_wait(tmp_path: Path, held: str | None, asked: str | None) -> None:
    with (
        held_elsewhere(tmp_path, held),
        pytest.raises(TestbedError, match="The l of this computer is in use by process"),
        lease("l", wait=False, run=asked),
    ):
        pass
    with lease("l", wait=False, run=asked):  # it was released with the process
        pass


def test_it_is_shared_until_the_last_has_left() -> None:
    first = contextlib.ExitStack()
    first.enter_context(lease("l", run="one"))
    with lease("l", run="one"):
        first.close()
        with pytest.raises(TestbedError), lease("l", wait=False):
            pass
    with lease("l", wait=False):
        pass


def test_who_waits_gets_it_in_the_end(tmp_path: Path) -> None:
    told: list[str] = []
    with contextlib.ExitStack() as other:
        other.enter_context(held_elsewhere(tmp_path, "one"))

        def let_go(who: str) -> None:
            told.append(who)
            other.close()

        with lease("l", on_wait=let_go, run="two"):
            assert "kill" in told[0]


def test_a_process_of_this_computer_that_is_there_no_more_has_ended() -> None:
    mine = holder_now()
    assert not has_ended(mine)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        began = Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19]
        theirs = {**mine, "pid": other.pid, "started": began}
        assert not has_ended(theirs)
        assert has_ended({**theirs, "started": "7"})  # another process that had this number before
        other.communicate(b"")
    assert has_ended(theirs)


@pytest.mark.parametrize("processes", ["another boot 4026531836", None])
def test_what_became_of_a_process_elsewhere_is_not_known(processes: str | None) -> None:
    assert not has_ended({**holder_now(), "processes": processes, "pid": 2**30})
