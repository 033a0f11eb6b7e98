# SPDX-License-Identifier: Apache-2.0
"""The kernel's record of polls, read per CPU and counted by time, CPU and NAPI instance."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.agent import polls

A, B = "00000000a1", "00000000b2"


def line(at: float, cpu: int, address: str, device: str, work: int) -> str:
    return (
        f"     kworker/{cpu}:1-wg-77   [{cpu:03}] ..s1. {at:12.6f}: napi_poll: napi poll on napi struct {address} "
        f"for device {device} work {work} budget 64\n"
    )


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(polls, "INSTANCE", str(tmp_path))
    return tmp_path


def result() -> dict[str, Any]:
    found: dict[str, Any] = polls.PollTrace().result()  # type: ignore[no-untyped-call]
    return found


def record(instance: Path, cpu: int, lines: list[str], dropped: int = 0) -> None:
    folder = instance / f"per_cpu/cpu{cpu}"
    folder.mkdir(parents=True)
    (folder / "trace").write_text("# tracer: nop\n#\n" + "".join(lines))
    (folder / "stats").write_text(f"entries: {len(lines)}\noverrun: 0\ndropped events: {dropped}\nread events: 7\n")


def test_polls_are_counted_by_time_cpu_and_napi_instance(instance: Path) -> None:
    record(instance, 0, [line(5.00, 0, A, "wg1", 3), line(5.05, 0, A, "wg1", 0), line(5.15, 0, B, "wg1", 64)])
    record(instance, 1, [line(5.02, 1, A, "wg1", 1), line(5.31, 1, A, "wg1", -1)])
    record(instance, 10, [])
    found = result()
    assert (found["bin_s"], found["lost"]) == (0.1, 0)
    rows = sorted((at, cpu, device, *counts) for at, cpu, _, device, *counts in found["rows"])
    assert rows == [
        (0, 0, "wg1", 2, 3, 1),
        (0, 1, "wg1", 1, 1, 0),
        (1, 0, "wg1", 1, 64, 0),
        (3, 1, "wg1", 1, 0, 1),
    ]
    of_a = {poll for at, cpu, poll, *_ in found["rows"] if (at, cpu) != (1, 0)}
    of_b = {poll for at, cpu, poll, *_ in found["rows"] if (at, cpu) == (1, 0)}
    assert len(of_a) == len(of_b) == 1
    assert of_a != of_b


def test_once_a_cpu_is_missing_no_cpu_is_counted(instance: Path) -> None:
    record(instance, 0, [line(5.0 + 0.09 * number, 0, A, "wg1", 1) for number in range(20)])
    record(instance, 1, [line(5.0, 1, B, "wg2", 1), line(5.55, 1, B, "wg2", 1)], dropped=300)
    found = result()
    assert found["lost"] == 300
    assert {at for at, *_ in found["rows"]} == {0, 1, 2, 3, 4}  # whole tenths of a second before 5.55


def test_no_poll_at_all(instance: Path) -> None:
    record(instance, 0, [])
    assert result()["rows"] == []
