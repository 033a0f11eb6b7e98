# SPDX-License-Identifier: Apache-2.0
"""The agent's note of the module that it found is complete, or absent, also after the disk was full."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from orchestrator.agent import module
from tests.unit.no_room import files_of_at_most


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
    with files_of_at_most(0), pytest.raises(OSError, match=f"too large: '{tmp_path}'"):
        module.remember_module()  # no module is loaded without a note on the one before
    module.remember_module()
    loaded.mkdir()
    assert module.put_module_back()
    assert called == [["rmmod", "wireguard"]]
    assert not module.put_module_back()
