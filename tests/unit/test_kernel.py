# SPDX-License-Identifier: Apache-2.0
"""Checking a kernel source, and distinguishing modules."""

import subprocess
from pathlib import Path

import pytest

from orchestrator import debian
from orchestrator.cli.app import run_command
from orchestrator.debian import Version
from orchestrator.errors import TestbedError, UserError
from orchestrator.kernel.builds import build_named, shipped_builds
from orchestrator.kernel.elf import build_id
from orchestrator.kernel.lab import patches
from orchestrator.kernel.releases import release_module
from orchestrator.kernel.source import choose, pin, version_key
from orchestrator.kernel.variants import load_variants, variant
from orchestrator.paths import KERNEL
from orchestrator.progress import Silent

DEB822 = """\
Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""


def find_mirror(folder: Path, **files: str) -> list[str]:
    for name, text in files.items():
        (folder / name).write_text(text)
    return list(debian._own_mirrors(sorted(folder.iterdir())))


def test_the_mirror_is_read_from_either_format(tmp_path: Path) -> None:
    assert find_mirror(tmp_path, a=DEB822) == ["http://mirror.example/debian"]
    line = "deb [signed-by=/k.gpg] https://other.example/debian/ trixie main contrib\n"
    line += "# deb http://no.example/debian x main\n"
    assert find_mirror(tmp_path, a=line) == ["https://other.example/debian"]


def test_other_archives_are_no_mirror(tmp_path: Path) -> None:
    foreign = "deb https://packages.example/apt stable main\ndeb http://archive.example/ubuntu noble main\n"
    disabled = DEB822.replace("Types: deb\n# a", "Types: deb\nEnabled: no\n# a")
    assert find_mirror(tmp_path, a=foreign, b=disabled) == []


def at(version: str, suite: str = "sid", package: str = "linux-source-7.2") -> Version:
    return Version(package, version, suite)


def test_the_pinned_source_comes_first_then_the_newest_of_its_series_then_the_next_series() -> None:
    wanted = pin()
    later = at("7.3.4-1~bpo13+1", package="linux-source-7.3")
    much_later = at("7.4.1-1", package="linux-source-7.4")
    older = at("7.2.9-1")
    newer = at("7.2.20-1")
    exact = at(wanted.version)
    assert choose(wanted, [older, newer, later, exact]) == exact
    assert choose(wanted, [older, newer, later]) == newer
    assert choose(wanted, [much_later, later]) == later
    assert choose(wanted, [at("6.12.1-1", package="linux-source-6.12")]) is None


def test_versions_are_ordered_as_numbers() -> None:
    assert version_key("7.2.13-1~bpo13+1") == (7, 2, 13)
    assert version_key("7.2.9-1") < version_key("7.2.13-1")


@pytest.mark.parametrize("series", sorted(KERNEL.glob("*/series")), ids=lambda path: path.parent.name)
def test_a_series_names_the_files_that_are_there(series: Path) -> None:
    named = patches(series)
    assert named
    assert sorted(named) == sorted((series.parent / "patches").glob("*.patch"))
    assert all("SPDX-License-Identifier: GPL-2.0" in patch.read_text() for patch in named)


def test_the_build_id_is_what_the_linker_wrote(tmp_path: Path) -> None:
    source = tmp_path / "a.c"
    source.write_text("int x;")
    wanted = "0123456789abcdef0123456789abcdef01234567"
    with_id, without = tmp_path / "with.so", tmp_path / "without.so"
    subprocess.run(["gcc", "-shared", f"-Wl,--build-id=0x{wanted}", "-o", with_id, source], check=True)
    subprocess.run(["gcc", "-shared", "-Wl,--build-id=none", "-o", without, source], check=True)
    assert build_id(with_id) == wanted
    with pytest.raises(TestbedError, match="no build id"):
        build_id(without)
    with pytest.raises(TestbedError, match="no build id"):
        build_id(source)


def test_variants_are_known_by_name() -> None:
    known = load_variants()
    assert known["vanilla"].build == known["threaded"].build == "upstream"
    assert (known["vanilla"].threaded, known["threaded"].threaded) == (False, True)
    with pytest.raises(UserError, match=r"no variant 'vanila'.*vanilla"):
        variant("vanila")


def test_a_variant_is_a_build_and_settings(tmp_path: Path) -> None:
    known = load_variants()
    assert {found.build for found in known.values() if found.system == "wireguard"} == set(shipped_builds())
    assert known["inline"].settings == {"transmit": "inline", "receive": "inline"}
    assert known["pinned"].pinned
    assert "cpus" not in known["pinned"].settings
    assert not known["vanilla"].pinned
    bad = tmp_path / "variants.yaml"
    bad.write_text("odd: {description: x, build: multitunnel, settings: {cpus: 3}}\n")
    with pytest.raises(
        UserError, match=r"variants.yaml:1:6: odd: a mapping is not valid: cpus is 3. Expected cpus: own"
    ):
        load_variants(bad)


def test_what_cannot_be_built_is_named_before_anything_is_done() -> None:
    with pytest.raises(UserError, match=r"no kernel 'bookworm-5.10'.*bookworm-6.1"):
        release_module("bookworm-5.10", build_named("upstream"), Silent())
    with pytest.raises(UserError, match=r"no build 'vanilla'.*upstream, multitunnel"):
        build_named("vanilla")


def test_the_source_that_patches_apply_to_is_written_without_a_built_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = tmp_path / "linux" / "drivers" / "net" / "wireguard"
    module.mkdir(parents=True)
    (module / "messages.h").write_text("/* upstream */")
    (module.parent / "veth.c").touch()
    (tmp_path / "sources").mkdir()
    tarball = tmp_path / "sources" / f"linux-source-{pin().series}.tar.xz"
    subprocess.run(["tar", "--create", "--xz", "-C", tmp_path, "-f", tarball, "linux"], check=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ORCH_SOURCE_DIR", str(tarball.parent))
    target = tmp_path / "idea" / "a"
    assert run_command(["kernel", "source", str(target)]) == 0
    assert [path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()] == [
        "drivers/net/wireguard/messages.h"
    ]
    assert "diff -ruN a b" in capsys.readouterr().out
    assert run_command(["kernel", "source", str(target)]) == 2
    assert "already exists" in capsys.readouterr().err
    tarball.write_bytes(b"damaged")
    assert run_command(["kernel", "source", str(tmp_path / "b")]) == 3
    assert "Unpacking the kernel source failed" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
    assert run_command(["kernel", "source", str(tmp_path / "b"), "--build", "none"]) == 2
