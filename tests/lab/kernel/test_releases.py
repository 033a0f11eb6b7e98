# SPDX-License-Identifier: Apache-2.0
"""The series builds for Debian's kernels, each with its own compiler, headers and source."""

import pytest

from orchestrator.kernel.builds import shipped_builds
from orchestrator.kernel.releases import load_releases, release_module
from orchestrator.progress import Silent

pytestmark = [pytest.mark.lab, pytest.mark.full, pytest.mark.beside]


@pytest.mark.parametrize("build", shipped_builds())
@pytest.mark.parametrize("release", load_releases())
def test_the_module_builds_and_is_for_that_kernel(release: str, build: str) -> None:
    product = release_module(release, shipped_builds()[build], Silent())
    facts = product.description["facts"]
    series = release.rsplit("-", 1)[1]
    assert facts["release"].startswith(f"{series}.")
    content = (product.path / "wireguard.ko").read_bytes()
    assert f"vermagic={facts['release']} ".encode() in content
    assert (b"parm=transmit" in content) == (build != "upstream")
