# SPDX-License-Identifier: Apache-2.0
"""Build tools on this computer: what they print is kept and quoted, and nothing of the caller's are options of them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.commands import environment_of_tools, run_logged
from orchestrator.errors import TestbedError


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("flags", ["-n", "--question", "--environment-overrides", "--jobserver-auth=98,99"])
def test_a_build_is_the_same_below_another_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str) -> None:
    (tmp_path / "Makefile").write_text("all:\n\t@echo made $(ARCH) $(KCFLAGS) $(LOCALVERSION) >made\n")
    for name, value in (("MAKEFLAGS", flags), ("MAKELEVEL", "2"), ("KCFLAGS", "-g"), ("LOCALVERSION", "-mine")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ARCH", "arm64")
    said: list[str] = []
    run_logged(["make", "-C", tmp_path, "ARCH=um"], tmp_path / "log", what="Building", on_line=said.append)
    assert (tmp_path / "made").read_text() == "made um\n"
    assert not any("warning" in line for line in said)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_what_is_compiled_and_scripted_is_the_tool_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.h").write_text("#error mine\n")
    (tmp_path / "a.c").write_text("#if __has_include(<mine.h>)\n#error mine\n#endif\nint main(void) { return 0; }\n")
    (tmp_path / "rc").write_text("exit 7\n")
    for name in ("CPATH", "C_INCLUDE_PATH"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("BASH_ENV", str(tmp_path / "rc"))
    compiled = f"cc -c -o {tmp_path}/a.o {tmp_path}/a.c"
    run_logged(["bash", "-c", compiled], tmp_path / "log", what="Building")
    assert (tmp_path / "a.o").exists()


def test_an_archiver_packs_what_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("content")
    monkeypatch.setenv("TAR_OPTIONS", "--exclude=file")
    run_logged(["tar", "-C", tmp_path, "-cf", tmp_path / "a.tar", "file"], tmp_path / "log", what="Packing")
    listed = subprocess.run(["tar", "-tf", tmp_path / "a.tar"], capture_output=True, env=environment_of_tools())
    assert listed.stdout == b"file\n"


def test_what_a_tool_fails_with_is_quoted_from_its_log(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo first; printf 'at \\351'; exit 3"]
    with pytest.raises(TestbedError, match=r"Building failed with status 3\. Its last lines:") as raised:
        run_logged(command, tmp_path / "log", what="Building", keep_log=tmp_path / "kept" / "log")
    assert "at \ufffd" in str(raised.value)
    assert str(tmp_path / "kept" / "log") in str(raised.value)


def test_a_tool_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match=r"Building needs no-such-tool, which is not on this computer\."):
        run_logged(["no-such-tool", "-x"], tmp_path / "log", what="Building")
