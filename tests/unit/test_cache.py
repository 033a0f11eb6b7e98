# SPDX-License-Identifier: Apache-2.0
"""The cache: a product is complete or absent, and only one of two processes builds it."""

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import cache
from orchestrator.cli.app import run_command
from orchestrator.errors import TestbedError
from orchestrator.learned import learn, learned
from orchestrator.progress import Silent
from orchestrator.testbed.uml import archive


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "orch"


def obtain(inputs: Mapping[str, Any], build: Any, kind: str = "lab-disk") -> cache.Product:
    return cache.obtain(kind, inputs, build, Silent(), title="Making it", estimate_s=1)


def test_a_product_is_built_once() -> None:
    built = []

    def build(folder: Path) -> dict[str, int]:
        built.append(folder)
        (folder / "file").write_text("content")
        return {"answer": 42}

    first, second = obtain({"a": 1}, build), obtain({"a": 1}, build)
    assert len(built) == 1
    assert first.path == second.path
    assert (second.path / "file").read_text() == "content"
    assert second.description["facts"] == {"answer": 42}
    assert obtain({"a": 2}, build).path != first.path
    assert learned("lab-disk") is not None


def test_the_list_has_a_line_for_each_product(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["cache", "list"]) == 0
    assert capsys.readouterr().out.startswith(f"The cache {home} is empty.")
    product = obtain({"a": 1}, lambda folder: (folder / "file").write_bytes(bytes(3 * 2**20)) and {})
    assert run_command(["cache", "list"]) == 0
    folder, head, row = capsys.readouterr().out.splitlines()
    assert folder == str(home)
    assert head.split() == ["kind", "key", "made", "took", "size"]
    kind, key, *_, size, unit = row.split()
    assert (kind, key, size, unit) == ("lab-disk", product.key, "3", "MiB")


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_failed_build_leaves_nothing(home: Path, error: BaseException) -> None:
    def build(folder: Path) -> dict[str, int]:
        (folder / "half").write_text("half")
        raise error

    expected = TestbedError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        obtain({"a": 1}, build)
    assert list((home / "lab-disk").iterdir()) == []
    assert cache.products() == []


def test_what_a_killed_build_left_is_no_product(home: Path) -> None:
    program = textwrap.dedent("""
        import os, signal
        from orchestrator import cache
        from orchestrator.progress import Silent
        def build(folder):
            (folder / "half").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        cache.obtain("lab-disk", {"a": 1}, build, Silent(), title="x", estimate_s=1)
    """)
    killed = subprocess.run([sys.executable, "-c", program], env=os.environ, check=False)
    assert killed.returncode == -9
    assert cache.products() == []
    made = obtain({"another": 1}, lambda folder: {})
    assert [path.name for path in made.path.iterdir()] == ["product.json"]
    assert [path.name for path in (home / "lab-disk").iterdir()] == [made.key]


@given(st.dictionaries(st.text(), st.integers() | st.text(), max_size=4))
def test_a_key_depends_on_the_content_alone(inputs: dict[str, Any]) -> None:
    turned = dict(reversed(inputs.items()))
    assert cache.key_of(inputs) == cache.key_of(turned)
    assert cache.key_of({**inputs, "\0new": 1}) != cache.key_of(inputs)


def test_a_tree_hash_sees_names_contents_and_modes(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a").write_text("x")
    hashes = {cache.hash_tree(folder)}
    (folder / "a").chmod(0o755)
    hashes.add(cache.hash_tree(folder))
    (folder / "a").rename(folder / "b")
    hashes.add(cache.hash_tree(folder))
    (folder / "b").write_text("y")
    hashes.add(cache.hash_tree(folder))
    assert len(hashes) == 4


def test_an_archive_brings_products_to_another_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(folder: Path) -> dict[str, int]:
        (folder / "root.ext4").write_bytes(b"disk" * 1000)
        (folder / "headers").mkdir()
        (folder / "headers" / "for-building.h").touch()
        return {}

    made = obtain({"a": 1}, build)
    packed = tmp_path / "lab.tar.xz"
    assert archive.export_archive([made], packed) == packed.stat().st_size
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    (taken,) = archive.import_archive(packed)
    assert taken.path != made.path
    assert (taken.path / "root.ext4").read_bytes() == b"disk" * 1000
    assert (taken.path / "headers" / "for-building.h").is_file()
    assert cache.find("lab-disk", made.key) == taken


@pytest.mark.parametrize("name", ["a:b.tar.xz", "-x.tar.xz", "-", "of mine, {1}.tar.xz"])
def test_an_archive_may_have_any_name(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    made = obtain({"a": 1}, lambda folder: {})
    monkeypatch.chdir(tmp_path)
    archive.export_archive([made], Path(name))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert [taken.key for taken in archive.import_archive(Path(name))] == [made.key]


def test_a_damaged_archive_is_refused(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = obtain({"a": 1}, lambda folder: {})
    description = json.loads((made.path / "product.json").read_text())
    (made.path / "product.json").write_text(json.dumps({**description, "inputs": {"a": 2}}))
    packed = tmp_path / "lab.tar.xz"
    archive.export_archive([made], packed)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(archive.UserError, match="not the product that it claims to be"):
        archive.import_archive(packed)
    packed.write_bytes(packed.read_bytes()[:-40])
    with pytest.raises(archive.UserError, match="cannot be unpacked"):
        archive.import_archive(packed)
    assert cache.products() == []


@pytest.mark.parametrize("text", ["[]", "{}", "7", '{"kind": "lab-disk"}', "\u00ff", "[" * 100_000])
def test_a_product_json_of_something_else_is_no_product(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    made = obtain({"a": 1}, lambda folder: {})
    (made.path / "product.json").write_text(text)
    assert cache.products() == []
    packed = tmp_path / "lab.tar.xz"
    archive.export_archive([made], packed)
    assert obtain({"a": 1}, lambda folder: {}).key == made.key
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(archive.UserError, match="is not the product that it claims to be"):
        archive.import_archive(packed)


@pytest.mark.parametrize("manifest", ["[]", '{"files": ["a"]}', '{"files": 1}', "{}", "no JSON"])
def test_a_manifest_of_something_else_is_a_sentence(tmp_path: Path, home: Path, manifest: str) -> None:
    (tmp_path / "manifest.json").write_text(manifest)
    packed = tmp_path / "lab.tar.xz"
    subprocess.run(["tar", "-C", tmp_path, "-cJf", packed, "manifest.json"], check=True)
    with pytest.raises(archive.UserError, match="has no manifest; it was not made by"):
        archive.import_archive(packed)


@pytest.mark.parametrize("text", ["[]", "7", '{"lab-disk": NaN, "x": 3}', '{"lab-disk": "s", "x": 3}', "\u00ff"])
def test_estimates_of_something_else_teach_nothing(home: Path, text: str) -> None:
    cache.cache_home().mkdir(parents=True, exist_ok=True)
    (cache.cache_home() / "learned.json").write_text(text)
    assert learned("lab-disk", 5.0) == 5.0
    learn("lab-disk", 2.0)
    assert learned("lab-disk") == 2.0
    assert learned("x") == (3 if "x" in text else None)


@pytest.mark.parametrize(
    ("name", "says"), [("a:b", "':' in it, which make"), ("caf\udce9", r"'\udce9' in it, which is not")]
)
def test_a_path_from_which_no_lab_is_built_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
    with pytest.raises(TestbedError, match=re.escape(says)):
        cache.refuse_odd_path()
