# SPDX-License-Identifier: Apache-2.0
"""The preflight of NICs: checks that each link has interfaces that can carry its packets, alike at both ends.

All functions are pure: surveys in, findings out.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.errors import TestbedError
from orchestrator.requirement import Checked, Need
from orchestrator.spec import Link
from orchestrator.spec.fields import LINK_MTU
from orchestrator.testbed.cpus import cpu_order, cpu_rows
from orchestrator.testbed.ssh.schema import SshHost, SshTestbed
from orchestrator.testbed.ssh.surveys import Survey, has_gateway


def of_nics(testbed: SshTestbed, host: SshHost, surveys: Mapping[str, Survey]) -> Iterator[Checked]:
    """Yield the findings on each interface that a host names for a link."""
    nics = surveys[host.name].facts["nics"]
    for link, name in host.nics.items():
        title = f"Interface {name}"
        if name not in nics:
            what, remedy = f"not there; there are {', '.join(nics) or 'none'}", f"Correct nics: {link}."
            if own := surveys[host.name].facts.get("other_names", {}).get(name):
                what, remedy = f"another name of {own}", f"Write {own} in nics: {link}."
            yield Checked.of(title, Need.REQUIRED, False, what, remedy)
            continue
        nic = nics[name]
        speed = nic["speed_mbps"] or 0
        told = [nic["driver"] or nic["kind"] or "no driver", f"MTU {nic['mtu']}"]
        told += [f"{speed / 1000:g} Gbit/s"] if speed > 0 else []
        told += [f"NUMA node {nic['numa_node']}"] if (nic["numa_node"] or 0) > 0 else []
        told += [f"{nic['queues']} queue{'s' * (nic['queues'] != 1)}"]
        what = f"{link}: {', '.join(told)}"
        if nic["trouble"]:
            yield Checked.of(title, Need.REQUIRED, False, nic["trouble"], f"Name another interface in nics: {link}.")
        elif nic["mtu"] < LINK_MTU:
            yield Checked.of(title, Need.REQUIRED, False, what, f"The link must carry packets of {LINK_MTU} bytes.")
        elif has_gateway(host) and (far := _far_cpus(host, surveys[host.name].facts, nic["numa_node"])):
            yield Checked.of(title, Need.ADVICE, False, f"{what}; {far}", f"Set cpus: node-{nic['numa_node']}.")
        elif nic["up"] and not nic["carrier"]:
            yield Checked.of(title, Need.ADVICE, False, f"{what}, no carrier", "Is the cable in, and the far end up?")
        else:
            yield from _of_far_end(testbed, host, surveys, link, title, what, nic)


def _far_cpus(host: SshHost, facts: Mapping[str, Any], node: int | None) -> str:
    """Return a clause if the CPUs that are used first are on another NUMA node than an interface.

    Empty if not, if unknown, or if the interface's node has no usable CPUs.
    """
    rows = cpu_rows(host, facts)
    nodes = {row["cpu"]: row["node"] for row in rows}
    if node not in {row["node"] for row in rows if row["unusable"] is None}:
        return ""
    try:
        first = cpu_order(host.name, host.cpus, rows)[0]
    except (TestbedError, IndexError):
        return ""
    return "" if nodes[first] in (node, None) else f"and the CPUs that are taken first are on NUMA node {nodes[first]}"


def _of_far_end(
    testbed: SshTestbed,
    host: SshHost,
    surveys: Mapping[str, Survey],
    link: Link,
    title: str,
    what: str,
    nic: Mapping[str, Any],
) -> Iterator[Checked]:
    """Yield whether both ends of a link are alike."""
    ends = [other for other in testbed.hosts if link in other.nics and other.name != host.name]
    for other in ends:
        far = (
            surveys[other.name].facts.get("nics", {}).get(other.nics[link]) if not surveys[other.name].trouble else None
        )
        if far is None:
            continue
        for unit, key in (("MTU", "mtu"), ("speed in Mbit/s", "speed_mbps")):
            if nic[key] and far[key] and nic[key] > 0 and far[key] > 0 and nic[key] != far[key]:
                differs = f"{what}; {unit} {nic[key]} here and {far[key]} on {other.name}"
                yield Checked.of(title, Need.ADVICE, False, differs, "Set both ends alike.")
                return
    yield Checked.of(title, Need.REQUIRED, True, what)
