# SPDX-License-Identifier: Apache-2.0
"""The caller's streams, signals and variables: none of them stops a command or changes its effect."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator.cli import ulimits
from orchestrator.cli.app import run_command
from orchestrator.cli.display import LineDisplay
from orchestrator.cli.run import open_display
from orchestrator.paths import CHECKOUT
from orchestrator.store.tables import write_tables
from tests.unit.synthetic_run import write_run

ORCH = [sys.executable, "-c", "import sys; from orchestrator.cli.app import main; sys.argv[0] = 'orch'; main()"]
PREPARED = "import os, signal, subprocess, sys\nfrom orchestrator.cli import streams\nstreams.prepare()\n"


def run_in(shell: str, command: Sequence[str], folder: Path, **variables: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a command by a line of shell in which it is "$@"."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), **variables}
    return subprocess.run(["sh", "-c", shell, "sh", *command], cwd=folder, env=environment, capture_output=True)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_nowhere_also_for_what_it_starts(tmp_path: Path, closed: str) -> None:
    assert run_in(f'"$@" {closed}', [*ORCH, "--version"], tmp_path).returncode == 0
    code = PREPARED + "sys.exit(subprocess.run(['sh', '-c', 'echo x; echo y >&2']).returncode)"
    assert run_in(f'"$@" {closed}', [sys.executable, "-c", code], tmp_path).returncode == 0


@pytest.mark.parametrize("turned", ["1</dev/null", "2</dev/null", "0>/dev/null"])
def test_streams_for_the_other_direction_lead_nowhere(tmp_path: Path, turned: str) -> None:
    done = run_in(f'"$@" {turned}', [*ORCH, "--version"], tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    code = (
        PREPARED + "print('x', flush=True); print('y', file=sys.stderr, flush=True); sys.exit(sys.stdin.read(1) != '')"
    )
    assert run_in(f'"$@" {turned}', [sys.executable, "-c", code], tmp_path).returncode == 0


def test_what_programs_end_with_is_known_also_where_the_caller_ignores_that_they_end(tmp_path: Path) -> None:
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    code = PREPARED + "print(subprocess.run(['sh', '-c', 'exit 7']).returncode)"
    command = [sys.executable, "-c", ignoring, sys.executable, "-c", code]
    assert run_in('"$@"', command, tmp_path).stdout == b"7\n"


def test_what_an_encoding_lacks_is_a_question_mark_and_a_name_of_a_file_stays(tmp_path: Path) -> None:
    code = PREPARED + "print('a\\u2713b \\udce9')"
    done = run_in('"$@"', [sys.executable, "-c", code], tmp_path, PYTHONIOENCODING="ascii")
    assert done.stdout == b"a?b \xe9\n"
    assert run_in('"$@"', [sys.executable, "-c", code], tmp_path, PYTHONUTF8="1").stdout == b"a\xe2\x9c\x93b \xe9\n"


@pytest.mark.parametrize("fd", [1, 2])
def test_a_reader_that_has_ended_stops_nothing(tmp_path: Path, fd: int) -> None:
    code = PREPARED + (
        f"stream = (sys.stdout, sys.stderr)[{fd - 1}]\n"
        "for _ in range(2000):\n    print('x' * 100, file=stream, flush=True)\n"
        "open('done', 'w').close()"
    )
    run_in('"$@" 2>&1 | head -n 1', [sys.executable, "-c", code], tmp_path)
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("fd", [1, 2])
def test_a_pipe_that_is_full_and_does_not_block_is_waited_for(tmp_path: Path, fd: int) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    code = PREPARED + f"print('x' * 300_000, file=(sys.stdout, sys.stderr)[{fd - 1}], flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=writing if fd == 1 else None,
        stderr=writing if fd == 2 else None,
    )
    full = select.poll()
    full.register(writing, select.POLLOUT)
    while full.poll(0) and process.poll() is None:
        time.sleep(0.01)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"x" * 300_000 + b"\n"
    assert process.wait() == 0


def test_output_that_a_full_disk_does_not_take_is_no_success(tmp_path: Path) -> None:
    done = run_in('"$@" >/dev/full', [*ORCH, "schema"], tmp_path)
    assert done.returncode == 3
    assert done.stderr.decode().count("\n") == 1
    assert b"No space left" in done.stderr
    code = PREPARED + "print('x', file=sys.stderr, flush=True); print('y')"
    assert run_in('"$@" 2>/dev/full', [sys.executable, "-c", code], tmp_path).stdout == b"y\n"


def test_sizes_of_no_terminal_are_forgotten(tmp_path: Path) -> None:
    code = PREPARED + "print(os.environ.get('COLUMNS'), os.environ.get('LINES'))"
    for given, left in (("0", "None"), ("x", "None"), ("", "None"), ("90", "90")):
        done = run_in('"$@"', [sys.executable, "-c", code], tmp_path, COLUMNS=given, LINES="30")
        assert done.stdout.decode().split() == [left, "30"]


def test_signals_are_as_ctrl_c_unless_the_caller_ignores_them(tmp_path: Path) -> None:
    code = PREPARED + (
        "import time\n"
        "try:\n    os.kill(os.getpid(), getattr(signal, sys.argv[1])); time.sleep(0.01); print('went on')\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
    )
    said = {}
    for name in ("SIGTERM", "SIGHUP"):
        for shell in ('"$@"', f'trap "" {name.removeprefix("SIG")}; "$@"'):
            said[name, shell[:4]] = run_in(shell, [sys.executable, "-c", code, name], tmp_path).stdout.decode().strip()
    assert said == {
        ("SIGTERM", '"$@"'): "interrupted",
        ("SIGTERM", "trap"): "went on",
        ("SIGHUP", '"$@"'): "interrupted",
        ("SIGHUP", "trap"): "went on",
    }


def test_a_second_hangup_does_not_disturb_what_is_put_in_order(tmp_path: Path) -> None:
    code = PREPARED + (
        "try:\n    os.kill(os.getpid(), signal.SIGHUP)\n"
        "except KeyboardInterrupt:\n    os.kill(os.getpid(), signal.SIGHUP); print('in order')\n"
    )
    assert run_in('"$@"', [sys.executable, "-c", code], tmp_path).stdout == b"in order\n"


def test_ctrl_c_ends_a_process_without_a_traceback_while_it_is_imported_and_after(tmp_path: Path) -> None:
    begin = "import os, signal, sys, types\nfrom orchestrator.cli import start\nsys.argv = ['orch', '--version']\n"
    at_import = begin + (
        "class Typer:\n    def find_spec(self, name, *more):\n"
        "        if name == 'typer':\n            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Typer())\nstart.main()\n"
    )
    done = run_in('"$@"; exit $?', [sys.executable, "-c", at_import], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
    later = begin + (
        "from orchestrator.cli import app\n"
        "app._refuse_empty = lambda arguments: os.kill(os.getpid(), signal.SIGINT)\nstart.main()\n"
    )
    done = run_in('"$@"; exit $?', [sys.executable, "-c", later], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"orch: interrupted\n")
    ignoring = run_in('trap "" INT; "$@"', [sys.executable, "-c", later], tmp_path)
    assert (ignoring.returncode, ignoring.stderr) == (0, b"")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_no_signal_disturbs_the_end_of_a_process(tmp_path: Path, name: str) -> None:
    code = (
        "import atexit, os, signal, sys\nfrom orchestrator.cli.app import main\n"
        f"atexit.register(lambda: (os.kill(os.getpid(), signal.{name}), print('in order')))\n"
        "sys.argv = ['orch', '--version']\nmain()\n"
    )
    done = run_in('"$@"', [sys.executable, "-c", code], tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"\nin order\n")


def test_a_list_leaves_no_thread_that_reads_while_the_process_ends(tmp_path: Path) -> None:
    run = write_run(tmp_path, rounds=1, cores=(2,), tunnels=(1,))
    write_tables(run)
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom pyarrow import parquet\n"
        "from orchestrator.cli.list import _statuses\n"
        "run, threads = Path(sys.argv[1]), lambda: len(os.listdir('/proc/self/task'))\n"
        "before = threads()\nfor _ in range(5):\n    assert list(_statuses(run))\n"
        "assert (run / 'trials.parquet').exists()\nprint(threads() - before)\n"
    )
    done = run_in('"$@"', [sys.executable, "-c", code, str(run)], tmp_path)
    assert done.stdout in (b"0\n", b"1\n"), done.stderr


def test_memory_that_runs_out_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def exhausted(arguments: list[str]) -> None:
        raise MemoryError

    monkeypatch.setattr("orchestrator.cli.app._refuse_empty", exhausted)
    assert run_command(["list"]) == 3
    assert "no memory left" in capsys.readouterr().err


def test_colours_that_are_wished_for_in_a_file_are_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    display = open_display("uml")
    assert isinstance(display, LineDisplay)
    display.message("something")
    assert capsys.readouterr().err.endswith("\x1b[33msomething\x1b[0m\n")
    monkeypatch.delenv("FORCE_COLOR")
    open_display("uml").message("something")
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["report", ""], ["run", "x.yaml", "--resume", ""], ["run", "--results="]])
def test_an_empty_name_is_not_the_current_folder(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(arguments) == 2
    assert "empty" in capsys.readouterr().err


LIMITED = """\
import resource, sys
from orchestrator.cli import app
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]),) * 2)
sys.exit(app.run_command(sys.argv[3:]))
"""


@pytest.mark.parametrize("command", ["list", "verify", "compare", "report", "run", "notebook"])
def test_a_limit_of_the_address_space_is_said_before_a_library_meets_it(tmp_path: Path, command: str) -> None:
    limit = ulimits.needed_mib(command) - 1 << 20
    done = run_in('"$@"', [sys.executable, "-c", LIMITED, "", str(limit), command, "x"], tmp_path)
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.startswith(b"orch: `ulimit -v` allows ")
    assert f"`orch {command}` needs {ulimits.needed_mib(command)} MiB".encode() in done.stderr
    helped = run_in('"$@"', [sys.executable, "-c", LIMITED, "", str(limit), command, "--help"], tmp_path)
    assert helped.returncode == 0, helped.stderr


def test_a_run_is_verified_with_no_more_address_space_than_is_said_to_be_needed(tmp_path: Path) -> None:
    run = write_run(tmp_path, rounds=1, cores=(2,), tunnels=(1,))
    limit = ulimits.needed_mib("verify") << 20
    done = run_in('"$@"', [sys.executable, "-c", LIMITED, "", str(limit), "verify", str(run)], tmp_path)
    assert done.returncode == 4, done.stderr


@pytest.mark.parametrize(("soft", "hard", "status"), [(24, 24, 3), (24, 4096, 2)])
def test_a_limit_of_open_files_is_raised_or_said_before_a_library_meets_it(
    tmp_path: Path, soft: int, hard: int, status: int
) -> None:
    limited = LIMITED.replace("RLIMIT_AS", "RLIMIT_NOFILE").replace("(int(sys.argv[2]),) * 2", f"({soft}, {hard})")
    done = run_in('"$@"', [sys.executable, "-c", limited, "", "", "report", "x"], tmp_path)
    assert (done.returncode, done.stdout) == (status, b"")
    said = f"orch: `ulimit -n` allows {soft} open files, and `orch report` needs {ulimits.DRAWING_FILES}."
    assert (said in done.stderr.decode()) is (status == 3)


def test_threads_that_run_out_are_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def exhausted(arguments: list[str]) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("orchestrator.cli.app._refuse_empty", exhausted)
    assert run_command(["list"]) == 3
    assert "no thread can be started" in capsys.readouterr().err


def test_a_current_folder_that_was_removed_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for arguments in (["list"], ["report", str(tmp_path)], ["run", "exp/scaling.yaml"]):
        assert run_command(arguments) == 2
        assert "The current folder has been removed" in capsys.readouterr().err
    assert run_command(["--help"]) == 0
