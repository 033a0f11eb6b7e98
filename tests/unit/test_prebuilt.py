# SPDX-License-Identifier: Apache-2.0
"""`orch cache import` of an address: only an archive whose SHA-256 is pinned or given is imported into the cache."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orchestrator import cache
from orchestrator.cli.app import run_command
from orchestrator.errors import UserError
from orchestrator.hashing import sha256_of
from orchestrator.progress import Silent
from orchestrator.testbed.uml import archive, prebuilt

Output = pytest.CaptureFixture[str]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an archive of one product; the cache that is then in use is another, empty one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    made = cache.obtain("lab-disk", {"a": 1}, lambda folder: {}, Silent(), title="Making it", estimate_s=1)
    (tmp_path / "served").mkdir()
    file = tmp_path / "served" / "lab.tar.xz"
    archive.export_archive([made], file)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "there"))
    return file


@pytest.fixture
def address(packed: Path) -> Iterator[str]:
    handler = partial(Quiet, directory=str(packed.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{packed.name}"
        server.shutdown()


def pin(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    file = folder / "prebuilt.sha256"
    file.write_text(f"# pins\n{text}")
    monkeypatch.setattr(prebuilt, "PINS", file)
    monkeypatch.setattr(prebuilt, "pinned", partial(prebuilt.pinned, file))


def test_a_pinned_archive_is_fetched(
    packed: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    pin(monkeypatch, tmp_path, f"{sha256_of(packed)}  of-the-paper.tar.xz  # https://doi.example/1\n")
    assert run_command(["cache", "import", address]) == 0
    assert "is that of of-the-paper.tar.xz, pinned in prebuilt.sha256." in capsys.readouterr().out
    assert [product.kind for product in cache.products()] == ["lab-disk"]


def test_another_archive_is_refused(
    packed: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    pin(monkeypatch, tmp_path, f"{'0' * 64}  of-the-paper.tar.xz\n")
    assert run_command(["cache", "import", address]) == 2
    said = capsys.readouterr().err
    assert sha256_of(packed) in said
    assert "which is not that of of-the-paper.tar.xz, pinned in prebuilt.sha256. Nothing was imported." in said
    for source in (address, str(packed), packed.as_uri()):
        assert run_command(["cache", "import", source, "--sha256", "0" * 64]) == 2
        assert "which is not the one given with --sha256. Nothing was imported." in capsys.readouterr().err
    assert cache.products() == []


def test_where_nothing_is_pinned_the_sha256_must_be_given(
    packed: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    pin(monkeypatch, tmp_path, "")
    assert run_command(["cache", "import", address]) == 2
    assert "with --sha256" in capsys.readouterr().err
    assert run_command(["cache", "import", address, "--sha256", "abc"]) == 2
    assert run_command(["cache", "import", address, "--sha256", sha256_of(packed).upper()]) == 0
    assert len(cache.products()) == 1


def test_a_file_may_be_named_by_its_path_or_its_address(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    pin(monkeypatch, tmp_path, "")
    assert run_command(["cache", "import", packed.as_uri()]) == 2  # an address needs a SHA-256
    assert cache.products() == []
    for source in (packed.as_uri(), str(packed)):
        assert run_command(["cache", "import", source, "--sha256", sha256_of(packed)]) == 0
        assert "is the one given with --sha256." in capsys.readouterr().out
    assert len(cache.products()) == 1


@pytest.mark.parametrize("ending", [".gone", "/below"])
def test_what_cannot_be_fetched_is_a_sentence(
    packed: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output, ending: str
) -> None:
    pin(monkeypatch, tmp_path, f"{'0' * 64}  lab.tar.xz\n")
    for source in (address, packed.as_uri()):
        assert run_command(["cache", "import", f"{source}{ending}"]) == 2
        said = capsys.readouterr().err
        assert "cannot be fetched: " in said
        assert said.rstrip().endswith("Nothing was imported.")


@pytest.mark.parametrize(
    "source", ["gone.tar.xz", "ftp://127.0.0.1/lab.tar.xz", "https:", ".", "file://elsewhere/x", "http://[x"]
)
def test_what_is_neither_a_file_nor_an_address_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["cache", "import", source, "--sha256", "0" * 64]) == 2
    assert f"orch: {source} " in capsys.readouterr().err


def test_an_export_replaces_nothing(packed: Path, capsys: Output) -> None:
    for target, why in (
        (packed, "already exists"),
        (packed.parent, "is not the name of a file"),
        (packed.parent / "gone" / "lab.tar.xz", "is not the name of a file"),
    ):
        assert run_command(["cache", "export", str(target)]) == 2
        assert why in capsys.readouterr().err


def test_the_pins_of_the_checkout_can_be_read_and_a_bad_line_is_told_with_its_place(tmp_path: Path) -> None:
    assert isinstance(prebuilt.pinned(), dict)
    bad = tmp_path / "pins"
    bad.write_text("# a comment\nabc  x\n")
    with pytest.raises(UserError, match=r"pins:2: 'abc  x' is not a SHA-256"):
        prebuilt.pinned(bad)
