# SPDX-License-Identifier: Apache-2.0
"""A run's directory: written so that no finished work is lost, and read back unchanged."""

import errno
import json
import math
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestrator import store
from orchestrator.errors import UserError
from orchestrator.store import files, writing
from orchestrator.store.files import replace_file
from orchestrator.store.output import LONG_BYTES, OUTPUT
from orchestrator.store.tables import accepted

TRAFFIC = {"tool": "iperf3", "protocol": "tcp", "streams": 1, "warm_up_s": 1.0, "duration_s": 3.0}


def trial(number: int) -> dict[str, Any]:
    return {
        "trial_id": f"{number:016x}",
        "kind": "measure",
        "block": 1,
        "round": 1,
        "order": number,
        "repetition": 1,
        "levels": {"variant": "vanilla", "cores": 2, "tunnels": number},
        "topology": "site-to-site",
        "traffic": TRAFFIC,
    }


def description(count: int) -> dict[str, Any]:
    plan = {"topology": "site-to-site", "blocks": [{"cores": 2, "trials": [trial(i) for i in range(1, count + 1)]}]}
    return {"schema": 1, "experiment": "small", "plan": plan, "testbed": {"name": "lab"}, "state": "running"}


def attempt(number: int, which: int = 1, status: str = "ok", **measurements: float) -> dict[str, Any]:
    return {
        **trial(number),
        "attempt": which,
        "testbed": "lab",
        "status": status,
        "reasons": [] if status == "ok" else ["it broke"],
        "started_at": "2026-01-02T03:04:05.678Z",
        "measurements": measurements,
        "probes": {"per_cpu": [{"cpu": 0, "user_s": 1.0, "idle_s": 3.0}]},
    }


@pytest.fixture
def run(tmp_path: Path) -> store.RunDirectory:
    return store.RunDirectory(tmp_path / "run", description(3))


def test_tables_have_a_row_for_every_trial(run: store.RunDirectory) -> None:
    run.add_attempt(attempt(1, 1, "failed"), {"client-1.json": "{}"})
    run.add_attempt(attempt(1, 2, throughput_bps=1e9), {})
    run.add_attempt(attempt(2, 1, "invalid", throughput_bps=5e8), {})
    run.finish("finished")
    store.write_tables(run.path)
    trials = pq.read_table(run.path / "trials.parquet").to_pylist()
    attempts = pq.read_table(run.path / "attempts.parquet").to_pylist()
    assert [row["status"] for row in trials] == ["ok", "invalid", "missing"]
    assert [row["attempts"] for row in trials] == [2, 1, 0]
    assert trials[0]["throughput_bps"] == 1e9
    assert math.isclose(trials[0]["cpu_busy"], 0.25)
    assert trials[2]["tunnels"] == 3
    assert [(row["order"], row["attempt"], row["status"]) for row in attempts] == [
        (1, 1, "failed"),
        (1, 2, "ok"),
        (2, 1, "invalid"),
    ]


def test_an_attempt_is_never_overwritten(run: store.RunDirectory) -> None:
    run.add_attempt(attempt(1), {})
    with pytest.raises(FileExistsError):
        run.add_attempt(attempt(1, throughput_bps=9e9), {})
    assert store.read_attempts(run.path)[0]["measurements"] == {}
    assert run.next_attempt(trial(1)["trial_id"]) == 2


def test_long_output_of_tools_is_in_one_file_but_for_what_is_read_again(run: store.RunDirectory) -> None:
    raw = {f"client-{number}.json": f"{number}" * 8192 for number in range(1, 10)} | {"polls.json": "{}"}
    folder = run.add_attempt(attempt(1), raw)
    assert sorted(path.name for path in folder.iterdir()) == ["attempt.json", OUTPUT, "polls.json"]
    with tarfile.open(folder / OUTPUT) as members:
        found = {one.name: content.read().decode() for one in members if (content := members.extractfile(one))}
    assert found == {name: text for name, text in raw.items() if name != "polls.json"}
    again = run.add_attempt(attempt(1, 2), dict(reversed(raw.items())))
    assert (again / OUTPUT).read_bytes() == (folder / OUTPUT).read_bytes()


def test_short_output_of_tools_is_a_file_each(run: store.RunDirectory) -> None:
    raw = {"client-1.json": "a" * LONG_BYTES, "profile.json": "b" * LONG_BYTES}
    folder = run.add_attempt(attempt(1), raw)
    assert {path.name: path.read_text() for path in folder.iterdir() if path.name in raw} == raw


def test_an_attempt_that_cannot_be_stored_leaves_nothing(run: store.RunDirectory) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.add_attempt(attempt(1, throughput_bps=math.nan), {"client-1.json": "{}"})
    assert store.read_attempts(run.path) == []
    assert list((run.path / "trials").glob("*/*")) == []
    assert run.next_attempt(trial(1)["trial_id"]) == 1


def test_what_was_cut_off_does_not_count(run: store.RunDirectory) -> None:
    run.add_attempt(attempt(1), {})
    cut = run.path / "trials" / trial(2)["trial_id"] / ".1.abcd.tmp"
    cut.mkdir(parents=True)
    (cut / "attempt.json").write_text(json.dumps(attempt(2)))
    assert [found["order"] for found in store.read_attempts(run.path)] == [1]


