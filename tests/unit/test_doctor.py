# SPDX-License-Identifier: Apache-2.0
"""`orch doctor`: its table is complete, each check reports its observation, and the exit status is the conclusion."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.core import TyperCommand

from orchestrator import dependencies, doctor
from orchestrator.cli import app as cli
from orchestrator.cli import doctor as command
from orchestrator.doctor import Checked, Need, Observation, Requirement, checks, packages
from orchestrator.errors import TestbedError


def missing(need: Need, name: str = "bc") -> Requirement:
    return Requirement(name, need, lambda: Observation(False, "not there"), "Install it.")


def test_every_requirement_can_be_checked_here_and_what_is_missing_has_a_remedy() -> None:
    findings = doctor.examine()
    assert {"Computer", "Namespaces", "Disk", "gcc", "mmdebstrap", "Debian mirror"} <= {f.name for f in findings}
    for finding in findings:
        assert finding.what
        assert bool(finding.remedy) != finding.found


def test_what_only_a_build_needs_does_not_block_where_a_lab_is_built() -> None:
    table = [missing(Need.BUILD), missing(Need.REQUIRED, "ssh")]
    unbuilt = doctor.examine(table, is_built=lambda: False)
    built = doctor.examine(table, is_built=lambda: True)
    assert [f.blocks for f in unbuilt] == [True, True]
    assert [f.blocks for f in built] == [False, True]


def test_what_cannot_be_checked_is_not_found() -> None:
    def check() -> Observation:
        raise PermissionError(13, "Permission denied", "/proc/meminfo")

    (finding,) = doctor.examine([Requirement("Memory", Need.REQUIRED, check, "Look yourself.")])
    assert finding.blocks
    assert "cannot be checked" in finding.what


def test_the_remedy_of_a_check_goes_before_that_of_its_requirement() -> None:
    requirement = Requirement("x", Need.ADVICE, lambda: Observation(False, "off", "Do this."), "Do that.")
    assert doctor.examine([requirement])[0].remedy == "Do this."


def test_a_package_is_known_by_a_command_or_by_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib-5.1").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert packages.SystemPackage("lib", f"{tmp_path}/lib-5.*", "run").look().found
    assert not packages.SystemPackage("lib", f"{tmp_path}/other-*", "run").look().found
    seen = packages.SystemPackage("bc", "bc", "build").look()
    assert not seen.found
    assert "apt-get install bc" in seen.remedy


def test_the_list_of_packages_refuses_an_unknown_use(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("# comment\nbc bc sometimes\n")
    with pytest.raises(ValueError, match="bc is for 'sometimes'"):
        packages.system_packages(tmp_path / "list")


def test_a_disk_that_is_too_small_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "yet"))
    monkeypatch.setattr(checks, "DISK_NEEDED", 2**60)
    seen = checks.disk()
    assert not seen.found
    assert f"GiB free for {tmp_path}" in seen.what


def test_namespaces_say_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_run", lambda *_: (False, "unshare: Operation not permitted"))
    seen = checks.namespaces()
    assert not seen.found
    assert "Operation not permitted" in seen.what
    assert seen.remedy


def test_a_mirror_is_named_or_its_lack_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    checks.mirror.cache_clear()
    monkeypatch.setenv("ORCH_DEBIAN_MIRROR", "http://mirror.example/debian/")
    assert checks.debian_mirror() == Observation(True, "http://mirror.example/debian")
    checks.mirror.cache_clear()


def test_status_3_and_a_sentence_for_each_thing_that_blocks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        Checked("ssh", Need.REQUIRED, False, "not there", "Install it."),
        Checked("Idle computer", Need.ADVICE, False, "1.0 of 2 cores are busy now", "Wait."),
    ]
    monkeypatch.setattr(command, "examine", lambda: rows)
    assert cli.run_command(["doctor", "--json"]) == 3
    said = capsys.readouterr()
    table = json.loads(said.out)
    assert table["can_run_the_lab"] is False
    assert table["requirements"][0]["need"] == "required"
    assert said.err == "orch: ssh: not there. Install it.\n"
    assert cli.run_command(["doctor"]) == 3
    assert "Idle computer" in capsys.readouterr().out
    rows.pop(0)
    assert cli.run_command(["doctor"]) == 0
    last = " ".join(capsys.readouterr().out.split("This computer can run the lab")[1].split())
    assert "it is busy: 1.0 of 2 cores are busy now." in last
    assert "--tier smoke" in last
    assert "--testbed virtual-lab" in last
    rows.pop()
    assert cli.run_command(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("This computer can run the lab.\n")


@pytest.mark.parametrize(
    ("arguments", "needed"), [(["--help"], set()), (["plan", "exp/scaling.yaml", "--tier=smoke"], {"pydantic", "rich"})]
)
def test_commands_that_only_tell_import_nothing_heavy(arguments: list[str], needed: set[str]) -> None:
    probe = (
        f"import sys; from orchestrator.cli.app import run_command; status = run_command({arguments});"
        "heavy = {'pandas', 'numpy', 'pyarrow', 'scipy', 'ansible_runner', 'fabric', 'pydantic', 'matplotlib', 'rich'};"
        "heavy = (heavy | {'asyncio'}) & set(sys.modules);"
        "print(); print(status, sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"0 {sorted(needed)}"


def test_a_mistyped_command_is_corrected(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command(["docto"]) == 2
    assert "Did you mean 'doctor'?" in capsys.readouterr().err


def test_an_environment_for_reading_runs_is_told_from_one_that_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dependencies.absent_packages() == ()
    assert checks.python_packages().found
    declared = ["pandas>=2", "no-such-package-1<3,>=2", "No.Such_Package-2", 'no-such-package-3>=4; extra == "dask"']
    monkeypatch.setattr("orchestrator.dependencies.metadata.requires", lambda name: declared)
    assert dependencies.absent_packages() == ("no-such-package-1", "No.Such_Package-2")
    assert not (seen := checks.python_packages()).found
    assert seen.what == "This Python environment lacks no-such-package-1, No.Such_Package-2."
    with pytest.raises(TestbedError, match=r"lacks no-such-package-1.*pip install \."):
        dependencies.refuse_without_packages()


def test_a_command_whose_package_is_absent_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def up() -> None:
        importlib.import_module("no_such_module_anywhere")

    monkeypatch.setattr("orchestrator.cli.app.load", lambda name: TyperCommand("kernel", callback=up))
    with pytest.raises(ModuleNotFoundError):  # nothing that is declared is absent: a defect of the program
        cli.run_command(["kernel"])
    monkeypatch.setattr("orchestrator.dependencies.metadata.requires", lambda name: ["no-such-package-1"])
    assert cli.run_command(["kernel"]) == 3
    assert "lacks no-such-package-1." in capsys.readouterr().err
