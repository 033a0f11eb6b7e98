# SPDX-License-Identifier: Apache-2.0
"""A run's features in Jupyter, and `orch notebook`."""

import contextlib
import io
import json
import os
import sys
import warnings
from pathlib import Path

import pytest

import orchestrator as orch
from orchestrator.analysis.cells import curve_bps
from orchestrator.analysis.exploring import notebook_of
from orchestrator.cli import notebook
from orchestrator.cli.app import run_command
from orchestrator.errors import UserError
from orchestrator.publish import export_run
from tests.unit.synthetic_run import write_run


def exact(variant: str, cores: int, tunnels: int, rng: object) -> float:
    """Return numbers in which a tenth of the work is serial, for every variant."""
    parallel = min(cores, tunnels)
    return {"none": 40e9, "vanilla": 1e9}.get(variant, 2e9) * parallel / (1 + 0.1 * (parallel - 1))


def test_a_run_has_what_it_can_do_as_methods(tmp_path: Path) -> None:
    run = orch.load(write_run(tmp_path, speed=exact, cores=(1, 2, 4, 8), tunnels=(1, 0), rounds=3, boots=2))
    assert list(run.ratios()["median"]) == pytest.approx([2.0] * len(run.ratios()))
    assert set(run.efficiencies()["cores"]) == {2, 4, 8}
    assert [verdict.claim for verdict in run.verify()] == ["C1", "C2", "C3", "C4", "C5", "C6"]
    assert set(run.compare(run).cells["outcome"]) == {"no difference seen"}
    fits = run.fits().set_index(["variant", "tunnels", "law"])
    amdahl = fits.loc[("vanilla", "per core", "Amdahl")]
    assert amdahl["sigma"] == pytest.approx(0.1)
    assert amdahl["sigma_low"] == pytest.approx(0.1)
    assert amdahl["one_core_bps"] == pytest.approx(1e9)
    assert curve_bps(amdahl, 16) == pytest.approx(16e9 / 2.5)
    assert fits.loc[("vanilla", "per core", "USL"), "kappa"] == pytest.approx(0, abs=1e-9)
    assert {"per core", "1"} == set(run.fits()["tunnels"])


def test_a_law_that_was_not_fitted_says_why(tmp_path: Path) -> None:
    fits = orch.load(write_run(tmp_path, cores=(1, 2, 4), tunnels=(0,))).fits()
    by_law = fits[fits["variant"] == "vanilla"].set_index("law")
    assert by_law["fitted"].to_dict() == {"Amdahl": True, "USL": False}
    assert "3 core counts, and USL needs 4" in by_law.loc["USL", "reason"]
    assert by_law.loc["Amdahl", ["sigma_low", "sigma_high"]].isna().all()  # one boot at each core count
    assert "one boot per core count" in by_law.loc["Amdahl", "notes"]


def test_a_run_shows_itself(tmp_path: Path) -> None:
    run = orch.load(write_run(tmp_path, emulated=True))
    assert repr(run).startswith("<Run 20260102T030405Z-test: synthetic, tier quick, site-to-site on lab")
    page = run._repr_html_()
    assert "emulated: 26 of 26 trials ok" in page
    assert "range" in page
    empty = orch.load(write_run(tmp_path / "empty", fate=lambda trial: []))
    assert "0 of 26 trials ok" in empty._repr_html_()
    assert empty.fits().empty


def test_the_notebook_of_a_run_executes_and_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = orch.load(write_run(tmp_path, rounds=6))
    path = notebook_of(run.path, run.title)
    cells = json.loads(path.read_text())["cells"]
    monkeypatch.chdir(path.parent)
    names: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()) as said, warnings.catch_warnings():
        warnings.simplefilter("error")
        for cell in cells:
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), names)
    run = orch.load(path.parent.parent)
    assert [verdict.verdict for verdict in run.verify()] == ["not testable here"] * 6
    assert said.getvalue() == ""
    path.write_text("mine")
    assert notebook_of(run.path, run.title).read_text() == "mine"


def test_the_latest_run_and_not_the_example(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no run"):
        notebook.latest(tmp_path)
    for folder in ("example", "scaling/20260101T000000Z-a", "other/20260102T000000Z-b"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "run.json").write_text("{}")
        assert notebook.latest(tmp_path) == tmp_path / folder


def test_without_a_browser_it_says_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    for name in ("JUPYTER_PATH", "PYTHONPATH", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "/theirs")
    called: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: called.append(arguments))
    path = write_run(tmp_path)
    assert run_command(["notebook", str(path), "--port", "9001"]) == 0
    assert "ssh -L 9001:localhost:9001" in capsys.readouterr().err
    assert "/theirs" not in os.environ.values()  # the kernel python3 is this environment's
    assert called[0][:3] == [sys.executable, "-m", "jupyterlab"]
    assert "--no-browser" in called[0]
    assert "--LabApp.default_url=/lab/tree/notebooks/explore.ipynb" in called[0]
    archive = tmp_path / "published.zip"
    export_run(path, archive)
    assert run_command(["notebook", str(archive)]) == 0
    assert f"--ServerApp.root_dir={tmp_path / 'published'}" in called[1]
    assert (tmp_path / "published" / "notebooks" / "explore.ipynb").is_file()
