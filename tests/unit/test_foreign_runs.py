# SPDX-License-Identifier: Apache-2.0
"""Runs that others wrote, packed or changed: nothing is left out, and nobody is wrongly accused."""

import contextlib
import functools
import hashlib
import io
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import orchestrator
from orchestrator.analysis import latency, polls, rekeys
from orchestrator.analysis.claims import load_claims
from orchestrator.analysis.page import render
from orchestrator.analysis.report import notebooks_of
from orchestrator.cli import compare, rerun, verify
from orchestrator.cli.app import run_command
from orchestrator.cli.summary import print_summary
from orchestrator.errors import UserError
from orchestrator.listing import ending_in, walk
from orchestrator.paths import CLAIMS, RESULTS
from orchestrator.publish import export_run
from orchestrator.store import find_run, read_attempts, read_run
from orchestrator.store.archive import checksums_of, read_sums, say_if_changed, unpack
from tests.unit.synthetic_run import write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path, rounds=2, cores=(2,), tunnels=(1,))


@pytest.fixture
def exported(run: Path, tmp_path: Path) -> dict[str, bytes]:
    export_run(run, tmp_path / "good.zip")
    with zipfile.ZipFile(tmp_path / "good.zip") as packed:
        return {name: packed.read(name) for name in packed.namelist() if not name.endswith("/")}