def test_the_journal_tells_what_happened(run: store.RunDirectory) -> None:
    run.add_attempt(attempt(1, 1, "failed"), {})
    run.finish("interrupted")
    events = [json.loads(line) for line in (run.path / "journal.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["run-started", "attempt", "run-ended"]
    assert events[1]["reasons"] == ["it broke"]
    assert store.read_run(run.path)["state"] == "interrupted"


def test_replacing_a_file_keeps_the_old_one_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "file"
    replace_file(target, "old")
    with pytest.raises(TypeError):
        replace_file(target, 5)  # type: ignore[arg-type]
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_is_no_run_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run's directory"):
        store.read_run(tmp_path)
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(UserError, match="is not a valid run of orch: it is not an object"):
        store.read_run(tmp_path)


def test_the_first_ok_attempt_stands_for_its_trial() -> None:
    attempts = [attempt(1, 1, "failed"), attempt(1, 2, "ok"), attempt(1, 3, "ok")]
    found = accepted(attempts)
    assert found is not None
    assert found["attempt"] == 2
    assert accepted(attempts[:1]) == attempts[0]
    assert accepted([]) is None


def full_after(run: store.RunDirectory, monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
    """Make the disk full after a number of further files, as long as the reserve exists."""
    real = files.write_synced
    left = iter(range(writes))

    def write(path: Path, data: bytes) -> None:
        if (run.path / ".reserve").exists() and next(left, None) is None:
            path.write_bytes(data[:10])  # what fits
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data)

    monkeypatch.setattr(files, "write_synced", write)
    monkeypatch.setattr(writing, "write_synced", write)


def test_the_attempt_that_finds_the_disk_full_is_stored_in_the_reserve(
    run: store.RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (run.path / ".reserve").stat().st_size == writing.RESERVE_BYTES
    full_after(run, monkeypatch, 1)
    run.add_attempt(attempt(1, throughput_bps=1e9), {"client-1.json": "{}" * 1000})
    assert [found["status"] for found in store.read_attempts(run.path)] == ["ok"]
    assert not list(run.path.rglob("*.tmp"))
    with pytest.raises(store.StoreError, match="its disk is full") as caught:
        run.check_room()
    assert f"--resume {run.path}" in str(caught.value)
    run.finish("stopped")
    assert store.read_run(run.path)["state"] == "stopped"


def test_without_a_reserve_a_full_disk_leaves_nothing_half(
    run: store.RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (run.path / ".reserve").unlink()
    monkeypatch.setattr(writing, "write_synced", write)
    with pytest.raises(store.StoreError):
        run.add_attempt(attempt(1), {})
    assert not list((run.path / "trials").glob("*/*"))


def test_a_run_is_opened_again_with_what_a_power_loss_left_mended(run: store.RunDirectory) -> None:
    run.add_attempt(attempt(1), {})
    run.add_attempt(attempt(2), {})
    run.close()
    cut = run.path / "trials" / trial(3)["trial_id"] / ".1.abcd.tmp"
    cut.mkdir(parents=True)
    (run.path / ".run.json.abcd.tmp").write_text("{")
    (run.path / "trials" / trial(2)["trial_id"] / "1" / "attempt.json").write_bytes(b"\0" * 100)
    with (run.path / "journal.jsonl").open("a") as journal:
        journal.write('{"at": "2026-')
    with pytest.raises(UserError, match="cannot be read"):
        store.read_attempts(run.path)
    again, attempts = store.RunDirectory.reopen(run.path)
    assert [found["order"] for found in attempts] == [1]
    assert not list(run.path.rglob("*.tmp"))
    assert again.next_attempt(trial(2)["trial_id"]) == 1
    again.add_attempt(attempt(2), {})
    again.close()
    assert [found["order"] for found in store.read_attempts(run.path)] == [1, 2]
    assert len(list(run.path.glob("trials/*/damaged-1-*"))) == 1
    lines = (run.path / "journal.jsonl").read_text().splitlines()
    assert sum(line.startswith('{"at": "2026-') and line.endswith("}") for line in lines) == len(lines) - 1


def test_a_run_has_one_writer(run: store.RunDirectory) -> None:
    with pytest.raises(UserError, match="Another process is writing"):
        store.RunDirectory.reopen(run.path)
    run.close()
    again, _ = store.RunDirectory.reopen(run.path)
    again.close()


def rounds(block: int, count: int) -> dict[str, Any]:
    trials = [{**trial(100 * block + n), "block": block, "round": n} for n in range(1, count + 1)]
    return {"index": block, "cores": 2, "trials": trials}


def test_rounds_that_were_not_needed_have_no_row_and_a_given_up_block_has_its_reason(tmp_path: Path) -> None:
    plan = {
        "topology": "site-to-site",
        "blocks": [rounds(1, 9), rounds(2, 9), rounds(3, 9)],
        "repetitions": {"min": 3, "max": 9, "width": 0.05},
    }
    gaps = [{"block": 2, "reason": "it burnt"}]
    run = store.RunDirectory(tmp_path / "run", {**description(0), "plan": plan, "given_up": gaps})
    run.add_attempt({**attempt(101), "round": 1}, {})
    run.add_attempt({**attempt(305), "block": 3, "round": 5}, {})
    run.write_stopping([{"block": 1, "rounds": 4}, {"block": 1, "rounds": 4}])
    run.finish("stopped")
    rows = store.tables(run.path)[0].to_pylist()
    assert [(b, sum(row["block"] == b for row in rows)) for b in (1, 2, 3)] == [(1, 4), (2, 3), (3, 5)]
    assert {row["reasons"] for row in rows if row["block"] == 2} == {"it burnt"}
