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
    pin(monkeypatch, tmp_path, f"{prebuilt.digest_of(packed)}  of-the-paper.tar.xz  # https://doi.example/1\n")
    assert run_command(["cache", "import", address]) == 0
    assert "The archive matches the pinned SHA-256: of-the-paper.tar.xz." in capsys.readouterr().out
    assert [product.kind for product in cache.products()] == ["lab-disk"]


def test_another_archive_is_refused(
    packed: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    pin(monkeypatch, tmp_path, f"{'0' * 64}  of-the-paper.tar.xz\n")
    assert run_command(["cache", "import", address]) == 2
    said = capsys.readouterr().err
    assert prebuilt.digest_of(packed) in said
    assert "is not pinned (of-the-paper.tar.xz)" in said
    assert run_command(["cache", "import", str(packed), "--sha256", "0" * 64]) == 2
    assert cache.products() == []


def test_where_nothing_is_pinned_the_sha256_must_be_given(
    packed: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    pin(monkeypatch, tmp_path, "")
    assert run_command(["cache", "import", address]) == 2
    assert "with --sha256" in capsys.readouterr().err
    assert run_command(["cache", "import", address, "--sha256", "abc"]) == 2
    assert run_command(["cache", "import", address, "--sha256", prebuilt.digest_of(packed).upper()]) == 0
    assert len(cache.products()) == 1


def test_what_cannot_be_fetched_is_a_sentence(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    pin(monkeypatch, tmp_path, f"{'0' * 64}  lab.tar.xz\n")
    assert run_command(["cache", "import", f"{address}.gone"]) == 2
    assert "cannot be fetched: File not found. Nothing was imported." in capsys.readouterr().err


def test_the_pins_of_the_checkout_can_be_read_and_a_bad_line_is_told_with_its_place(tmp_path: Path) -> None:
    assert isinstance(prebuilt.pinned(), dict)
    bad = tmp_path / "pins"
    bad.write_text("# a comment\nabc  x\n")
    with pytest.raises(UserError, match=r"pins:2: 'abc  x' is not a SHA-256"):
        prebuilt.pinned(bad)