def packed(file: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w") as written:
        for name, data in members.items():
            about = zipfile.ZipInfo("x")
            about.filename = name  # unchanged: the constructor would repair it
            written.writestr(about, data)
    return file


def closed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make a folder unreadable, also for root."""
    real: Callable[..., Any] = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


# --- nothing is left out ---


@pytest.mark.parametrize("which", ["trials", "trials/*", "trials/*/1"])
def test_what_cannot_be_read_is_named_and_no_archive_is_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    folder = sorted(run.glob(which))[0]
    closed(monkeypatch, folder)
    with pytest.raises(UserError, match=f"{folder} cannot be read"):
        export_run(run, tmp_path / "a.zip")
    assert not list(tmp_path.glob("*.zip"))


@pytest.mark.parametrize("which", ["trials", "trials/*", "trials/*/1", "trials/*/1/attempt.json"])
def test_what_was_stored_and_is_gone_is_named_and_no_archive_is_written(run: Path, tmp_path: Path, which: str) -> None:
    attempts = read_attempts(run)
    events = [
        {"event": "attempt", "trial_id": one["trial_id"], "attempt": number}
        for one in attempts
        for number in ([7, 1] if one is attempts[0] else [1])
    ]
    damaged = {"event": "attempt-damaged", "attempt": f"trials/{attempts[0]['trial_id']}/7", "set_aside": "damaged-7"}
    lines = [json.dumps(event) for event in [*events, damaged]]
    (run / "journal.jsonl").write_text("\n".join([*lines, '{"event": "att']))
    export_run(run, tmp_path / "whole.zip")
    sorted(run.glob(which))[0].rename(tmp_path / "moved")
    with pytest.raises(UserError, match=r"trials/\w+/1/attempt\.json is missing, which journal\.jsonl says was stored"):
        export_run(run, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_without_its_journal_nothing_tells_what_a_run_has_lost(run: Path, tmp_path: Path) -> None:
    (run / "journal.jsonl").unlink()
    with pytest.raises(UserError, match=r"not exported: it has no journal\.jsonl, which says what was stored"):
        export_run(run, tmp_path / "a.zip")
    (run / "journal.jsonl").touch()
    assert export_run(run, tmp_path / "a.zip").files


@pytest.mark.parametrize("which", ["trials", "trials/*"])
def test_attempts_that_cannot_be_read_do_not_count_as_missing(
    run: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    folder = sorted(run.glob(which))[0]
    closed(monkeypatch, folder)
    with pytest.raises(UserError, match=f"{folder} cannot be read"):
        read_attempts(run)


def test_the_latest_run_is_not_guessed_past_a_folder_that_cannot_be_read(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "later").mkdir()
    assert find_run(tmp_path) == run
    closed(monkeypatch, tmp_path / "later")
    with pytest.raises(UserError, match="later cannot be read"):
        find_run(tmp_path)


def test_a_trial_that_was_moved_and_linked_is_read(run: Path, tmp_path: Path) -> None:
    number = len(read_attempts(run))
    folder = sorted((run / "trials").iterdir())[0]
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert len(read_attempts(run)) == number


@pytest.mark.parametrize("which", ["trials/*", "trials/*/1"])
def test_attempts_behind_a_link_that_leads_nowhere_are_not_left_out(run: Path, tmp_path: Path, which: str) -> None:
    folder = sorted(run.glob(which))[0]
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "unmounted" / "elsewhere")
    with pytest.raises(UserError, match=f"{folder} leads nowhere, so that attempts would be left out"):
        read_attempts(run)
    with pytest.raises(UserError, match=f"{folder} is not a regular file"):
        export_run(run, tmp_path / "a.zip")


def test_walking_names_every_entry_or_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").touch()
    assert [entry.name for entry in walk(tmp_path)] == ["a", "b", "c"]
    closed(monkeypatch, tmp_path / "a" / "b")
    with pytest.raises(PermissionError):
        list(walk(tmp_path))


def test_a_folder_without_its_hidden_files_is_listed_or_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.yaml", "a.yaml", "._a.yaml", ".#b.yaml", "c.yml", "d.yaml~"):
        (tmp_path / name).touch()
    assert [file.name for file in ending_in(tmp_path, ".yaml")] == ["a.yaml", "b.yaml"]
    closed(monkeypatch, tmp_path)
    with pytest.raises(PermissionError):
        ending_in(tmp_path, ".yaml")


@pytest.mark.parametrize("which", ["figures", "experiments/claims"])
def test_a_page_and_verdicts_leave_out_nothing_that_cannot_be_read(
    run: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    loaded = orchestrator.load(run)
    (run / "figures").mkdir()
    closed(monkeypatch, run / which if which == "figures" else CLAIMS)
    load_claims.cache_clear()
    with pytest.raises(PermissionError):
        render(loaded, run / "figures", loaded.verify())


def test_every_program_that_a_run_brings_is_named_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mine/deep/patch.diff", "claims.yaml", "note.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "linked").symlink_to("/usr/bin")
    assert rerun._programs(tmp_path) == ["linked", "mine/deep/patch.diff", "note.py"]
    closed(monkeypatch, tmp_path / "mine" / "deep")
    with pytest.raises(PermissionError):
        rerun._programs(tmp_path)


# --- what was changed is found, however it is packed ---


@pytest.mark.parametrize("prefix", ["", "mine/", "deep/er/", "./", "./mine/"])
def test_a_changed_member_is_found_at_any_depth(exported: dict[str, bytes], tmp_path: Path, prefix: str) -> None:
    good = packed(tmp_path / "same.zip", {prefix + name: data for name, data in exported.items()})
    assert len(orchestrator.load(good).trials) == 5
    changed = next(name for name in exported if name.endswith("attempt.json"))
    bad = {**exported, changed: exported[changed].replace(b"vanilla", b"VANILLA")}
    with pytest.raises(UserError, match=f"{changed} is not as it was exported"):
        find_run(packed(tmp_path / "bad.zip", {prefix + name: data for name, data in bad.items()}))


@pytest.mark.parametrize("prefix", ["", "mine/"])
@pytest.mark.parametrize("kept", ["nothing", "trials"])
def test_a_list_of_checksums_that_leaves_out_the_run_proves_nothing(
    exported: dict[str, bytes], tmp_path: Path, prefix: str, kept: str
) -> None:
    lines = [line for line in exported["SHA256SUMS"].splitlines(keepends=True) if f" {kept}/".encode() in line]
    assert bool(lines) is (kept == "trials")
    members = {prefix + name: data for name, data in {**exported, "SHA256SUMS": b"".join(lines)}.items()}
    with pytest.raises(UserError, match=rf"changed .*: {prefix}SHA256SUMS does not list {prefix}run\.json"):
        find_run(packed(tmp_path / "short.zip", members))


@pytest.mark.parametrize("prefix", ["", "mine/"])
@pytest.mark.parametrize("name", ["trials/{trial}/2/attempt.json", "trials/made-up/1/attempt.json", "stopping.json"])
def test_a_measurement_that_was_added_is_found(
    exported: dict[str, bytes], tmp_path: Path, prefix: str, name: str
) -> None:
    attempt = next(member for member in exported if member.endswith("attempt.json"))
    added = name.format(trial=attempt.split("/")[1])
    members = {prefix + name: data for name, data in {**exported, added: exported[attempt]}.items()}
    with pytest.raises(UserError, match=rf"changed .*: {prefix}SHA256SUMS does not list {prefix}{added}"):
        find_run(packed(tmp_path / "more.zip", members))


def test_files_that_are_no_measurement_may_be_added(exported: dict[str, bytes], tmp_path: Path) -> None:
    more = {"run/notes.txt": b"mine", "run/trials/.DS_Store": b"\0", "__MACOSX/run/._run.json": b"\0"}
    more |= {"run/trials/Thumbs.db": b"\0", "run/trials/desktop.ini": b"[.ShellClassInfo]"}
    members = {f"run/{name}": data for name, data in exported.items()}
    assert find_run(packed(tmp_path / "more.zip", {**members, **more}))


@pytest.mark.parametrize("prefix", ["", "a/b/"])
def test_an_archive_without_checksums_is_never_said_to_match(
    exported: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str], prefix: str
) -> None:
    members = {prefix + name: data for name, data in exported.items()}
    for sums, said in (("none", f"has no SHA256SUMS for {prefix}run.json: nothing shows"), ("match", "")):
        kept = {name: data for name, data in members.items() if sums == "match" or not name.endswith("SHA256SUMS")}
        run_command(["verify", "--json", str(packed(tmp_path / f"{sums}.zip", kept))])
        written = capsys.readouterr()
        assert json.loads(written.out)["checksums"] == sums
        assert said in written.err
        assert bool(written.err) is bool(said)


def test_a_long_name_of_an_archive_is_no_obstacle(exported: dict[str, bytes], tmp_path: Path) -> None:
    assert find_run(packed(tmp_path / f"{'n' * 251}.zip", exported))


def test_an_encrypted_member_is_told(exported: dict[str, bytes], tmp_path: Path) -> None:
    packed(tmp_path / "a.zip", exported)
    with zipfile.ZipFile(tmp_path / "a.zip") as good:
        first = good.infolist()[0]
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[first.header_offset + 6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(UserError, match=f"its member '{first.filename}' is encrypted"):
        find_run(tmp_path / "a.zip")


def test_the_entry_of_the_folder_itself_is_no_file(exported: dict[str, bytes], tmp_path: Path) -> None:
    members = {"./": b"", **{f"./{name}": data for name, data in exported.items()}}  # as bsdtar writes it
    assert find_run(packed(tmp_path / "a.zip", members))


def test_of_several_runs_in_one_archive_each_is_compared(exported: dict[str, bytes], tmp_path: Path) -> None:
    both = {f"{folder}/{name}": data for folder in ("a", "b") for name, data in exported.items()}
    assert find_run(packed(tmp_path / "good2.zip", both))
    with pytest.raises(UserError, match=r"b/run\.json is not as it was exported"):
        find_run(packed(tmp_path / "bad.zip", {**both, "b/run.json": b"{}"}))


def test_a_measurement_that_was_changed_after_unpacking_gets_no_new_checksum(
    exported: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "unpacked"
    unpack(tmp_path / "good.zip", folder)
    (folder / "report.html").write_text("drawn again")
    export_run(folder, tmp_path / "again.zip")
    assert find_run(folder) == folder
    assert checksums_of(folder) == "match"
    changed = sorted(folder.glob("trials/*/1/attempt.json"))[0]
    changed.write_text(changed.read_text().replace("vanilla", "threaded"))
    with pytest.raises(UserError, match=r"attempt\.json is changed since the archive"):
        export_run(folder, tmp_path / "third.zip")
    say_if_changed.cache_clear()
    assert find_run(folder.parent / "unpacked") == folder
    assert checksums_of(folder) == "changed"
    assert capsys.readouterr().err.count(f"orch: {changed} is changed since the archive") == 1
    changed.unlink()
    with pytest.raises(UserError, match=r"attempt\.json is missing since the archive"):
        export_run(folder, tmp_path / "third.zip")


# --- nobody is accused wrongly ---


def test_back_slashes_are_read_as_windows_means_them(exported: dict[str, bytes], tmp_path: Path) -> None:
    members = {"run1\\" + name.replace("/", "\\"): data for name, data in exported.items()}
    assert len(orchestrator.load(packed(tmp_path / "a.zip", members)).trials) == 5
    with pytest.raises(UserError, match="leads out"):
        find_run(packed(tmp_path / "b.zip", {**members, "run1\\..\\..\\x": b""}))


def test_two_members_that_mean_one_file_are_refused(exported: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="several members with the same name"):
        find_run(packed(tmp_path / "a.zip", {**exported, "./run.json": b"{}"}))


EMPTY = hashlib.sha256().hexdigest()  # of a list that a shell has just created, and that `sha256sum *` lists too
FORMS = {
    "text": "{digest}  {name}\n",
    "binary": "{digest} *{name}\n",
    "below ./": "{digest}  ./{name}\n",
    "DOS": "{digest} *{name}\r\n",
    "upper case": "{upper}  {name}\n",
    "tag": "SHA256 ({name}) = {digest}\n",
    "BSD": "{digest} {name}\n",
    "OpenSSL": "SHA2-256({name})= {digest}\n",
    "older OpenSSL": "SHA256({name})= {digest}\n",
    "--zero": "{digest} *./{name}\0",
    "with itself": "{digest}  ./{name}\nSHA256 (SHA256SUMS) = {empty}\n",
    "with a comment": "# made by hand\n{digest}  {name}\n\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_list_of_checksums_is_read(exported: dict[str, bytes], tmp_path: Path, form: str) -> None:
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in exported.items() if name != "SHA256SUMS"}
    lines = [FORMS[form].format(name=name, digest=one, upper=one.upper(), empty=EMPTY) for name, one in digests.items()]
    members = {**exported, "SHA256SUMS": "".join(lines).encode()}
    assert find_run(packed(tmp_path / "a.zip", members))
    with pytest.raises(UserError, match=r"run\.json is not as it was exported"):
        find_run(packed(tmp_path / "b.zip", {**members, "run.json": b"{}"}))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_of_checksums_in_an_encoding_of_windows_is_read(encoding: str) -> None:
    assert read_sums(f"{EMPTY} *ä\r\n".encode(encoding), "SUMS") == {"ä": EMPTY}


def test_a_run_is_found_at_any_depth_of_an_archive(exported: dict[str, bytes], tmp_path: Path) -> None:
    inner = {"home/ann/results/of/mine/run/" + name: data for name, data in exported.items()}
    inner["home/ann/results/of/mine/run/inputs/old/run.json"] = b"{}"
    found = find_run(packed(tmp_path / "a.zip", inner))
    assert found.name == "run"
    assert checksums_of(found, tmp_path / "a.zip") == "match"
    changed = {**inner, next(name for name in inner if name.endswith("attempt.json")): b"{}"}
    with pytest.raises(UserError, match=r"run/trials/.* is not as it was exported"):
        find_run(packed(tmp_path / "b.zip", changed))


def test_what_an_archive_without_a_run_has_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.zip has no run: it has no run\.json"):
        find_run(packed(tmp_path / "a.zip", {"x": b""}))
    with pytest.raises(UserError, match=r"b\.zip has no run: it holds record/a\.zip\. Unpack it"):
        find_run(packed(tmp_path / "b.zip", {"record/a.zip": (tmp_path / "a.zip").read_bytes()}))


def test_an_escaped_name_and_a_line_that_is_no_checksum() -> None:
    digest = "ab" * 32
    assert read_sums(f"\\{digest}  a\\\\b\\nc\n".encode(), "SUMS") == {"a\\b\nc": digest}
    with pytest.raises(UserError, match="SUMS: line 2 is not a checksum"):
        read_sums(f"{digest}  a\nabc  b\n".encode(), "SUMS")


# --- what is no run of this program ---

COMMANDS = ("verify", "report", "rerun", "compare", "export", "notebook")


@pytest.mark.parametrize("command", COMMANDS)
def test_another_program_s_run_json_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    folder = tmp_path / "runs" / "1"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"id": 17, "status": "done", "metrics": {"loss": 0.3}}')
    more = {"compare": [str(folder)], "export": ["--output", str(tmp_path / "a.zip")]}.get(command, [])
    assert run_command([command, str(tmp_path / "runs"), *more]) == 2
    assert "run.json is not a valid run of orch: experiment is missing" in capsys.readouterr().err


ODD = {
    "NaN": ('{"a": NaN}', "NaN is not a JSON number"),
    "half a character": ('{"a": "\\ud83d"}', "half a character"),
    "deep": ("[" * 100_000, "cannot be read"),
    "a long number": ("1" * 5000, "cannot be read"),
    "a number of 30 digits": (f'{{"a": {10**29}}}', "a number of 30 digits is too large"),
    "an infinite number": ('{"a": -1e400}', "-1e400 is too large a number"),
    "not UTF-8": ('{"a": "\udcff"}', "cannot be read"),
    "empty": ("", "cannot be read"),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_json_is_a_sentence(tmp_path: Path, what: str) -> None:
    text, said = ODD[what]
    (tmp_path / "run.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=said):
        read_run(tmp_path)


@pytest.mark.parametrize("began", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "yesterday", 7, None])
def test_a_run_that_began_at_no_time_is_listed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], began: Any
) -> None:
    other = run.rename(run.with_name("renamed"))
    meta = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps({**meta, "started_at": began}))
    assert find_run(tmp_path) == other
    assert run_command(["list", str(tmp_path)]) == 0
    assert "renamed" in "".join(capsys.readouterr().out.split())  # a long path is folded


def test_a_name_that_leads_elsewhere_is_no_name(run: Path) -> None:
    meta = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**meta, "experiment": "../../home/somebody/x"}))
    with pytest.raises(UserError, match="which is not a valid name"):
        read_run(run)


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to every value in a JSON value: its keys and indices."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*way, key)
        yield from places(value[key], (*way, key))


OTHER_KINDS = [
    None,
    [],
    {},
    r"[/b] $\frac :x: $_",
    2**63,
    -1,
    1.5,
    True,
    10**30,
    ["x"],
    [None],
    {"x": 1},
    {"x": {"y": []}},
]


def read_in_every_way(run: Path, beside: orchestrator.Run) -> None:
    """Read a run as the commands do, except notebooks and testbeds."""
    found = orchestrator.load(run)
    verdicts = found.verify()
    assert found.title
    assert found._repr_html_()
    for frame in (found.per_core, found.ratios(), found.efficiencies(), found.fits(), found.quality()):
        assert len(frame) >= 0
    for table in (rekeys.rates, rekeys.rekeys, rekeys.cost, polls.polls, latency.latencies, latency.latency_cells):
        assert len(table(found)) >= 0
    assert notebooks_of(found)
    assert render(found, run / "figures", verdicts)
    with contextlib.redirect_stdout(io.StringIO()):
        print_summary(run, Console(file=io.StringIO(), width=80))
        verify.show(found, verdicts)
        compare.show(beside.compare(found))
        compare.show(found.compare(beside))
    export_run(run, run.parent / "damaged.zip", allow=["dirty", "paths"])


def damaged_at_random(run: Path, number: int, seed: int) -> list[str]:
    """Read a run repeatedly, each time with one value of one file removed or of another type, and return the
    messages."""
    rng = random.Random(seed)
    beside = orchestrator.load(run)
    attempts = {json.loads(file.read_text())["kind"]: file for file in sorted(run.glob("trials/*/1/attempt.json"))}
    files = [run / "run.json", *attempts.values(), *run.glob("stopping.json")]
    kinds: dict[Any, tuple[Path, tuple[Any, ...]]] = {}  # one place of each kind: items of a list are alike
    for file in files:
        for way in places(json.loads(file.read_text())):
            kinds.setdefault((file, *("*" if isinstance(key, int) else key for key in way)), (file, way))
    said = []
    for file, way in rng.choices(list(kinds.values()), k=number):
        before = file.read_text()
        content = json.loads(before)
        holder = functools.reduce(lambda value, key: value[key], way[:-1], content)
        if isinstance(holder, dict) and rng.random() < 0.2:
            del holder[way[-1]]
        else:
            holder[way[-1]] = rng.choice(OTHER_KINDS)
        file.write_text(json.dumps(content))
        try:
            read_in_every_way(run, beside)
        except UserError as error:
            said.append(str(error))
        except Exception as error:
            raise AssertionError(f"{file.name}: {way}, now {json.dumps(holder)[:200]}") from error
        finally:
            file.write_text(before)
    assert [sentence for sentence in said if str(run) not in sentence] == []
    return said


def test_json_that_was_damaged_anywhere_is_read_or_a_sentence(run: Path) -> None:
    assert len(damaged_at_random(run, 25, seed=16)) > 3


@pytest.mark.parametrize("recorded", [{}, {"kernel": None, "image_packages": None}])
def test_a_page_is_drawn_where_nothing_is_recorded_about_the_testbed_s_system(
    run: Path, recorded: dict[str, None]
) -> None:
    meta = json.loads((run / "run.json").read_text())
    meta["environment"] = {"testbed": recorded}
    (run / "run.json").write_text(json.dumps(meta))
    found = orchestrator.load(run)
    assert "kernel measured" in render(found, run / "figures", found.verify())


def in_part(stored: Path, folder: Path) -> Path:
    """Return a copy of a stored run with two rounds of its first blocks, and without the derived tables."""
    content = json.loads((stored / "run.json").read_text())
    plan = content["plan"]
    plan["blocks"] = plan["blocks"][:2]
    for block in plan["blocks"]:
        block["trials"] = [trial for trial in block["trials"] if trial["round"] <= 2]
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(content))
    for file in (stored / "stopping.json", stored / "journal.jsonl"):
        shutil.copy(file, folder)
    for name in [trial["trial_id"] for block in plan["blocks"] for trial in block["trials"]]:
        if (stored / "trials" / name).is_dir():
            shutil.copytree(stored / "trials" / name, folder / "trials" / name)
    return folder


@pytest.mark.full
@pytest.mark.parametrize("name", ["example", "example-virtual", "example-packet-rate", "example-black-hole"])
def test_a_stored_run_that_was_damaged_anywhere_is_read_or_a_sentence(tmp_path: Path, name: str) -> None:
    run = in_part(RESULTS / name, tmp_path / "part" / name)
    assert len(damaged_at_random(run, 200, seed=20)) > 10


@pytest.mark.parametrize("length", [0, 1, 0.3, 0.9])
@pytest.mark.parametrize("which", ["run.json", "trials/*/1/attempt.json"])
def test_json_that_was_cut_off_is_a_sentence(run: Path, which: str, length: float) -> None:
    file = sorted(run.glob(which))[0]
    data = file.read_bytes()
    file.write_bytes(data[: int(length * len(data)) if length < 1 else int(length)])
    with pytest.raises(UserError, match=rf"{file.name} cannot be read"):
        orchestrator.load(run)


def test_a_pipe_in_place_of_an_attempt_is_a_sentence(run: Path) -> None:
    file = sorted(run.glob("trials/*/1/attempt.json"))[0]
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(UserError, match=rf"{file} cannot be read"):
        read_attempts(run)


def test_a_record_of_polls_of_another_shape_is_a_sentence(tmp_path: Path) -> None:
    run = write_run(tmp_path, rounds=1, cores=(2,), tunnels=(1,), traced=True)
    file = sorted(run.glob("trials/*/1/polls.json"))[0]
    good = json.loads(file.read_text())
    assert len(polls.polls(orchestrator.load(run)))
    for wrong in ([], {}, {**good, "rows": 1}, {**good, "bin_s": "x"}, {**good, "columns": ["role"]}, {"rows": [[]]}):
        file.write_text(json.dumps(wrong))
        with pytest.raises(UserError, match=r"polls\.json cannot be read"):
            polls.polls(orchestrator.load(run))
