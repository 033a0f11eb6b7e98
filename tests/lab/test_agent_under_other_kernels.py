# SPDX-License-Identifier: Apache-2.0
"""The agent's tests in namespaces, under the lab's kernel: it has the kinds of interfaces that this computer's may lack
(VLANs, bonds, bridges, macvlans, ipvlans, VRFs, WireGuard, GRE), and no case of theirs is left out."""

import inspect
import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from tests.lab.kernel.machine import KernelMachine, machine
from tests.unit import namespaces, test_agent_nics, test_agent_shaping, test_agent_way

pytestmark = [pytest.mark.lab, pytest.mark.full]
FOLDER = "/opt/cases"  # not in /run, which is a new one in the namespaces
PARTS = ("orchestrator/__init__.py", "orchestrator/agent", "tests/unit/inside_namespaces.py")
# What the lab's kernel has none of.
WITHOUT = {"vxlan", "ipip", "sit", "geneve", "tun"}
LEFT_OUT = {"test_what_routers_advertise_comes_back_with_its_life_and_is_renewed"}  # it has no CONFIG_IPV6_ROUTE_INFO


def in_namespaces(module: ModuleType) -> Iterator[Callable[[], None]]:
    """The tests of a module that need no fixture, and have to do with namespaces."""
    for name, test in inspect.getmembers(module, inspect.isfunction):
        if name.startswith("test_") and name not in LEFT_OUT and not inspect.signature(test).parameters:
            yield test


TESTS = [*in_namespaces(test_agent_way), *in_namespaces(test_agent_nics), *in_namespaces(test_agent_shaping)]


@pytest.fixture(scope="module")
def other() -> Iterator[KernelMachine]:
    with machine(1) as booted:
        booted.load("upstream")
        booted.put({part: namespaces.ROOT / part for part in PARTS}, FOLDER)
        yield booted


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.__name__)
def test_under_the_lab_s_kernel(test: Callable[[], None], other: KernelMachine) -> None:
    left_out: set[str] = set()

    def there(cases: str) -> namespaces.Done:
        # The login's own connection is none of a case's.
        environment = ["env", "-u", "SSH_CONNECTION", f"PYTHONPATH={FOLDER}"]
        command = shlex.join([*environment, *namespaces.ENTER, "python3", f"{FOLDER}/{PARTS[-1]}"])
        said = other.run(f"cd {FOLDER} && {command}", timeout_s=300, data=cases.encode())
        asked = json.loads(cases)
        for name in asked.keys() - json.loads(said).keys():
            left_out.update(asked[name]["needs"])
        return subprocess.CompletedProcess(command, 0, said, "")

    token = namespaces.where.set(there)
    try:
        test()
    finally:
        namespaces.where.reset(token)
    assert left_out <= WITHOUT
