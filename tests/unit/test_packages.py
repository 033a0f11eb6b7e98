# SPDX-License-Identifier: Apache-2.0
"""Debian packages that a testbed file requests for the lab's image: refusals, and when an image is rebuilt."""

from pathlib import Path

import pytest

from orchestrator import cache, debian, spec
from orchestrator.errors import TestbedError
from orchestrator.kernel.releases import load_releases
from orchestrator.testbed.qemu import image as guests
from orchestrator.testbed.qemu.schema import QemuTestbed
from orchestrator.testbed.uml import image as lab
from orchestrator.testbed.uml.schema import UmlTestbed

FILE = """testbed: bench
provider: {provider}
packages: {packages}
hosts:
  - {{name: one, roles: [client, gateway-a, gateway-b, server]}}
"""


def read(folder: Path, packages: str, provider: str = "uml") -> UmlTestbed | QemuTestbed:
    file = folder / "bench.yaml"
    file.write_text(FILE.format(packages=packages, provider=provider))
    found = spec.load_testbed(str(file))
    assert isinstance(found, UmlTestbed | QemuTestbed)
    return found


@pytest.mark.parametrize("provider", ["uml", "qemu"])
def test_a_testbed_file_names_packages(provider: str, tmp_path: Path) -> None:
    assert read(tmp_path, "[tcpdump, libc++1, g++]", provider).packages == ("tcpdump", "libc++1", "g++")
    assert read(tmp_path, "[]", provider).packages == ()


@pytest.mark.parametrize(
    "packages", ["[Tcpdump]", "['tcpdump=4.9']", "['--root=/']", "['a b']", "[tcpdump, tcpdump]", "x"]
)
def test_what_is_no_list_of_packages_is_refused(packages: str, tmp_path: Path) -> None:
    with pytest.raises(spec.SpecError, match=r"bench\.yaml:3"):
        read(tmp_path, packages)


def test_packages_decide_on_the_image_and_their_order_does_not() -> None:
    release = next(iter(load_releases().values()))
    for key in (
        lambda *names: cache.key_of(lab.image_inputs(names)),
        lambda *names: cache.key_of(guests.image_inputs(release, names)),
    ):
        assert key("tcpdump", "perf") == key("linux-perf", "tcpdump")
        assert len({key(), key("tcpdump"), key("netperf"), key("netperf", "tcpdump")}) == 4


def test_an_image_without_further_packages_is_the_one_that_the_cache_has() -> None:
    assert set(lab.image_inputs()) == {"guest", "suites", "size", "form"}


@pytest.mark.parametrize(
    "said",
    [
        "E: Unable to locate package tcpdmup",
        "E: Package 'tcpdmup' has no installation candidate",
        "E: Package tcpdmup has no installation candidate",
    ],
)
def test_a_package_that_debian_lacks_is_named(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "keyring", lambda: Path("/keys"))
    monkeypatch.setattr(debian, "mirror", lambda: "http://mirror.example/debian")
    tool = tmp_path / "bin" / "mmdebstrap"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\necho "I: installing tcpdump"\necho "{said}" >&2\nexit 25\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    seen: list[str] = []
    with pytest.raises(TestbedError, match=r"no installable package tcpdmup on http://mirror\.example/debian") as error:
        debian.mmdebstrap(
            tmp_path,
            ["trixie"],
            ["tcpdmup"],
            [],
            tmp_path / "log",
            variant="essential",
            left_out=(),
            what="Building",
            on_line=seen.append,
            keep_log=tmp_path / "kept",
        )
    assert said in seen
    assert said in (tmp_path / "kept").read_text()
    assert "packages:" in str(error.value)
