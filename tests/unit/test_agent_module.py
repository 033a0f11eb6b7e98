# SPDX-License-Identifier: Apache-2.0
"""What the agent notes about the module that it found outlasts a full disk: a limit on the size of files stands for
one."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from orchestrator.agent import module


@contextmanager
def no_room() -> Iterator[None]:
    """Let no file of this process grow: writing fails as it does on a full disk, and leaves an empty file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_a_module_is_unloaded_afterwards_even_if_the_disk_was_full_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, called = tmp_path / "module", []

    def call(arguments: list[str]) -> str:
        called.append(arguments)
        loaded.rmdir()
        return ""

    monkeypatch.setattr(module, "FOUND_LOADED", str(tmp_path / "module-before"))
    monkeypatch.setattr(module, "RUNTIME", str(tmp_path))
    monkeypatch.setattr(module, "MODULE", str(loaded))
    monkeypatch.setattr(module, "call", call)
    monkeypatch.setattr(module, "short_grace_periods", nullcontext)
    with no_room(), pytest.raises(OSError, match=f"too large: '{tmp_path}'"):
        module.remember_module()  # no module is loaded without a note on the one before
    module.remember_module()
    loaded.mkdir()
    assert module.put_module_back()
    assert called == [["rmmod", "wireguard"]]
    assert not module.put_module_back()
