# SPDX-License-Identifier: Apache-2.0
"""The conclusions of the preflight from the facts about hosts."""

from typing import Any

import pytest
import yaml

from orchestrator import paths
from orchestrator.plan import Capabilities
from orchestrator.programs import Needs, Program
from orchestrator.requirement import Checked, Need
from orchestrator.testbed.ssh import looking
from orchestrator.testbed.ssh.kernels import with_other_kernels
from orchestrator.testbed.ssh.preflight import examine, has_source, sentences
from orchestrator.testbed.ssh.schema import SshTestbed
from orchestrator.testbed.ssh.surveys import Survey, kernel_modules, programs

RELEASE = "6.12.48+deb13-amd64"


def bed(**changes: Any) -> SshTestbed:
    left = {"name": "left", "roles": ("client", "gateway-a"), "nics": {"wan": "ens1"}, **changes}
    right = {"name": "right", "roles": ("gateway-b", "server"), "nics": {"wan": "ens2"}}
    return SshTestbed.model_validate({"testbed": "t", "provider": "ssh", "hosts": (left, right)})


def nic(**changes: Any) -> dict[str, Any]:
    good = {"driver": "ice", "kind": "", "mtu": 1500, "up": True, "carrier": True, "speed_mbps": 100_000}
    return {**good, "numa_node": 0, "queues": 64, "trouble": None, **changes}


