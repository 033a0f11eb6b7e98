# SPDX-License-Identifier: Apache-2.0
"""The agent's tests in namespaces, under other kernels than this computer's: the lab's, and Debian's in a machine that
QEMU emulates. Both have VLANs, bonds, bridges, macvlans, ipvlans, VRFs, WireGuard and GRE; Debian's has VXLAN, IPIP,
SIT, Geneve and tun as well, and what routers advertise. No case of a kind that a kernel should have is left out."""

import inspect
import json
import shlex
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

import pytest

from orchestrator.progress import Silent
from orchestrator.testbed.qemu import machine as qemu
from tests.lab.computers import Computer, Hardware, start
from tests.lab.debian_machine import debian_machine
from tests.lab.kernel.machine import machine
from tests.unit import namespaces, test_agent_nics, test_agent_shaping, test_agent_way

pytestmark = [pytest.mark.lab, pytest.mark.full, pytest.mark.beside]
FOLDER = "/opt/cases"  # not in /run, which is a new one in the namespaces
PARTS = ("orchestrator/__init__.py", "orchestrator/agent", "tests/unit/inside_namespaces.py")
TIMEOUT_S = 900.0


def in_namespaces(module: ModuleType) -> Iterator[Callable[[], None]]:
    """Yield the tests of a module that need no fixture, and have to do with namespaces."""
    for name, test in inspect.getmembers(module, inspect.isfunction):
        if name.startswith("test_") and not inspect.signature(test).parameters:
            yield test


TESTS = [*in_namespaces(test_agent_way), *in_namespaces(test_agent_nics), *in_namespaces(test_agent_shaping)]


@dataclass(frozen=True)
class Other:
    """A machine with another kernel, the kinds of interfaces which that lacks, and the tests of what else it lacks.

    ``carry_out`` runs a script there, with its standard input, and returns what it printed.
    """

    carry_out: Callable[[str, str], str]
    without: frozenset[str] = frozenset()
    left_out: frozenset[str] = frozenset()


@pytest.fixture(scope="module", name="lab_s")
def of_the_lab() -> Iterator[Other]:
    with machine(1) as booted:
        booted.load("upstream")
        booted.put({part: namespaces.ROOT / part for part in PARTS}, FOLDER)
        yield Other(
            lambda script, cases: booted.run(script, TIMEOUT_S, cases.encode()),
            frozenset({"vxlan", "ipip", "sit", "geneve", "tun"}),
            # It has no CONFIG_IPV6_ROUTE_INFO.
            frozenset({"test_what_routers_advertise_comes_back_with_its_life_and_is_renewed"}),
        )


@pytest.fixture(scope="module", name="debian_s")
def of_debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Other]:
    if missing := qemu.missing_packages():
        pytest.skip(f"not on this computer: {', '.join(missing)}")
    made, folder = debian_machine(Silent()), tmp_path_factory.mktemp("debian")
    with start(Computer("one", made.path / "disk.raw", made.path / "key", folder, Hardware("2"))) as booted:
        archive, given = folder / "parts.tar", folder / "cases.json"
        with tarfile.open(archive, "w") as tar:
            for part in PARTS:
                tar.add(namespaces.ROOT / part, part)
        booted.run(f"mkdir -p {FOLDER} && tar -xf - -C {FOLDER}", data=archive)

        def carry_out(script: str, cases: str) -> str:
            given.write_text(cases)
            return booted.run(script, TIMEOUT_S, given)

        yield Other(carry_out)


def under(other: Other, test: Callable[[], None]) -> None:
    """Run a test of namespaces on another machine; no case may be left out but those of kinds that it lacks."""
    if test.__name__ in other.left_out:
        pytest.skip("the kernel lacks what it is about")
    left_out: set[str] = set()

    def there(cases: str) -> namespaces.Done:
        # The login's own connection is none of a case's.
        environment = ["env", "-u", "SSH_CONNECTION", f"PYTHONPATH={FOLDER}"]
        command = shlex.join([*environment, *namespaces.ENTER, "python3", f"{FOLDER}/{PARTS[-1]}"])
        said = other.carry_out(f"cd {FOLDER} && {command}", cases)
        asked = json.loads(cases)
        for name in asked.keys() - json.loads(said).keys():
            left_out.update(asked[name]["needs"])
        return subprocess.CompletedProcess(command, 0, said, "")

    token = namespaces.where.set(there)
    try:
        test()
    finally:
        namespaces.where.reset(token)
    assert left_out <= other.without


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.__name__)
def test_under_the_lab_s_kernel(test: Callable[[], None], lab_s: Other) -> None:
    under(lab_s, test)


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.__name__)
def test_under_debian_s_kernel(test: Callable[[], None], debian_s: Other) -> None:
    under(debian_s, test)
