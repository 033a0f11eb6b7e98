# SPDX-License-Identifier: Apache-2.0
"""Run commands while one call to the file system fails; started by test_failing_files.py with its library preloaded.

Arguments: the folder for everything, a seed, and the number of cases of each command (0 for all). Prints a line for
each case with a wrong outcome, and finally the number of cases.
"""

import contextlib
import ctypes
import errno
import io
import json
import os
import random
import shutil
import sys
import threading
import traceback
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator import running, store
from orchestrator.analysis import report as report_module
from orchestrator.cli import run as run_module
from orchestrator.cli.app import run_command
from orchestrator.cli.display import LineDisplay
from orchestrator.errors import UserError, refusal
from orchestrator.store.archive import unpack
from orchestrator.store.files import replace_file
from tests.unit.synthetic_run import write_run
from tests.unit.test_run_campaign import Lab

KINDS = ("open", "write", "fsync", "rename", "flock", "mkdir", "unlink")
ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES)
SPEC = {"factors": {"variant": ("vanilla",), "cores": (1,), "tunnels": (1,)}, "repetitions": 2}
ALL = {"ok": 3}

shim = ctypes.CDLL(None)
shim.fuzz_count.restype = ctypes.c_long


def arm(kind: str, number: int, error: int) -> None:
    shim.fuzz_arm(kind.encode(), ctypes.c_long(number), error)


def whole(archive: Path, folder: Path) -> bool:
    """Return whether an archive has all its files, by its own checksums."""
    unpack(archive, folder)
    with zipfile.ZipFile(archive) as packed:
        return packed.testzip() is None and {"run.json", "trials/", "SHA256SUMS"} <= set(packed.namelist())


def export(root: Path) -> int:
    return run_command(["export", str(root / "run"), "--output", str(root / "a.zip")])


def check_export(root: Path, status: int, said: str) -> str:
    archive = root / "a.zip"
    if archive.exists() and not whole(archive, root / "unpacked"):
        return "the archive is not whole"
    return "success without an archive" if status == 0 and not archive.exists() else ""


def verify(root: Path) -> int:
    return run_command(["verify", str(root / "run")])


def check_verify(root: Path, status: int, said: str) -> str:
    file = root / "run" / "claims.json"
    if file.exists():
        json.loads(file.read_text())
        return ""
    return "" if said else "claims.json is not written, without a word"


def report(root: Path) -> int:
    return run_command(["report", str(root / "run")])


def check_report(root: Path, status: int, said: str) -> str:
    run = root / "run"
    if status == 0 and not all((run / name).is_file() for name in ("report.html", "trials.parquet", "claims.json")):
        return "success without a report"
    return "" if not (run / "report.html").exists() or "</html>" in (run / "report.html").read_text() else "half a page"


