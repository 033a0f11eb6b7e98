# SPDX-License-Identifier: Apache-2.0
"""The source from which a module is built on a host: that of its own kernel, by the names that distributions use."""

import subprocess
from pathlib import Path

import pytest

from orchestrator.paths import KERNEL
from orchestrator.testbed.ssh.provisioning import source_packages

FIND = '#!/bin/bash\nexec /usr/bin/find "{folder}" "${{@:2}}"\n'
TAR = '#!/bin/sh\nfor word; do case "$word" in *.tar.*) echo "unpacks ${word##*/}";; esac; done\nexit 9\n'


def unpacked(folder: Path, release: str, *files: str) -> str:
    """Return the script's result with these files in /usr/src: the file that it unpacks, or what is missing."""
    (folder / "src").mkdir()
    for name in files:
        (folder / "src" / name).touch()
    (folder / "bin").mkdir()
    for name, text in (("find", FIND.format(folder=folder / "src")), ("tar", TAR)):
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    done = subprocess.run(
        ["sh", KERNEL / "build-module.sh", "", release],
        env={"PATH": f"{folder / 'bin'}:/usr/bin:/bin"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    return (done.stdout + done.stderr).strip()


NEWEST = ("linux-source-5.1.tar.xz", "linux-source-5.10.tar.xz", "linux-source-5.10.0.tar.bz2", "linux-config-5.10")
UBUNTUS = ("linux-source-6.5.0.tar.bz2", "linux-hwe-6.11-source-6.11.0.tar.bz2")
SOURCES = [
    ("5.1.0-3-amd64", NEWEST, "unpacks linux-source-5.1.tar.xz"),
    ("5.10.0-30-amd64", NEWEST[:2], "unpacks linux-source-5.10.tar.xz"),
    ("5.10.0-30-generic", NEWEST, "unpacks linux-source-5.10.0.tar.bz2"),
    ("5.10.57+deb99-cloud-amd64", NEWEST, "unpacks linux-source-5.10.tar.xz"),
    ("5.10-rt-arm64", NEWEST, "unpacks linux-source-5.10.tar.xz"),
    ("5.1~rc3-amd64", NEWEST, "unpacks linux-source-5.1.tar.xz"),
    ("6.5.0-1014-oem", UBUNTUS, "unpacks linux-source-6.5.0.tar.bz2"),
    ("6.11.0-9-generic", UBUNTUS, "unpacks linux-hwe-6.11-source-6.11.0.tar.bz2"),
    ("5.11-amd64", NEWEST, "there is no source of Linux 5.11 in /usr/src: install linux-source-5.11 "),
    ("5.1.0-3-amd64", NEWEST[1:], "install linux-source-5.1 (Ubuntu: linux-source-5.1.0)"),
    ("6.1.0-9-generic", UBUNTUS, "there is no source of Linux 6.1 "),
]


@pytest.mark.parametrize(("release", "files", "says"), SOURCES)
def test_the_source_of_another_kernel_is_never_taken(
    tmp_path: Path, release: str, files: tuple[str, ...], says: str
) -> None:
    assert says in unpacked(tmp_path, release, *files)


PACKAGES = [
    ("5.10.0-30-amd64", "debian", "linux-source-5.10"),
    ("5.12.9+deb99-amd64", "debian", "linux-source-5.12"),
    ("5.11-amd64", "debian", "linux-source-5.11"),
    ("6.5.0-44-generic", "ubuntu", "linux-source-6.5.0"),
    ("6.5-generic", "ubuntu", "linux-source-6.5.0"),
    ("6.5.0-44-generic", "linuxmint ubuntu debian", "linux-source-6.5.0"),
    ("6.5.40+rpt-rpi-v8", "raspbian debian", "linux-source-6.5"),
]


@pytest.mark.parametrize(("release", "systems", "package"), PACKAGES)
def test_the_package_of_the_source_is_called_as_the_distribution_calls_it(
    release: str, systems: str, package: str
) -> None:
    assert source_packages(release, systems.split())[0] == package


def test_a_kernel_that_is_newer_than_ubuntu_has_its_source_in_a_package_of_its_flavour() -> None:
    found = source_packages("6.11.0-1007-azure", ["ubuntu"])
    assert found[1:3] == ["linux-hwe-6.11-source-6.11.0", "linux-azure-6.11-source-6.11.0"]
    assert source_packages("custom", ["debian"]) == []
