# SPDX-License-Identifier: Apache-2.0
"""Runs as archives: what `orch export` writes and refuses to write, and reading archives from any source."""

import base64
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import orchestrator
from orchestrator.cli.app import run_command
from orchestrator.errors import UserError
from orchestrator.paths import CHECKOUT, RESULTS
from orchestrator.publish import export, export_run
from orchestrator.publish.crate import readme
from orchestrator.publish.secrecy import search, search_paths
from orchestrator.store import archive, find_run
from orchestrator.store.archive import unpack
from tests.unit.synthetic_run import write_run

SMALL: dict[str, Any] = {"rounds": 2, "cores": (2,), "tunnels": (1,)}
KEY = base64.b64encode(bytes(range(100, 132))).decode()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path, **SMALL)


@pytest.fixture
def quick_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for drawing, which other tests cover."""

    def draw(run: Path, *more: object, pdf: bool = False, own: bool = False) -> Path:
        (run / "report.html").write_text(f"<p>drawn in {run.name}</p>")
        return run / "report.html"

    monkeypatch.setattr("orchestrator.analysis.report.make_report", draw)


def change_run(run: Path, **fields: Any) -> None:
    file = run / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def names_in(file: Path) -> list[str]:
    with zipfile.ZipFile(file) as packed:
        return packed.namelist()


def metadata_of(file: Path) -> dict[str, dict[str, Any]]:
    with zipfile.ZipFile(file) as packed:
        graph = json.loads(packed.read("ro-crate-metadata.json"))["@graph"]
    by_id = {entity["@id"]: entity for entity in graph}
    assert len(by_id) == len(graph)
    return by_id


# --- what is written ---


def test_equal_runs_give_equal_bytes_also_what_was_unpacked(run: Path, tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("a.zip", "b.zip", "c.zip"))
    export_run(run, first)
    for file in run.rglob("*"):
        os.utime(file, (1, 1))
    (run / ".reserve").write_bytes(b"\0" * 100)
    export_run(run, second)
    unpack(second, tmp_path / "again")
    export_run(tmp_path / "again", third)
    assert first.read_bytes() == second.read_bytes() == third.read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_every_file_of_the_run_is_in_it_and_its_checksum(run: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path / "a.zip")
    unpack(tmp_path / "a.zip", tmp_path / "again")
    for file in run.rglob("*"):
        if file.is_file():
            assert (tmp_path / "again" / file.relative_to(run)).read_bytes() == file.read_bytes()
    spec = (tmp_path / "again" / "spec.yaml").read_text()
    assert spec == json.loads((run / "run.json").read_text())["spec_text"]
    done = subprocess.run(["sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS"], cwd=tmp_path / "again", check=False)
    assert done.returncode == 0
    listed = {line.split("  ")[1] for line in (tmp_path / "again" / "SHA256SUMS").read_text().splitlines()}
    inside = {name for name in names_in(tmp_path / "a.zip") if not name.endswith("/")}
    assert inside - listed == {"SHA256SUMS", "ro-crate-metadata.json"}


def test_the_description_keeps_what_ro_crate_requires(tmp_path: Path) -> None:
    """The rules of RO-Crate 1.1 and Process Run Crate 0.5 that say MUST."""
    export_run(RESULTS / "example", tmp_path / "a.zip")
    by_id = metadata_of(tmp_path / "a.zip")
    about = by_id["ro-crate-metadata.json"]
    assert about["@type"] == "CreativeWork"
    assert about["about"] == {"@id": "./"}
    assert about["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    root = by_id["./"]
    assert root["@type"] == "Dataset"
    meta = json.loads((RESULTS / "example" / "run.json").read_text())
    assert datetime.fromisoformat(root["datePublished"]) == datetime.fromisoformat(meta["ended_at"])
    assert root["name"]
    assert root["description"]
    assert by_id[root["license"]["@id"]]["name"] == "Apache License 2.0"
    data = [entity for entity in by_id.values() if entity["@type"] in ("File", "Dataset") and entity is not root]
    linked = {part["@id"] for entity in [root, *data] for part in _many(entity.get("hasPart"))}
    assert {entity["@id"] for entity in data} == linked <= set(names_in(tmp_path / "a.zip"))
    assert {"trials/", "figures/", "spec.yaml", "run.json", "report.html", "LICENSE"} <= linked
    action = by_id[root["mentions"]["@id"]]
    assert action["@type"] == "CreateAction"
    assert by_id[action["instrument"]["@id"]]["@type"] == "SoftwareApplication"
    assert f"commit: {meta['source']['commit']}" in by_id[action["instrument"]["@id"]]["identifier"]
    for entity in by_id.values():  # every reference is described, or is an address
        for value in entity.values():
            for reference in _many(value):
                if isinstance(reference, dict):
                    assert reference["@id"] in by_id or reference["@id"].startswith("https://w3id.org/ro/")


@pytest.mark.parametrize("commit", ["c" * 40, None])
def test_the_readme_of_an_archive_says_where_the_software_is_and_what_needs_a_testbed(commit: str | None) -> None:
    meta = json.loads((RESULTS / "example" / "run.json").read_text()) | {"source": {"commit": commit}}
    said = " ".join(readme(meta, ["run.json", "trials/1/attempt.json"], []).split())
    assert "has no public repository and no DOI yet; the paper is at https://" in said
    assert ("made by its commit" in said) == (commit is not None)
    assert "None" not in said
    reading, _, measuring = said.partition("Two commands measure again:")
    assert "need no testbed: orch report ARCHIVE.zip" in reading
    assert "orch rerun ARCHIVE.zip" not in reading
    assert "orch rerun ARCHIVE.zip" in measuring


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


@pytest.mark.usefixtures("quick_report")
def test_the_command_makes_a_missing_report_and_says_what_it_wrote(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "a.zip"
    assert run_command(["export", str(run), "--output", str(target)]) == 0
    assert capsys.readouterr().out.strip() == str(target)
    assert {"report.html", "run.json"} <= set(names_in(target))


# --- what is refused ---

SOURCES = (
    ({"commit": None, "dirty": None}, "not a commit"),
    ({"commit": "main", "dirty": False}, "can move"),
    ({"commit": "c" * 40, "dirty": True}, "not committed"),
    ({"commit": "c" * 40}, "not committed"),
)


@pytest.mark.parametrize("vanishes", [False, True])
def test_a_file_that_changes_during_the_export_gets_no_checksum_of_another_content(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vanishes: bool
) -> None:
    page = run / "report.html"
    page.write_text("<p>drawn</p>")
    examine = export._examine

    def then_change(*arguments: Any) -> Any:
        found = examine(*arguments)
        if vanishes:
            page.unlink()
        else:
            page.write_text("<p>drawn again</p>")
        return found

    monkeypatch.setattr(export, "_examine", then_change)
    with pytest.raises(UserError, match=r"report\.html (was changed meanwhile|cannot be read)"):
        export_run(run, tmp_path / "a.zip")
    assert not list(tmp_path.glob("*.zip*"))


@pytest.mark.parametrize(("source", "said"), SOURCES)
def test_a_source_that_nobody_can_get_is_refused_unless_told(
    run: Path, tmp_path: Path, source: dict[str, Any], said: str
) -> None:
    change_run(run, source=source)
    with pytest.raises(UserError, match=said) as caught:
        export_run(run, tmp_path / "a.zip")
    assert "--allow dirty" in str(caught.value)
    assert not list(tmp_path.glob("*.zip"))
    written = export_run(run, tmp_path / "a.zip", {"dirty"})
    assert said in written.doubts[0]
    assert written.doubts[0] in metadata_of(tmp_path / "a.zip")["./"]["description"]


def test_the_source_of_an_earlier_session_counts_too(run: Path, tmp_path: Path) -> None:
    was = {"source": {"commit": "d" * 40, "dirty": True}}
    change_run(run, sessions=[{"session": 1}, {"session": 2, "was": was}])
    with pytest.raises(UserError, match="after dddddddddddd"):
        export_run(run, tmp_path / "a.zip")


SECRETS = {
    "private key of WireGuard": f"PrivateKey = {KEY}",
    "in a string of JSON": json.dumps({"stdout": f"interface: wg0\n{KEY}\n"}),
    "alone in its line": KEY,
    "pre-shared key in hex": "preshared_key=" + "0f" * 32,
    "PEM": "-----BEGIN RSA PRIVATE KEY-----",
    "OpenSSH": "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAAB\n",
    "OpenSSH without its frame": "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAAB",
    "forge": "ghp_" + "a1B2" * 9,
    "header": "Authorization: Bearer abcdefgh12345678",
    "address": "https://someone:hunter2@example.org/x",
    "password": '"password": "correct-h0rse-battery"',
    "escaped": json.dumps(json.dumps({"api_key": "0123456789abcdef"})),
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_planted_secret_is_refused_by_file_and_line_and_never_shown(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    secret = SECRETS[name]
    (run / "report.html").write_text("<p>drawn</p>")
    file = next((run / "trials").glob("*/1")) / "client-1.txt"
    file.write_text(f"one\ntwo\n{secret}\n")
    assert run_command(["export", str(run), "--output", str(tmp_path / "a.zip")]) == 2
    said = capsys.readouterr()
    assert f"{file.relative_to(run)}:3: " in said.err
    assert not any(piece in said.out + said.err for piece in secret.split() if len(piece) > 15)
    assert not list(tmp_path.glob("*.zip"))
    assert not list(tmp_path.glob(".*"))


@given(st.binary(min_size=32, max_size=32), st.sampled_from(["{}", "key: {}", '"{}"', "a\\n{}\\n", "x={}", "\t{} "]))
def test_every_key_of_wireguard_is_found(key: bytes, around: str) -> None:
    text = around.format(base64.b64encode(key).decode()).encode()
    assert list(search("f", text))


@given(st.binary(min_size=100, max_size=400))
def test_other_data_in_base64_is_no_key(data: bytes) -> None:
    whole = base64.b64encode(data)
    lines = base64.encodebytes(data)
    for text in (whole, b"data:image/png;base64," + whole, lines, json.dumps(lines.decode()).encode()):
        assert not [found for found in search("f", text) if "WireGuard" in found.what]


def test_checksums_and_scripts_are_no_secrets() -> None:
    digest = base64.b64encode(bytes(range(32))).decode()
    for text in (f'<script integrity="sha256-{digest}">', "a" * 64, "token=nextToken(input)", "var secret=!0;", "?a=1"):
        assert not list(search("f", text.encode()))


@pytest.mark.parametrize("path", ["/home/someone/notes.txt", "/Users/someone", str(CHECKOUT / "kernel")])
def test_a_path_that_tells_who_measured_is_refused_unless_told(run: Path, tmp_path: Path, path: str) -> None:
    (run / "journal.jsonl").write_text(json.dumps({"at": 1}) + "\n" + json.dumps({"error": f"{path}: not found"}))
    with pytest.raises(UserError, match=r"journal\.jsonl:2: a path") as caught:
        export_run(run, tmp_path / "a.zip")
    assert path not in str(caught.value)
    export_run(run, tmp_path / "a.zip", {"paths"})


def test_a_path_of_a_web_site_is_no_home_folder() -> None:
    assert not list(search_paths("f", b"https://example.org/home/page /home /srv/home/x ~/home/y", ()))


def test_links_a_busy_run_and_a_bad_target_are_sentences(run: Path, tmp_path: Path) -> None:
    for target, said in (("a.tar", "must end in .zip"), ("no/a.zip", "does not exist"), (str(run / "a.zip"), "inside")):
        with pytest.raises(UserError, match=said):
            export_run(run, tmp_path / target)
    (run / "link").symlink_to("/etc/hostname")
    with pytest.raises(UserError, match="not a regular file"):
        export_run(run, tmp_path / "a.zip")
    assert run_command(["export", str(run), "--output", str(tmp_path / "a.zip"), "--allow", "all"]) == 2


@pytest.mark.parametrize("name", [b"a\nb", b"a\\b", b"\xff.txt", b"a\x7f"])
def test_a_name_that_would_be_read_differently_is_refused(run: Path, tmp_path: Path, name: bytes) -> None:
    Path(os.fsdecode(os.path.join(os.fsencode(run), name))).touch()
    with pytest.raises(UserError, match="Rename it"):
        export_run(run, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_every_other_name_is_kept(run: Path, tmp_path: Path) -> None:
    names = ["Bildschirmfoto um 3.04\u202fPM.png", "-x", "~", "*a", " b ", 'c: "d"', "e%20\u2028", "\U0001f600"]
    for name in names:
        (run / name).write_text(name)
    export_run(run, tmp_path / "a.zip")
    found = find_run(tmp_path / "a.zip")
    assert [(found / name).read_text() for name in names] == names


# --- how it is read ---


def test_an_archive_is_loaded_as_its_run_is(run: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path / "a.zip")
    direct, packed = orchestrator.load(run), orchestrator.load(tmp_path / "a.zip")
    assert direct.trials.equals(packed.trials)
    assert direct.per_core.equals(packed.per_core)
    assert find_run(tmp_path / "a.zip") == packed.path
    assert packed.path.parent.stat().st_mode & 0o077 == 0


def test_what_was_unpacked_goes_with_the_process(run: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path / "a.zip")
    (tmp_path / "tmp").mkdir()
    code = "import sys, orchestrator; print(orchestrator.load(sys.argv[1]).path)"
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-c", code, str(tmp_path / "a.zip")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / "tmp")
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_what_was_unpacked_goes_with_a_process_that_is_ended(run: Path, tmp_path: Path, name: str) -> None:
    export_run(run, tmp_path / "a.zip")
    (tmp_path / "tmp").mkdir()
    code = (
        "import os, signal, sys; from orchestrator.cli import streams; from orchestrator.store import find_run\n"
        "streams.prepare(); print(find_run(__import__('pathlib').Path(sys.argv[1])), flush=True)\n"
        f"os.kill(os.getpid(), signal.{name}); signal.pause()"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-c", code, str(tmp_path / "a.zip")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert str(tmp_path / "tmp") in done.stdout
    assert done.returncode
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.usefixtures("quick_report")
def test_the_report_of_an_archive_is_drawn_beside_it(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_run(run, tmp_path / "mine.zip")
    for options, folder in ((), "mine"), (("--output", str(tmp_path / "other")), "other"):
        assert run_command(["report", str(tmp_path / "mine.zip"), *options]) == 0
        page = tmp_path / folder / "report.html"
        assert capsys.readouterr().out.strip() == str(page)
        assert page.is_file()
    change_run(tmp_path / "mine", run_id="of somebody else")
    assert run_command(["report", str(tmp_path / "mine.zip")]) == 2
    assert "is not this run" in capsys.readouterr().err


def test_an_archive_is_not_gone_on_with(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export_run(run, tmp_path / "a.zip")
    assert run_command(["run", str(CHECKOUT / "experiments/scaling.yaml"), "--resume", str(tmp_path / "a.zip")]) == 2
    assert "read-only" in capsys.readouterr().err


def zip_of(file: Path, members: dict[str, bytes], mode: int = 0o100644) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members.items():
            about = zipfile.ZipInfo(name)
            about.external_attr = mode << 16
            packed.writestr(about, data, zipfile.ZIP_DEFLATED)
    return file


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out", "..\\out", "a\nb"])
def test_a_member_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match="leads out"):
        unpack(zip_of(tmp_path / "a.zip", {"run.json": b"{}", name: b"x"}), tmp_path / "in" / "run")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.zip", "in"]


def test_links_bombs_and_lack_of_space_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="not a regular file"):
        unpack(zip_of(tmp_path / "a.zip", {"link": b"/etc/passwd"}, 0o120777), tmp_path / "run")
    with pytest.raises(UserError, match="made to fill a disk"):
        unpack(zip_of(tmp_path / "b.zip", {"zeros": b"\0" * (archive._SMALL_BYTES + 2**24)}), tmp_path / "run")
    monkeypatch.setattr(archive, "_HELD_BACK_BYTES", 2**60)
    with pytest.raises(UserError, match="are free in"):
        unpack(zip_of(tmp_path / "c.zip", {"run.json": b"{}"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert not list(tmp_path.glob(".*"))


def test_what_was_changed_after_the_export_is_refused(run: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        members = {name: packed.read(name) for name in packed.namelist() if not name.endswith("/")}
    number = next(name for name in members if name.endswith("attempt.json"))
    better = {**members, number: members[number].replace(b'"throughput_bps": 1', b'"throughput_bps": 9')}
    with pytest.raises(UserError, match=f"{number} is not as it was exported"):
        find_run(zip_of(tmp_path / "b.zip", better))
    less = {name: data for name, data in members.items() if name != number}
    with pytest.raises(UserError, match=f"{number} is missing"):
        find_run(zip_of(tmp_path / "c.zip", less))
    described = {**members, "ro-crate-metadata.json": b"{}", "ro-crate-preview.html": b"<p>"}
    assert find_run(zip_of(tmp_path / "d.zip", described))  # who publishes it adds names, and a page


def test_a_zip_of_a_run_s_folder_is_read_too(run: Path, tmp_path: Path) -> None:
    members = {f"folder/{file.relative_to(run)}": file.read_bytes() for file in run.rglob("*") if file.is_file()}
    assert len(orchestrator.load(zip_of(tmp_path / "a.zip", members)).trials) == 5


def test_other_files_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("no zip")
    with pytest.raises(UserError, match="damaged or cut off, or is no zip archive"):
        find_run(tmp_path / "a.zip")
    with pytest.raises(UserError, match=r"b\.zip has no run: it has no run\.json"):
        find_run(zip_of(tmp_path / "b.zip", {"x": b"y"}))


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("w", "a tar archive"),
        ("w:gz", "compressed by gzip"),
        ("w:bz2", "compressed by bzip2"),
        ("w:xz", "compressed by xz"),
    ],
)
def test_another_kind_of_archive_is_to_be_unpacked(run: Path, tmp_path: Path, mode: Any, said: str) -> None:
    with tarfile.open(tmp_path / "run.zip", mode) as packed:
        packed.add(run, "run")
    with pytest.raises(UserError, match=rf"run\.zip is {said}, and .* Unpack it, and name the run's folder"):
        find_run(tmp_path / "run.zip")


@pytest.mark.parametrize("form", ["./{}", "x//{}", "x/./{}", ".//{}", "x\\.\\{}"])
def test_names_of_members_mean_what_they_mean_as_paths(run: Path, tmp_path: Path, form: str) -> None:
    export_run(run, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        members = {form.format(name.replace("/", "//")): packed.read(name) for name in packed.namelist()}
        members = {name: data for name, data in members.items() if not name.endswith("/")}
    find_run(zip_of(tmp_path / "b.zip", members))
    with pytest.raises(UserError, match="is not as it was exported"):
        find_run(zip_of(tmp_path / "c.zip", {**members, form.format("run.json"): b"{}"}))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(cut=st.integers(0, 2**16), place=st.integers(0, 2**16), bits=st.integers(1, 255))
def test_a_damaged_archive_is_a_sentence_or_whole(tmp_path: Path, cut: int, place: int, bits: int) -> None:
    """There is never another kind of exception, and never a changed file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("run.json", b'{"a": 1}' * 20)
        packed.writestr("trials/1/1/attempt.json", b'{"b": 2}' * 20)
    good = buffer.getvalue()
    flipped = bytearray(good)
    flipped[place % len(good)] ^= bits
    for bad in (good[: cut % len(good)], bytes(flipped)):
        (tmp_path / "a.zip").write_bytes(bad)
        folder = tmp_path / f"out-{os.urandom(8).hex()}"
        try:
            unpack(tmp_path / "a.zip", folder)
        except UserError:
            assert not folder.exists()
            continue
        contents = {file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        assert contents <= {b'{"a": 1}' * 20, b'{"b": 2}' * 20}