def facts(**changes: Any) -> dict[str, Any]:
    """Return the facts about a good server."""
    tools = {name: f"{name} 1.0" for name in ("ip", "iperf3", "nft", "modprobe", "ethtool", "gcc", "make")}
    return {
        "kernel_release": RELEASE,
        "machine": "x86_64",
        "system": {"id": "debian", "like": [], "name": "Debian GNU/Linux 13 (trixie)", "version": "13"},
        "uid": 0,
        "python": "3.13.5",
        "commands": tools,
        "kernel_modules": dict.fromkeys(kernel_modules(), True),
        "headers": True,
        "sources": ["linux-source-6.12.tar.xz"],
        "secure_boot": False,
        "lockdown": "none",
        "signatures_enforced": False,
        "wireguard_devices": [],
        "nics": {"ens1": nic(), "ens2": nic()},
        "free_bytes": dict.fromkeys(("/", "/usr/local/lib", "/tmp", "/run"), 10 * 2**30),
        "cpus": [
            {"cpu": cpu, "online": True, "can_go_offline": cpu > 0, "core": cpu, "package": 0, "node": cpu // 2}
            for cpu in range(4)
        ],
        "busy": {"cores": 0.01, "names": ["systemd"]},
        "clock_synchronized": True,
        "holder": None,
        **changes,
    }


def stands_in_the_way(built: tuple[str, ...] = (), testbed: SshTestbed | None = None, **changes: Any) -> list[str]:
    surveys = {"left": Survey(facts(**changes)), "right": Survey(facts())}
    return sentences(examine(testbed or bed(), surveys, built))


def test_good_hosts_have_nothing_in_the_way() -> None:
    assert stands_in_the_way() == []
    found = examine(bed(), {name: Survey(facts()) for name in ("left", "right")}, ())
    assert all(finding.found for rows in found.values() for finding in rows)


FEDORA = {"id": "fedora", "like": [], "name": "Fedora Linux 99", "version": "99"}
OTHERS = {"kernel_release": "6.99.4-300.fc99.x86_64", "system": FEDORA}
BAD = [
    ({**OTHERS, "sources": ["linux-source-6.9.tar.xz"]}, "left: Modules: there is no source of Linux 6.99 in /usr/src"),
    (
        {"virtual_time": {"slots": 2}},
        "left: Virtual time: its clock is virtual, and a host's must be real.",
    ),
    ({"uid": 1000}, "left: Root: user id 1000. Log in as root, or with sudo"),
    ({"python": "3.8.1"}, "left: Python: 3.8.1. Python 3.9 or later is required"),
    ({"secure_boot": True}, "Secure Boot is on. Switch Secure Boot off"),
    ({"lockdown": "integrity"}, "the kernel takes signed modules only"),
    ({"signatures_enforced": True}, "the kernel takes signed modules only"),
    ({"wireguard_devices": ["wg0"]}, "left: WireGuard: in use: wg0."),
    ({"free_bytes": {"/": 0, "/usr/local/lib": 10**8, "/tmp": 10**9, "/run": 10**9}}, "/usr/local/lib needs 512 MiB"),
    ({"free_bytes": {"/": 0, "/usr/local/lib": 10**10, "/tmp": 10**9, "/run": 10**5}}, "0 MiB free in /run"),
    ({"nics": {"eno1": nic()}}, "left: Interface ens1: not there; there are eno1. Correct nics: wan."),
    (
        {"nics": {"eno1": nic()}, "other_names": {"ens1": "eno1", "ens2": "eno2"}},
        "left: Interface ens1: another name of eno1. Write eno1 in nics: wan.",
    ),
    ({"nics": {"ens1": nic(trouble="the default route goes over ens1")}}, "the default route goes over ens1"),
    ({"nics": {"ens1": nic(mtu=1400)}}, "MTU 1400"),
    ({"headers": False, "system": {"id": "arch", "like": [], "name": "Arch", "version": ""}}, "headers of its kernel"),
    (
        {"commands": {**facts()["commands"], "iperf3": None}, "system": {"id": "arch", "like": [], "name": "Arch"}},
        "missing: iperf3. Install them",
    ),
]


@pytest.mark.parametrize(("changes", "says"), BAD)
def test_what_stands_in_the_way_is_a_sentence(changes: dict[str, Any], says: str) -> None:
    found = stands_in_the_way(**changes)
    assert len(found) == 1
    assert says in found[0]


ADVICE = [
    ({"busy": {"cores": 1.5, "names": ["cc1", "make"]}}, "Idle", "1.5 of a core now (cc1, make)"),
    ({"clock_synchronized": False}, "Clock", "not synchronized"),
    ({"headers": False}, "Modules", "are not installed, so they cannot be built"),
    ({"commands": {**facts()["commands"], "iperf3": "iperf 3.9 (cJSON 1)"}}, "Tools", "iperf3 3.9 is too old"),
    ({"commands": {**facts()["commands"], "nft": None}}, "Tools", "missing: nftables"),
    ({"kernel_modules": {"esp4": False, "xfrm_user": True}}, "IPsec", "its kernel lacks esp4"),
    ({"nics": {"ens1": nic(carrier=False)}}, "Interface ens1", "no carrier"),
    ({"nics": {"ens1": nic(speed_mbps=25_000)}}, "Interface ens1", "25000 here and 100000 on right"),
    ({"nics": {"ens1": nic(numa_node=1)}}, "Interface ens1", "the CPUs that are taken first are on NUMA node 0"),
    ({"nics": {"ens1": nic(mtu=9000)}}, "Interface ens1", "MTU 9000 here and 1500 on right"),
    ({"holder": {"pid": 7, "command": "orch run x", "host": "desk"}}, "In use", "process 7 (`orch run x`) of desk"),
]


@pytest.mark.parametrize(("changes", "name", "says"), ADVICE)
def test_what_makes_results_worse_is_advice(changes: dict[str, Any], name: str, says: str) -> None:
    assert stands_in_the_way(**changes) == []
    rows = examine(bed(), {"left": Survey(facts(**changes)), "right": Survey(facts())}, ())["left"]
    (finding,) = [row for row in rows if row.name == name]
    assert (finding.need, finding.found) == (Need.ADVICE, False)
    assert says in finding.what


def test_a_system_whose_packages_are_not_known_builds_from_the_source_that_is_there() -> None:
    assert stands_in_the_way(**OTHERS, sources=["linux-source-6.99.tar.xz"]) == []
    assert stands_in_the_way(**OTHERS, sources=["linux-source-6.99.4.tar.bz2"]) == []
    assert stands_in_the_way(built=(str(OTHERS["kernel_release"]),), **OTHERS) == []


FILES = [
    ("6.1.0-28-amd64", "linux-source-6.1.tar.xz", True),
    ("6.1.0-28-amd64", "linux-source-6.12.tar.xz", False),
    ("6.12.48+deb13-amd64", "linux-source-6.1.tar.xz", False),
    ("6.11-amd64", "linux-source-6.11.tar.xz", True),
    ("6.8.0-45-generic", "linux-source-6.8.0.tar.bz2", True),
    ("6.11.0-9-generic", "linux-hwe-6.11-source-6.11.0.tar.bz2", True),
    ("6.12.1-arch1-1", "linux-6.12.1.tar.xz", False),
    ("custom", "linux-source-6.12.tar.xz", False),
]


@pytest.mark.parametrize(("release", "file", "fits"), FILES)
def test_a_file_has_the_source_of_a_kernel_by_its_name(release: str, file: str, fits: bool) -> None:
    assert has_source(release, [file]) == fits


def test_modules_that_this_computer_has_need_no_headers_unless_they_are_to_be_built_there() -> None:
    bare = {"headers": False, "system": {"id": "nixos", "like": [], "name": "NixOS", "version": ""}}
    assert stands_in_the_way((RELEASE,), **bare) == []
    assert "cannot be built" in stands_in_the_way((RELEASE,), bed(modules="build"), **bare)[0]


def test_a_host_that_cannot_be_asked_is_the_one_thing_that_is_told_of_it() -> None:
    surveys = {"left": Survey({}, trouble="no SSH connection (refused)."), "right": Survey(facts())}
    assert sentences(examine(bed(), surveys, ())) == ["left: Reachable: no SSH connection (refused)."]


def test_cpus_of_the_interfaces_own_node_need_no_advice() -> None:
    shown = {"nics": {"ens1": nic(numa_node=1)}}
    rows = examine(bed(cpus="node-1"), {"left": Survey(facts(**shown)), "right": Survey(facts())}, ())["left"]
    assert all(row.found for row in rows)


def cpu_findings(testbed: SshTestbed | None = None, **changes: Any) -> list[Checked]:
    surveys = {"left": Survey(facts(**changes)), "right": Survey(facts())}
    return [row for row in examine(testbed or bed(), surveys, ())["left"] if row.name.startswith("CPUs")]


def test_cpus_that_the_kernel_keeps_from_programs_are_named_with_what_to_do() -> None:
    first, isolated, ticks = cpu_findings(kernel_command_line="ro isolcpus=1-2 nohz_full=2")
    assert first.what == "4 of 4 online; they can be taken offline"
    assert (isolated.need, isolated.found) == (Need.ADVICE, False)
    assert "CPUs 1-2 are kept from programs by the kernel (isolcpus=" in isolated.what
    assert "without isolcpus=" in isolated.remedy
    assert "from CPUs 2 (nohz_full=)" in ticks.what


def test_cpus_that_cannot_come_on_line_are_named() -> None:
    off = {"online": False, "can_go_offline": True, "core": None, "package": None, "node": 0, "off_because": "smt"}
    cpus = [*facts()["cpus"], {"cpu": 4, **off}, {"cpu": 5, **off}]
    first, smt = cpu_findings(cpus=cpus)
    assert first.what == "4 of 6 online; those can be taken offline"
    assert smt.what.startswith("CPUs 4-5 are second threads that the kernel keeps offline")
    assert "tuning.smt: true" in smt.remedy
    (only,) = cpu_findings(bed(tuning={"smt": True}), cpus=cpus)
    assert only.name == "CPUs"
    forced = [{**row, "off_because": row.get("off_because") and "smt-forced"} for row in cpus]
    _, smt = cpu_findings(bed(tuning={"smt": True}), cpus=forced)  # which cannot bring them back
    assert smt.what.startswith("CPUs 4-5 are second threads that the kernel keeps offline until its next boot")
    assert "without nosmt=force" in smt.remedy


def test_a_host_without_a_cpu_for_trials_cannot_be_used() -> None:
    assert "none is left for trials" in stands_in_the_way(kernel_command_line="isolcpus=all")[0]
    in_the_way = stands_in_the_way(testbed=bed(cpus="0-1"), kernel_command_line="isolcpus=1")
    assert in_the_way[0].startswith("left: CPUs for trials: cannot use its CPU 1 (cpus: 0-1)")
    assert "has no CPU for trials on NUMA node 7" in stands_in_the_way(testbed=bed(cpus="node-7"))[0]


def test_an_interface_on_a_node_without_cpus_needs_no_advice_that_nobody_can_follow() -> None:
    shown = {"nics": {"ens1": nic(numa_node=2)}}
    rows = examine(bed(), {"left": Survey(facts(**shown)), "right": Survey(facts())}, ())["left"]
    assert all(row.found for row in rows)


def kernel_finding(**changes: Any) -> Checked:
    surveys = {"left": Survey(facts(boot_menu="/boot/grub/grub.cfg", **changes)), "right": Survey(facts())}
    rows = examine(bed(kernel="6.1.0-28-amd64"), surveys, ())["left"]
    return next(row for row in rows if row.name == "Kernel")


def test_another_kernel_is_installed_where_its_package_and_the_boot_loader_are_known() -> None:
    found = kernel_finding()
    assert (found.need, found.found) == (Need.REQUIRED, True)
    assert found.what.endswith(
        "its file asks for 6.1.0-28-amd64: a run installs it, and restarts the host with it once"
    )
    assert "as its file asks for" in kernel_finding(kernel_release="6.1.0-28-amd64").what


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"boot_menu": None}, "there is no GRUB that could choose it"),
        ({"system": {"id": "arch", "like": [], "name": "Arch", "version": ""}}, "whose package is not known here"),
    ],
)
def test_a_kernel_that_cannot_be_chosen_is_to_be_booted_by_hand(changes: dict[str, Any], says: str) -> None:
    surveys = {"left": Survey(facts(**{"boot_menu": "/boot/grub/grub.cfg", **changes})), "right": Survey(facts())}
    found = [said for said in sentences(examine(bed(kernel="6.1.0-28-amd64"), surveys, (RELEASE,))) if "Kernel" in said]
    assert len(found) == 1
    assert says in found[0]
    assert "Boot it with 6.1.0-28-amd64 by hand" in found[0]


