# SPDX-License-Identifier: Apache-2.0
"""The environment of kernels where a home folder or a cache cannot be used."""

import os
from pathlib import Path
from typing import Any

import pytest

from orchestrator.analysis.notebook_host import kernels


def test_without_a_home_folder_there_is_one_while_notebooks_are_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(user: int) -> Any:
        raise KeyError(user)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    with kernels() as place:
        assert os.environ["HOME"] == str(place.private.path)
    assert "HOME" not in os.environ


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "MPLCONFIGDIR"])
@pytest.mark.parametrize("place", ["/dev/null", "a file"])
def test_fonts_are_listed_elsewhere_where_their_place_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, place: str
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / place))
    with kernels() as place:
        assert os.environ["MPLCONFIGDIR"] == str(place.private.path / "matplotlib")
