# SPDX-License-Identifier: Apache-2.0
"""Virtual time: testbed files, slots and their cores, the duration of trials, and the kernel's reports."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import store
from orchestrator.agent import probes as agent_probes
from orchestrator.cli.app import run_command
from orchestrator.cli.display import LineDisplay
from orchestrator.cli.lessons import lessons
from orchestrator.doctor import checks, requirements
from orchestrator.errors import TestbedError, UserError
from orchestrator.learned import learn
from orchestrator.measure import probes
from orchestrator.plan import (
    Lessons,
    dilation,
    estimate,
    lab_capabilities,
    lessons_key,
    make_plan,
    virtual_lab_capabilities,
)
from orchestrator.spec import (
    ROLES as ROLE_NAMES,
)
from orchestrator.spec import Experiment, Pool, SpecError, clock_of, load_experiment, load_testbed
from orchestrator.store.cpu_times import cpu_times
from orchestrator.testbed import capabilities
from orchestrator.testbed.lab.testbed import check_cores
from orchestrator.testbed.pool import MemberCapabilities, pool_capabilities, sharing_of
from orchestrator.testbed.protocol import Sharing, patience, slowness
from orchestrator.testbed.uml import machine
from orchestrator.testbed.uml.schema import UmlTestbed
from orchestrator.testbed.virtual import VirtualTime, check_kernel, cpus_by_role, shares_of, virtual_time_of

VARIANTS = ("vanilla", "inline")
ROLES = "roles: [client, gateway-a, gateway-b, server]"
FILE = f"testbed: v\nprovider: uml\nclock: virtual\ncores: 16\nhosts:\n  - {{name: a, {ROLES}}}\n"
SHARED = FILE.replace("cores: 16", "cores: 16\nrole_cpus: shared")
Capture = pytest.CaptureFixture[str]


def testbed_of(text: str, folder: Path) -> UmlTestbed:
    file = folder / "testbed.yaml"
    file.write_text(text)
    found = load_testbed(file)
    assert isinstance(found, UmlTestbed)
    return found


testbed_of.__test__ = False  # type: ignore[attr-defined]


# --- testbed files ---


def test_a_testbed_in_virtual_time_has_a_short_quantum_and_all_cores(tmp_path: Path) -> None:
    bed = testbed_of(FILE, tmp_path)
    assert (bed.clock, bed.cores, bed.slots, bed.quantum_s) == ("virtual", 16, None, 2e-5)
    assert (bed.role_cpus, bed.links) == ("own", "steered")
    more = testbed_of(SHARED.replace("cores: 16", "cores: 64\nslots: 3\nquantum: 1 ms"), tmp_path)
    assert (more.cores, more.slots, more.quantum_s) == (64, 3, 1e-3)
    assert (more.role_cpus, more.links) == ("shared", "steered")
    for name in ("lab", "two-machines"):
        real = load_testbed(name)
        assert isinstance(real, UmlTestbed)
        assert (real.role_cpus, real.links) == ("shared", "veth")
    alike = load_testbed("virtual-shared")
    assert isinstance(alike, UmlTestbed)
    assert (alike.clock, alike.role_cpus, alike.links, alike.cores) == ("virtual", "shared", "veth", 16)
    assert clock_of(load_testbed("lab")) == "real"
    assert clock_of(load_testbed("virtual-lab")) == "virtual"


@pytest.mark.parametrize(
    ("old", "new", "place", "says"),
    [
        ("virtual\ncores: 16", "real\ncores: 16", "4:8", "cores is a setting of virtual time. Expected no cores"),
        ("clock: virtual\ncores: 16", "slots: 2", "3:8", "slots is a setting of virtual time"),
        ("clock: virtual\ncores: 16", "quantum: 20us", "3:10", "quantum is a setting of virtual time"),
        ("cores: 16\n", "", "1:1", "Expected the most virtual CPUs"),
        ("cores: 16", "cores: 65", "4:8", "at most 64"),
        (
            "cores: 16",
            "cores: 33",
            "4:8",
            "take 132 virtual CPUs in all, and a lab machine has at most 128. Expected at",
        ),
        ("clock: virtual\ncores: 16", "role_cpus: own", "3:12", "Expected role_cpus: shared, or clock: virtual"),
        ("cores: 16", "cores: 16\nrole_cpus: owned", "5:12", "Did you mean own?"),
        ("cores: 16", "cores: 16\nlinks: rsss", "5:8", "Did you mean rss?"),
        ("cores: 16", "cores: 0", "4:8", "at least 1"),
        ("cores: 16", "cores: 16\nslots: 0", "5:8", "at least 1"),
        ("cores: 16", "cores: 16\nquantum: 4us", "5:10", "Expected a time from 5us to 10ms"),
        ("cores: 16", "cores: 16\nquantum: 11ms", "5:10", "Expected a time from 5us to 10ms"),
        ("cores: 16", "cores: 16\nquantum: 20.5us", "5:10", "whole microseconds"),
        ("cores: 16", "cores: 16\nquantum: 20", "5:10", "no unit"),
        ("virtual", "virtaul", "3:8", "Did you mean virtual?"),
        (ROLES, "roles: [client, gateway-a]}\n  - {name: b, roles: [gateway-b, server]", "6:3", "between two clocks"),
    ],
)
def test_mistakes_about_the_clock(tmp_path: Path, old: str, new: str, place: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        testbed_of(FILE.replace(old, new), tmp_path)
    (problem,) = caught.value.problems
    assert problem.span is not None
    assert problem.span.place.endswith(f"testbed.yaml:{place}")
    assert says in problem.message


def test_the_testbeds_of_a_pool_have_the_same_clock(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(FILE.replace("testbed: v", f"testbed: {name}"))
    file = tmp_path / "pool.yaml"
    file.write_text("testbed: all\nprovider: pool\ntestbeds: [./one.yaml, ./two.yaml]\n")
    pool = load_testbed(file)
    assert isinstance(pool, Pool)
    assert clock_of(pool) == "virtual"
    file.write_text("testbed: all\nprovider: pool\ntestbeds: [./one.yaml, lab]\n")
    with pytest.raises(SpecError, match="lab has a real clock, and one has a virtual one") as caught:
        load_testbed(file)
    (problem,) = caught.value.problems
    assert problem.span is not None
    assert problem.span.place.endswith("pool.yaml:3:24")


def test_links_between_two_machines_are_not_steered(tmp_path: Path) -> None:
    two = FILE.replace("clock: virtual\ncores: 16", "links: rss")
    assert testbed_of(two, tmp_path).links == "rss"
    with pytest.raises(SpecError, match=r"between two\n? ?machines is not one|Expected one host with all roles, or li"):
        testbed_of(
            two.replace(ROLES, "roles: [client, gateway-a]}\n  - {name: b, roles: [gateway-b, server]"), tmp_path
        )


def test_the_testbeds_of_a_pool_divide_and_steer_alike(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(FILE.replace("testbed: v", "testbed: one"))
    (tmp_path / "two.yaml").write_text(SHARED.replace("testbed: v", "testbed: two"))
    file = tmp_path / "pool.yaml"
    file.write_text("testbed: all\nprovider: pool\ntestbeds: [./one.yaml, ./two.yaml]\n")
    with pytest.raises(SpecError, match="two has role_cpus: shared, and one has role_cpus: own"):
        load_testbed(file)


# --- slots and the computer's cores ---


def test_slots_are_cores_that_this_process_may_use(tmp_path: Path) -> None:
    bed = testbed_of(FILE, tmp_path)
    found = virtual_time_of(bed, [7, 2, 5])
    assert found == VirtualTime(16, (2, 5, 7), 2e-5, 3, "own")
    assert found.arguments(16) == ["virtual_time=20:2,5,7", "cpu_groups=16,16,16,16"]
    assert found.machine_cpus(16) == 64
    about = {"slots": 3, "cores": 16, "quantum_s": 2e-5, "computer_cores": 3}
    assert found.to_json() == {**about, "role_cpus": "own", "ends": "equal"}
    shared = virtual_time_of(testbed_of(SHARED, tmp_path), [7, 2, 5])
    assert shared == VirtualTime(16, (2, 5, 7), 2e-5, 3)
    assert shared.arguments(16) == ["virtual_time=20:2,5,7"]
    assert shared.machine_cpus(16) == 16
    two = testbed_of(SHARED.replace("cores: 16", "cores: 16\nslots: 2\nquantum: 1ms"), tmp_path)
    assert virtual_time_of(two, [7, 2, 5]) == VirtualTime(16, (2, 5), 1e-3, 3)
    few = testbed_of(SHARED.replace("cores: 16", "cores: 2"), tmp_path)
    assert virtual_time_of(few, range(8)) == VirtualTime(2, (0, 1), 2e-5, 8)
    own = testbed_of(FILE.replace("cores: 16", "cores: 2"), tmp_path)
    assert virtual_time_of(own, range(8)) == VirtualTime(2, tuple(range(8)), 2e-5, 8, "own")
    real = load_testbed("lab")
    assert isinstance(real, UmlTestbed)
    assert virtual_time_of(real, [0, 1]) is None
    with pytest.raises(TestbedError, match="asks for 2 slots, and this process may use 1 core of this computer"):
        virtual_time_of(two, [3])


@given(
    st.dictionaries(st.text("abcdef", min_size=1), st.none() | st.integers(1, 8), min_size=1, max_size=6),
    st.integers(1, 32),
)
def test_testbeds_of_a_pool_have_cores_of_their_own_where_there_are_enough(
    wanted: Mapping[str, int | None], cores: int
) -> None:
    shares = shares_of(wanted, cores)
    assert list(shares) == list(wanted)
    taken = [(first + i) % cores for first, slots in shares.values() for i in range(slots)]
    assert all(slots == wanted[name] or (wanted[name] is None and slots >= 1) for name, (_, slots) in shares.items())
    least = sum(slots or 1 for slots in wanted.values())
    if least <= cores:
        assert len(set(taken)) == len(taken) <= cores


def seen(slots: int | None = None, computer_cores: int = 4) -> MemberCapabilities:
    return MemberCapabilities(
        virtual_lab_capabilities(16, slots or computer_cores, VARIANTS), "here", computer_cores, 1, slots
    )


def test_a_pool_in_virtual_time_shares_the_cores_and_keeps_its_virtual_cpus() -> None:
    able = pool_capabilities({"a": seen(), "b": seen()})
    assert (able.max_cores, able.clock, able.slots, able.testbeds) == (16, "virtual", 2, 2)
    sharing = sharing_of({"a": seen(), "b": seen(slots=1)}, "run")
    assert sharing == {"a": Sharing("run", 2, (0, 3)), "b": Sharing("run", 2, (3, 1))}
    assert pool_capabilities({"a": seen()}).slots == 4


def test_in_virtual_time_a_machine_has_as_many_cpus_as_its_file_allows(tmp_path: Path) -> None:
    virtual = VirtualTime(16, (0,), 2e-5, 1)
    check_cores(1, 16, virtual)
    with pytest.raises(TestbedError, match="17 virtual CPUs were requested, but the testbed file allows 16"):
        check_cores(1, 17, virtual)
    able = capabilities(testbed_of(FILE, tmp_path))
    assert (able.max_cores, able.clock) == (16, "virtual")
    assert "16 virtual CPUs" in able.reasons["cores"]


def test_the_kernel_is_told_its_virtual_time() -> None:
    class Recorder:
        folder = Path("/nowhere")

        def request(self, operation: str, **arguments: Any) -> dict[str, Any]:
            return {}

        def start_program(self, name: str, number: int, program: Path, arguments: list[str], ports: Any) -> str:
            return " ".join(arguments)

    def line(*arguments: str) -> str:
        booted = machine.Machine("a", 1, Path("/kernel"), Path("/disk"), 2, 2**32, arguments=arguments)
        return machine.boot(Recorder(), booted)  # type: ignore[arg-type]

    assert "virtual_time" not in line()
    words = line("virtual_time=20:0,1").split()
    assert "virtual_time=20:0,1" in words
    assert "mem=4096M" in words


def test_a_machine_with_an_old_kernel_is_refused() -> None:
    virtual = VirtualTime(16, (0, 1), 2e-5, 2)
    check_kernel("lab1", "v", virtual, {"slots": 2, "quantum_ns": 20_000})
    with pytest.raises(TestbedError, match=r"lab1 came up in real time although the testbed v says clock: virtual"):
        check_kernel("lab1", "v", virtual, None)
    with pytest.raises(TestbedError, match=r"came up with 1 slots and a quantum of 50 us"):
        check_kernel("lab1", "v", virtual, {"slots": 1, "quantum_ns": 50_000})


# --- how long things take ---


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 64))
def test_more_cores_and_tunnels_take_longer_and_more_slots_do_not(cores: int, tunnels: int, slots: int) -> None:
    found = dilation(cores, tunnels, slots)
    assert 1.0 <= found <= max(1.0, 1.31 * cores / slots)
    assert found <= dilation(cores + 1, tunnels, slots)
    assert found <= dilation(cores, tunnels + 1, slots)
    assert found >= dilation(cores, tunnels, slots + 1)
    assert dilation(cores, tunnels, None) == 1.0


def test_one_tunnel_keeps_about_four_cpus_busy() -> None:
    assert dilation(16, 1, 2) == pytest.approx(2.6)
    assert dilation(16, 16, 2) == pytest.approx(10.4)


def test_with_cpus_of_its_own_for_each_role_more_are_busy() -> None:
    assert dilation(16, 1, 2, "own") == pytest.approx(5 / 2 * 1.3)
    assert dilation(16, 16, 2, "own") == pytest.approx(2.3 * 16 / 2 * 1.3)
    assert dilation(1, 1, 1, "own") == pytest.approx(2.3 * 1.3)
    assert dilation(16, 16, None, "own") == 1.0


class Bed:
    """A testbed, as far as time-outs need one."""

    def __init__(self, cores: int, virtual: VirtualTime | None, *, emulated: bool = False) -> None:
        self.cpus, self.virtual, self.emulated = {"a": range(cores)}, virtual, emulated


def test_the_controller_is_patient_and_hosts_need_not_be() -> None:
    virtual = VirtualTime(32, (0, 1), 2e-5, 2)
    few, many = (Bed(cores, virtual) for cores in (1, 32))
    assert slowness(many) == 1.0  # type: ignore[arg-type]
    assert 1.0 < patience(few) < patience(many)  # type: ignore[arg-type]
    assert patience(many) > dilation(32, 32, 2)  # type: ignore[arg-type]
    assert patience(Bed(2, None)) == slowness(Bed(2, None)) == 1.0  # type: ignore[arg-type]
    emulated = Bed(2, None, emulated=True)
    assert patience(emulated) == slowness(emulated) > 1.0  # type: ignore[arg-type]


def test_the_two_clocks_teach_nothing_about_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "orch").mkdir()
    learn(lessons_key("overhead", "uml"), 0.5)
    learn(lessons_key("overhead", "uml", "virtual"), 9.0)
    assert (lessons("uml").overhead_s, lessons("uml").slots) == (0.5, None)
    assert (lessons("uml", 2).overhead_s, lessons("uml", 2).slots) == (9.0, 2)
    assert lessons_key("overhead", "uml") == "overhead/uml"  # learned before virtual time existed


def plan_words(output: str) -> str:
    return " ".join(output.split())


def test_the_plan_and_the_display_count_wall_seconds(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # nothing learned on this computer counts
    (tmp_path / "two.yaml").write_text(FILE.replace("cores: 16", "cores: 16\nslots: 1"))
    arguments = ["plan", "exp/scaling.yaml", "--tier", "quick", "--testbed", str(tmp_path / "two.yaml")]
    assert run_command(arguments) == 0
    said_of_it = plan_words(capsys.readouterr().out)
    assert "Virtual time, 64 virtual CPUs on 1 core. Each of the four roles has 16 of them" in said_of_it
    assert run_command([*arguments, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["clock"], shown["slots"], shown["role_cpus"]) == ("virtual", 1, "own")
    one, *_, sixteen = shown["blocks"]
    assert sixteen["seconds"] > 5 * one["seconds"]

    spec = load_experiment("exp/scaling.yaml", "quick")
    plan = make_plan(spec, virtual_lab_capabilities(16, 1, ("vanilla", "threaded", "inline")))
    said = io.StringIO()
    LineDisplay("uml", said, slots=1).plan(plan, [])
    real = io.StringIO()
    LineDisplay("uml", real).plan(plan, [])
    minutes = [int(text.getvalue().split("about ")[1].split()[0]) for text in (said, real)]
    assert minutes[0] > 3 * minutes[1]


@pytest.mark.parametrize(("tier", "most_s"), [("smoke", 4.5 * 60), ("quick", 60 * 60), ("paper", 10.5 * 3600)])
def test_the_tiers_of_scaling_end_in_their_time_on_two_cores(tier: str, most_s: float) -> None:
    spec = load_experiment("exp/scaling.yaml", tier)
    plan = make_plan(spec, virtual_lab_capabilities(32, 2, ("vanilla", "threaded", "inline"), "own"))
    assert {block.cores for block in plan.blocks} >= {1, 16}
    assert max(block.cores for block in plan.blocks) == (32 if tier == "paper" else 16)
    assert estimate(plan, Lessons(3.0, 15.0, slots=2, role_cpus="own")).seconds < most_s
    here = make_plan(spec, lab_capabilities(2, ("vanilla", "threaded", "inline")))
    assert {block.cores for block in here.blocks} == {1, 2}


def test_doctor_says_what_virtual_time_can_do(capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 3})
    assert "up to 32 virtual CPUs in each gateway on 2 cores" in checks.virtual_time().what
    assert "up to 16 virtual CPUs on 2 cores" in checks.virtual_testbed(testbed_of(SHARED, tmp_path)).what
    bed = testbed_of(FILE, tmp_path)
    assert "up to 64 virtual CPUs (16 in each gateway) on 2 cores" in checks.virtual_testbed(bed).what
    names = {requirement.name for requirement in requirements([bed])}
    assert "Virtual time" in names
    assert names.isdisjoint({"Idle computer", "Real-time priority"})
    many = testbed_of(FILE.replace("cores: 16", "cores: 16\nslots: 3"), tmp_path)
    seen_there = checks.virtual_testbed(many)
    assert not seen_there.found
    assert "asks for 3 slots" in seen_there.remedy
    assert run_command(["doctor", "--testbed", str(tmp_path / "testbed.yaml")]) == 3
    assert "asks for 3 slots" in capsys.readouterr().err
    with pytest.raises(UserError, match="asks for 3 slots"):
        capabilities(many)


# --- what the kernel says ---


def said_by_kernel(at_s: float, **more: int) -> str:
    lines = {"cpus": 2, "slots": 1, "quantum_ns": 20_000, "virtual_ns": round(at_s * 1e9)}
    lines |= {"host_ns": round(at_s * 3e9), "switches": 100, "lent_ns": 0, "forced": 0, "skew_ns": 0, "stolen_ns": 0}
    lines |= {"cpu0_busy_ns": round(at_s * 8e8), "cpu1_busy_ns": round(at_s * 2e8), **more}
    return "".join(f"{name} {value}\n" for name, value in lines.items())


def test_the_window_in_virtual_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "virtual_time"
    monkeypatch.setattr(agent_probes, "VIRTUAL_TIME", str(file))
    assert agent_probes.virtual_time() is None
    agent_probes.forget_skew()
    assert not file.exists()
    file.write_text(said_by_kernel(1.0))
    before = agent_probes.virtual_time()
    file.write_text(
        said_by_kernel(3.0, lent_ns=100_000_000, forced=2, skew_ns=45_000, stolen_ns=500_000_000, switches=1100)
    )
    after = agent_probes.virtual_time()
    assert before is not None
    assert after is not None
    assert probes.virtual_time(before, after) == {
        "slots": 1,
        "cpus": 2,
        "quantum_s": 2e-5,
        "virtual_s": 2.0,
        "wall_s": 6.0,
        "dilation": 3.0,
        "lent_s": 0.1,
        "lent_share": 0.05,
        "forced": 2,
        "skew_s": 4.5e-5,
        "stolen_s": 0.5,
        "switches": 1000,
    }
    assert probes.virtual_time(after, after)["dilation"] is None
    agent_probes.forget_skew()
    assert file.read_text() == "0"


# --- per CPU ---


def test_what_ticks_miss_of_a_busy_cpu_counts_as_softirq() -> None:
    def sampled(ticks: list[int], busy_ns: dict[str, int]) -> dict[str, Any]:
        return {"ticks_per_s": 100, "cpus": {"0": ticks, "1": ticks}, "virtual_time": busy_ns}

    before = sampled([0] * 8, {"cpu0_busy_ns": 5 * 10**9, "cpu1_busy_ns": 0})
    after = sampled([10, 0, 20, 90, 0, 0, 10, 0], {"cpu0_busy_ns": 6 * 10**9, "cpu1_busy_ns": 3 * 10**8})
    idle, seen = probes.per_cpu_seconds(before, after)
    assert (idle["user_s"], idle["system_s"], idle["softirq_s"]) == (0.1, 0.2, 0.7)
    assert idle["idle_s"] == 0.3  # 0.6 s of the time counted as idle were softirqs
    assert seen["idle_s"] == 0.9
    assert seen["softirq_s"] == 0.1  # ticks counted more than the real time, as rounding to ticks can
    real = [{**sample, "virtual_time": None} for sample in (before, after)]
    assert [row["softirq_s"] for row in probes.per_cpu_seconds(*real)] == [0.1, 0.1]


def test_no_cpu_of_virtual_time_idled_while_it_was_busy() -> None:
    row = {"cpu": 0, "softirq_s": 0.9, "system_s": 0.0, "idle_s": 0.7, "iowait_s": 0.1}
    stored = {"clock": "virtual", "probes": {"window_s": 1.0, "per_cpu": [row]}}
    (found,) = cpu_times(stored)
    assert (found["softirq_s"], found["idle_s"], found["iowait_s"]) == pytest.approx((0.9, 0.0875, 0.0125))
    assert row["idle_s"] == 0.7
    assert cpu_times({**stored, "clock": "real"}) == [row]
    assert cpu_times({"clock": "virtual"}) == []


def test_rows_of_cpus_say_whose_they_are_where_they_belong_to_roles() -> None:
    def sampled(at_s: float, ticks: int) -> dict[str, Any]:
        cpus = {str(cpu): [ticks * cpu, *[0] * 7] for cpu in range(8)}
        softirqs = "CPU0 CPU1 CPU2 CPU3 CPU4 CPU5 CPU6 CPU7\nNET_RX: 0 0 0 0 0 0 0 0\n"
        fields = {"cpus": cpus, "ticks_per_s": 100, "softirqs": softirqs, "interfaces": {}, "clock_s": at_s}
        return {"at_monotonic_s": at_s, "virtual_time": None, **fields}

    around = {"interrupts": {}, "throttled": None, "frequency_khz": [], "tcp_pressures": 0, "tcp_pressed": False}
    answer = {"samples": [sampled(0.0, 0), sampled(1.0, 10)], "surroundings": [around, around]}
    answer |= {"others": {}, "before": {"seconds": 1.0, "packets": 0}}
    owners = {cpu: role for role, cpus in cpus_by_role(2, "own").items() for cpu in cpus}
    rows = probes.of_hosts({"a": answer}, 1.0, owners)
    for name in ("per_cpu", "softirqs"):
        assert [row["role"] for row in rows[name]] == [role for role in ROLE_NAMES for _ in range(2)]
    assert "role" not in probes.of_hosts({"a": answer}, 1.0)["per_cpu"][0]


# --- what is stored ---


def attempt(number: int, **more: Any) -> dict[str, Any]:
    trial = {"trial_id": f"t{number}", "kind": "measure", "block": 1, "round": 1, "order": number, "repetition": 1}
    levels = {"variant": "vanilla", "cores": 16, "tunnels": 1}
    traffic = {"warm_up_s": 1.0, "duration_s": 3.0}
    about = {"topology": "site-to-site", "testbed": "v", "attempt": 1, "status": "ok", "reasons": []}
    about |= {"started_at": "2026-01-02T03:04:05Z", "measurements": {"throughput_bps": 1e9}}
    return {**trial, "levels": levels, "traffic": traffic, **about, **more}


def test_the_tables_say_by_which_clock_an_attempt_was_timed(tmp_path: Path) -> None:
    window = {"lent_s": 0.2, "forced": 1, "skew_s": 3e-5, "dilation": 9.5, "stolen_s": 0.1}
    stored = [
        attempt(1),  # as an older version stored it
        attempt(2, clock="virtual", slots=2, quantum_s=2e-5, probes={"virtual_time": window}),
        attempt(3, clock="virtual", slots=2, quantum_s=2e-5, status="failed", reasons=["it broke"]),
    ]
    trials = [{**one, "trial_id": f"t{n}", "order": n} for n, one in enumerate([*stored, attempt(4)], 1)]
    plan = {"topology": "site-to-site", "blocks": [{"index": 1, "cores": 16, "trials": trials}]}
    run = {"experiment": "e", "plan": plan, "testbed": {"name": "v", "clock": "virtual", "slots": 2, "quantum_s": 2e-5}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    for one in stored:
        folder = tmp_path / "trials" / str(one["trial_id"]) / "1"
        folder.mkdir(parents=True)
        (folder / "attempt.json").write_text(json.dumps(one))
    found, _ = store.tables(tmp_path)
    columns = ("clock", "slots", "quantum_s", "lent_s", "forced", "skew_s", "dilation")
    assert list(zip(*(found.column(name).to_pylist() for name in columns), strict=True)) == [
        ("real", None, None, None, None, None, None),
        ("virtual", 2, 2e-5, 0.2, 1, 3e-5, 9.5),
        ("virtual", 2, 2e-5, None, None, None, None),
        ("virtual", 2, 2e-5, None, None, None, None),
    ]


def test_a_spec_may_change_the_limits_of_virtual_time() -> None:
    content = {
        "experiment": "small",
        "factors": {"variant": VARIANTS, "cores": (1,), "tunnels": (1,)},
        "traffic": {"duration": "1s"},
    }
    limits = Experiment.model_validate(content).limits
    assert (limits.skew_s, limits.lent, limits.control) == (1e-2, 0.1, 0.03)
    changed = {**content, "limits": {"skew": "20 ms", "lent": "20%", "control": "5%", "report_only": ("control",)}}
    assert Experiment.model_validate(changed).limits.skew_s == 0.02