def test_only_hosts_that_run_another_kernel_than_their_file_asks_for_are_restarted() -> None:
    surveys = {"left": Survey(facts()), "right": Survey(facts())}
    assert with_other_kernels(bed().hosts, surveys) == []
    assert with_other_kernels(bed(kernel=RELEASE).hosts, surveys) == []
    assert [host.name for host in with_other_kernels(bed(kernel="6.1.0-28-amd64").hosts, surveys)] == ["left"]


def test_tools_say_which_programs_hosts_must_have_and_provisioning_installs_them() -> None:
    found = programs()
    assert {"ip", "iperf3", "nft"} <= set(found)
    roles = yaml.safe_load((paths.PLAYBOOKS / "roles/base/defaults/main.yml").read_text())
    assert {program.package for program in found.values()} <= set(roles["base_packages"]["debian"])


def test_what_the_systems_of_an_experiment_need_is_required_and_what_is_unknown_is_not_missing() -> None:
    used = bed().with_needs((Needs("GRE", (Program("tc", "iproute2"),), ("ip_gre",)),))
    commands = {**facts()["commands"], "tc": None}

    def seen(has: bool | None) -> dict[str, list[Checked]]:
        shown = Survey(facts(commands=commands, kernel_modules={"ip_gre": has}))
        return examine(used, {"left": shown, "right": shown}, ())

    assert sentences(seen(False)) == [
        f"{host}: GRE: its kernel lacks ip_gre. Boot a kernel that has it, or leave out variants of GRE."
        for host in ("left", "right")
    ]
    assert sentences(seen(None)) == sentences(seen(True)) == []
    tools = next(row for row in seen(True)["left"] if row.name == "Tools")
    assert tools.what == "missing: iproute2"


def test_variants_whose_system_a_kernel_cannot_have_are_left_out_of_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {"kernel_command_line": "", "cpus_allowed": [0, 1, 2, 3], "cpus_isolated": []}

    def able(**modules: bool | None) -> Capabilities:
        surveys = {name: Survey(facts(kernel_modules=modules, **shown)) for name in ("left", "right")}
        monkeypatch.setattr(looking, "_surveys", lambda testbed: surveys)
        return looking.hosts_capabilities(bed())

    assert {"vanilla", "ipsec-gcm"} <= set(able(esp4=True).variants)
    assert "ipsec-gcm" in able(esp4=None).variants
    without = able(esp4=False)
    assert "vanilla" in without.variants
    assert not [name for name in without.variants if name.startswith("ipsec")]
    assert without.reasons["variants"].startswith("IPsec needs esp4, which the kernel of left lacks")