def campaign(root: Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        lab = Lab(root, patch)
        patch.setenv("XDG_CACHE_HOME", str(root.parent / "cache"))
        summary = lab.run(**SPEC)
        with LineDisplay("uml") as display:
            running._tabulate(summary, display)
        (root / "told").write_text(json.dumps([str(summary.path), summary.statuses["ok"]]))
        return run_module.conclude(summary, "orch run x", True, draws=False)


def check_campaign(root: Path, status: int, said: str) -> str:
    """Check that reported results are stored, and that resuming measures exactly the rest."""
    runs = list((root / "results").glob("*/*/run.json"))
    if not runs:
        return "success without a run" if status == 0 else ""
    run = runs[0].parent
    stored = sum(attempt["status"] == "ok" for attempt in store.read_attempts(run))
    told = json.loads((root / "told").read_text())[1] if (root / "told").exists() else 0
    if stored < told or (status == 0 and stored != ALL["ok"]):
        return f"{told} trials were said to be ok, and {stored} are stored"
    with pytest.MonkeyPatch.context() as patch:
        lab = Lab(root, patch)
        patch.setenv("XDG_CACHE_HOME", str(root.parent / "cache"))
        summary = lab.run(resume=run, **SPEC)
        again = sum(lab.count.values())
    if dict(summary.statuses) != ALL or again != ALL["ok"] - stored:
        return f"going on measured {again} after {stored} were stored: {dict(summary.statuses)}"
    return ""


class CallHere:
    """Stands for `forks.Call`: runs the function in a thread of this process, so that its calls fail too."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self._told: SimpleQueue[Any] = SimpleQueue()
        self._answers: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, args=(function, arguments))
        self._thread.start()

    def _work(self, function: Callable[..., Any], arguments: Sequence[object]) -> None:
        client = SimpleNamespace(send=lambda value: self._answers.put((False, value)), recv=self._told.get)
        try:
            self._answers.put((False, function(client, *arguments)))
        except Exception as error:
            self._answers.put((True, error))

    def send(self, value: object) -> None:
        self._told.put(value)

    def receive(self) -> Any:
        failed, value = self._answers.get()
        if failed:
            raise value
        return value

    def end(self) -> None:
        self._told.put(None)  # a thread cannot be stopped: it runs to its end
        self._thread.join()


@contextlib.contextmanager
def no_kernels(variables: object) -> Iterator[SimpleNamespace]:
    """Stands for the fork server."""
    yield SimpleNamespace(server=SimpleNamespace(call=CallHere))


def draw_nothing(sources: Sequence[Path], run_dir: Path, place: object) -> None:
    """Stands for the execution of notebooks, which other processes do."""
    (run_dir / "notebooks").mkdir(exist_ok=True)
    (run_dir / "figures").mkdir(exist_ok=True)
    for source in sources:
        replace_file(run_dir / "notebooks" / source.name, "{}")


COMMANDS: dict[str, tuple[Callable[[Path], int], Callable[[Path, int, str], str]]] = {
    "export": (export, check_export),
    "verify": (verify, check_verify),
    "report": (report, check_report),
    "run": (campaign, check_campaign),
}


def attempt(command: str, root: Path, kind: str, number: int, error: int) -> tuple[dict[str, int], str]:
    """Run a command with one failing call, and return (calls by kind, what is wrong)."""
    action, check = COMMANDS[command]
    out, err = io.StringIO(), io.StringIO()
    wrong, status = "", -1
    with redirect_stdout(out), redirect_stderr(err):
        arm(kind, number, error)
        try:
            status = action(root)
        except UserError as refused:
            status = refused.exit_status
            print(f"orch: {refused}", file=sys.stderr)
        except OSError as failed:
            told = refusal(failed)
            wrong = "" if told else traceback.format_exc()
            print(f"orch: {told}", file=sys.stderr)
        except Exception:
            wrong = traceback.format_exc()
        counts = {one: shim.fuzz_count(one.encode()) for one in KINDS}
        arm("", -1, 0)
        said = err.getvalue()
        if not wrong:
            try:
                wrong = check(root, status, said)
            except Exception:
                wrong = traceback.format_exc()
    if not wrong and "Traceback" in said:
        wrong = said
    if not wrong and status not in (0, 4) and not said:
        wrong = f"status {status} without a word"
    return counts, wrong


def prepare(command: str, root: Path, model: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    if command != "run":
        shutil.copytree(model, root / "run")
        if command == "export":
            (root / "run" / "report.html").write_text("<p>drawn</p>")


def in_a_fork(command: str, root: Path, model: Path, kind: str, number: int, error: int) -> tuple[dict[str, int], str]:
    prepare(command, root, model)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, json.dumps(attempt(command, root, kind, number, error)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    counts, wrong = json.loads(text) if text else ({}, "it ended without an answer")
    return counts, wrong


def main() -> None:
    base, seed, most = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    root = Path(os.environ["FUZZ_ROOT"])
    model = write_run(base, rounds=1, cores=(1,), tunnels=(1,), variants=("vanilla",))
    report_module.kernels, report_module.execute = no_kernels, draw_nothing
    rng = random.Random(seed)
    done = 0
    for command in COMMANDS:
        prepare(command, root, model)
        attempt(command, root, "none", -1, 0)  # imported here, so that every child has it
        counts, wrong = in_a_fork(command, root, model, "none", -1, 0)
        if wrong:
            print(f"{command} without a fault: {wrong}")
        cases = [(kind, n, error) for kind in KINDS for n in range(1, counts[kind] + 1) for error in ERRORS]
        for kind, n, error in rng.sample(cases, min(most, len(cases))) if most else cases:
            _, wrong = in_a_fork(command, root, model, kind, n, error)
            done += 1
            if wrong:
                print(f"--- {command}, {kind} {n} of {counts[kind]}, {errno.errorcode[error]}: {wrong}", flush=True)
    print(done)


if __name__ == "__main__":
    main()
