# SPDX-License-Identifier: Apache-2.0
"""Profiles: folding samples on a host, CPU time by stage, flame graphs and sentences on them."""

import html
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import orchestrator as orch
from orchestrator.agent import probes
from orchestrator.agent import profile as agent_profile
from orchestrator.agent.host import AgentError
from orchestrator.agent.profile import CUT, Symbols, busy_between, completed, folded, of_lab, of_perf
from orchestrator.analysis import figures
from orchestrator.analysis.headline import headline
from orchestrator.analysis.limits.explain import explain_cell
from orchestrator.analysis.page import render
from orchestrator.analysis.profiles import STAGES, flame_graph, speedscope, stage_of, stages
from orchestrator.analysis.profiles.files import write_profiles
from orchestrator.analysis.profiles.remarks import stage_remarks
from orchestrator.analysis.profiles.table import covered, differences, ns_a_packet
from orchestrator.errors import UserError
from orchestrator.plan import PROFILE, lab_capabilities, make_plan
from orchestrator.spec import Experiment
from tests.unit.synthetic_run import CHAINS, OWN_CPUS, write_run

KALLSYMS = """\
0000000060001000 T _stext
0000000060001000 t do_idle
0000000060002000 T vfs_read
0000000060003000 D some_data
0000000060004000 T _etext
0000000062000000 t wg_xmit\t[wireguard]
"""


def test_what_the_lab_kernel_gives_is_counted_by_cpu_calls_and_task() -> None:
    lines = [
        "lost 0 2 3000\n",
        "0 1000 60002010,60002000 Web Content\n",
        "0 500 60002010,60002000 Web Content\n",
        "lost 1 0 0\n",
        "1 700 user iperf3\n",
    ]
    counts, lost_ns = of_lab(lines)
    assert counts == {(0, "60002010,60002000", "Web Content"): [1500, 2], (1, "user", "iperf3"): [700, 1]}
    assert lost_ns == {0: 3000, 1: 0}


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.sampled_from(["user", "60002010"]), st.just("iperf3")),
        st.tuples(st.integers(1, 10**7), st.integers(1, 9)).map(list),
        max_size=8,
    ),
    st.dictionaries(st.integers(0, 3), st.integers(0, 10**6)),
    st.dictionaries(st.integers(0, 3), st.integers(0, 10**8)),
)
def test_samples_are_completed_to_what_each_cpu_was_busy_for(
    counts: dict[tuple[int, str, str], list[int]], lost_ns: dict[int, int], busy_ns: dict[int, int]
) -> None:
    told = completed(counts, lost_ns, busy_ns)
    assert {key: seen for key, (_, seen) in told.items()} == {key: seen for key, (_, seen) in counts.items()}
    for cpu in range(4):
        before = [weight for (of, _, _), (weight, _) in counts.items() if of == cpu]
        after = [weight for (of, _, _), (weight, _) in told.items() if of == cpu]
        wanted = max(sum(before), busy_ns.get(cpu, 0) - lost_ns.get(cpu, 0)) if before else 0
        assert sum(after) == pytest.approx(wanted, abs=len(after))
        # Shares stay; a weight is a whole number.
        for one, other in zip(before, after, strict=True):
            assert other * sum(before) == pytest.approx(one * wanted, abs=sum(before))


def test_what_cpus_were_busy_for_is_read_from_virtual_time() -> None:
    before = {"cpus": 2, "virtual_ns": 10, "cpu0_busy_ns": 5, "cpu1_busy_ns": 7}
    after = {"cpus": 2, "virtual_ns": 30, "cpu0_busy_ns": 25, "cpu1_busy_ns": 7}
    assert busy_between(before, after) == {0: 20, 1: 0}


def test_addresses_get_names() -> None:
    symbols = Symbols(KALLSYMS)
    # The innermost comes first. A return address may be the first instruction of the next function.
    assert symbols.chain("62000004,60002000,60002004") == ("vfs_read", "do_idle", "wg_xmit")
    assert symbols.chain("60002000") == ("vfs_read",)  # the current instruction, not a return address
    assert symbols.chain("60003fff,60004001,10") == ("[unknown]", "[host]", "vfs_read")
    assert symbols.chain("user") == ("[user]",)


PERF = """\
iperf3     [001]    1009000:
\tffffffff81a00010 tcp_sendmsg+0x10 ([kernel.kallsyms])
\tffffffff81000020 do_syscall_64+0x20 ([kernel.kallsyms])
\t    7f0011223344 __libc_write+0x4 (/lib/libc.so.6)
\t    7f0011223355 main+0x4 (/usr/bin/iperf3)

kworker/3:1-wg- [003]    1009000: cpu-clock:
\tffffffffc0a00010 wg_packet_encrypt_worker ([wireguard])

swapper     [000]    1009000:
\tffffffff81c00010 default_idle ([kernel.kallsyms])

iperf3     [001]    1009000:
\t    7f0011223344 __libc_write (/lib/libc.so.6)
"""


def test_what_perf_script_prints_is_folded_alike() -> None:
    counts = of_perf(PERF)
    assert counts[1, ("iperf3", "[user]", "[user]", "do_syscall_64", "tcp_sendmsg")] == [1009000, 1]
    assert counts[3, ("kworker/3:1-wg-", "wg_packet_encrypt_worker")] == [1009000, 1]
    told = folded(counts, "perf", 0, 1.5)
    chains = {(row[0], *(told["names"][at] for at in row[3])) for row in told["rows"]}
    assert (1, "iperf3", "[user]", "do_syscall_64", "tcp_sendmsg") in chains
    assert (3, "kworker", "wg_packet_encrypt_worker") in chains
    assert (1, "iperf3", "[user]") in chains
    assert (told["source"], told["seconds"]) == ("perf", 1.5)


@given(weights=st.lists(st.integers(1, 10**9), min_size=1, max_size=30), most=st.integers(1, 30))
def test_folding_is_bounded_and_loses_no_time(weights: list[int], most: int) -> None:
    counts = {(at % 3, ("task", f"f{at}")): [weight, 1] for at, weight in enumerate(weights)}
    before = agent_profile.MOST_STACKS
    agent_profile.MOST_STACKS = most
    try:
        told = folded(counts, "lab kernel", 7, 1.0)
    finally:
        agent_profile.MOST_STACKS = before
    assert sum(row[1] for row in told["rows"]) == sum(weights)
    assert len(told["rows"]) <= most + 3
    kept = [row[1] for row in told["rows"] if CUT not in [told["names"][at] for at in row[3]]]
    assert sorted(kept) == sorted(weights)[len(weights) - len(kept) :]


def test_a_host_without_samples_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(agent_profile, "SAMPLES", str(tmp_path / "absent"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AgentError, match=r"Install perf .*or leave the probe profile out"):
        agent_profile.profile()


@pytest.mark.parametrize(
    ("role", "chain", "stage"),
    [
        ("", "kworker process_one_work wg_packet_encrypt_worker chacha_4block_xor_avx512vl", "encrypt"),
        ("", "iperf3 tcp_sendmsg __dev_queue_xmit wg_xmit encrypt_packet.isra.0 poly1305_blocks", "encrypt"),
        ("", "iperf3 tcp_sendmsg wg_xmit send_list_inline send4 ip_local_out veth_xmit", "serial transmit"),
        ("", "kworker wg_packet_tx_worker send4 __local_bh_enable_ip net_rx_action ip_forward", "forwarding"),
        ("", "swapper do_idle net_rx_action __napi_poll wg_packet_rx_poll napi_gro_receive", "poll"),
        ("", "napi/wg1-0 napi_threaded_poll wg_packet_rx_poll decrypt_packet chacha_4block", "decrypt"),
        ("", "iperf3 ksys_read tcp_recvmsg _copy_to_iter", "server"),
        ("", "iperf3 [user]", "generator or server"),
        ("gateway-a", "sshd [user]", "other"),
        ("gateway-a", "swapper cpu_startup_entry do_idle arch_cpu_idle os_idle_sleep", "idle"),
        ("client", "iperf3 [user]", "generator"),
        ("client", "swapper do_idle net_rx_action tcp_v4_rcv tcp_ack", "generator"),
        ("client", "swapper cpu_startup_entry do_idle arch_cpu_idle os_idle_sleep [host]", "idle"),
        ("client", "swapper do_idle", "generator"),
        ("gateway-a", "swapper cpu_startup_entry do_idle schedule_idle __schedule.isra.0", "scheduling"),
        ("gateway-a", "swapper do_idle arch_cpu_idle unblock_signals uml_ipi_handler sched_ttwu_pending", "scheduling"),
        ("gateway-a", "swapper do_idle cpuidle_enter_state intel_idle asm_sysvec_x __irq_exit_rcu", "scheduling"),
        ("gateway-a", "swapper do_idle default_idle_call default_idle pv_native_safe_halt", "idle"),
        ("", "iperf3 wg_xmit queue_work_on __queue_work try_to_wake_up _raw_spin_lock", "scheduling"),
        ("", "kworker worker_thread schedule __schedule pick_task_fair sched_balance_rq", "scheduling"),
        ("", "kworker worker_thread process_one_work wg_packet_decrypt_worker memcpy", "decrypt"),
        ("server", "kworker something", "server"),
        ("", "kpktgend_0 kthread pktgen_thread_worker pktgen_xmit ktime_get timer_read", "generator waits"),
        ("client", "kpktgend_0 kthread pktgen_thread_worker pktgen_xmit spin ktime_get", "generator waits"),
        ("", "kpktgend_0 kthread pktgen_thread_worker pktgen_xmit fill_packet __alloc_skb", "generator"),
        ("", "kpktgend_0 pktgen_thread_worker pktgen_xmit veth_xmit net_rx_action ip_forward", "forwarding"),
        ("client", "kpktgend_0 pktgen_thread_worker pktgen_xmit veth_xmit ktime_get", "generator"),
        ("", "rcu_preempt rcu_gp_kthread", "other"),
        ("", "... ...", "other"),
    ],
)
def test_the_innermost_function_with_a_stage_decides(role: str, chain: str, stage: str) -> None:
    task, *calls = chain.split()
    assert stage_of(role, task, calls) == stage


def test_stages_add_up_to_the_busy_time_and_cost_a_packet(tmp_path: Path) -> None:
    run = orch.load(write_run(tmp_path, cores=(2,), tunnels=(2,), profiled=True))
    table = stages(run)
    assert set(table["stage"]) <= set(STAGES)
    for variant, rows in table.groupby("variant"):
        busy = rows[rows["stage"] != "idle"]
        assert busy["seconds"].sum() == pytest.approx(rows["busy_s"].iloc[0], rel=1e-6)
        assert rows["covered"].iloc[0] == pytest.approx(1)
        assert busy["share"].sum() == pytest.approx(1)
        shares = busy.set_index("stage")["share"]
        assert shares["serial transmit"] == pytest.approx(0.2 if variant == "vanilla" else 0.1)
        assert shares["decrypt"] == pytest.approx(0.2)
        one = next(profile for profile in run.profiles if profile.key.variant == variant)
        # CPU time in the window per 1420 bytes that arrived in it.
        packets = one.throughput_bps * one.seconds / 8 / 1420
        assert busy["ns_a_packet"].sum() == pytest.approx(1e9 * busy["seconds"].sum() / packets)
    assert sum(CHAINS.values()) == pytest.approx(1)


def test_profiles_enter_no_median_and_most_runs_have_none(tmp_path: Path) -> None:
    plain, profiled = (orch.load(write_run(tmp_path / name, profiled=name == "b")) for name in ("a", "b"))
    assert set(profiled.measured["kind"]) == {"measure"}
    assert [len(run.measured) for run in (plain, profiled)] == [len(plain.measured)] * 2
    assert plain.profiles == []
    assert len(stages(plain)) == 0
    assert "profiled" not in render(plain, tmp_path, [])
    assert write_profiles(plain, tmp_path / "none") == []
    assert not (tmp_path / "none").exists()
    assert "probes: {profile: trial}" in figures.packet_stages(plain).caption


def test_the_profile_of_a_packet_rate_is_of_a_load_of_its_own_and_costs_are_of_its_packets(tmp_path: Path) -> None:
    shape: Any = {"cores": (2,), "tunnels": (2,), "packet_sizes": (64, 512), "profiled": True}
    run = orch.load(write_run(tmp_path, **shape))
    assert {(one.key.variant, one.key.packet_size, one.packet_bytes) for one in run.profiles} == {
        (variant, size, float(size)) for variant in ("vanilla", "threaded") for size in (64, 512)
    }
    for one in run.profiles:
        arrived_pps = one.throughput_bps / 8 / one.packet_bytes
        busy_s = sum(stack.ns for stack in one.stacks if stack.calls[-1:] != ("arch_cpu_idle",)) / 1e9
        assert sum(ns_a_packet(one).values()) == pytest.approx(1e9 * busy_s / one.seconds / arrived_pps)
    assert "a packet of 64 bytes takes" in " ".join(stage_remarks(run).values())
    assert "CPU time per 64 bytes that arrived" in figures.packet_stages(run).caption
    assert "the same by stage" in "\n".join(explain_cell(run, run.loads[0]))
    assert any("a packet of 64 bytes takes" in remark for remark in headline(run).remarks)


def test_the_wait_of_a_generator_is_busy_time_and_no_cost(tmp_path: Path) -> None:
    path = write_run(tmp_path, cores=(1,), tunnels=(1,), variants=("vanilla",), packet_sizes=(64,), profiled=True)
    before = orch.load(path).profiles[0]
    file = next(path.glob("trials/*/*/profile.json"))
    told = json.loads(file.read_text())
    host = told["lab1"]
    waits = ["kpktgend_0", "pktgen_thread_worker", "pktgen_xmit", "ktime_get"]
    host["rows"].append([0, 10**9, 900, list(range(len(host["names"]), len(host["names"]) + 4))])
    host["names"] += waits
    file.write_text(json.dumps(told))
    after = orch.load(path).profiles[0]
    assert ns_a_packet(after) == ns_a_packet(before)
    assert (covered(after) - covered(before)) * after.busy_s == pytest.approx(1.0)


def test_roles_with_cpus_of_their_own_have_their_stages(tmp_path: Path) -> None:
    run = orch.load(write_run(tmp_path, cores=(2,), tunnels=(2,), profiled=True, virtual=OWN_CPUS))
    one = run.profiles[0]
    assert not one.shared
    assert {stack.role for stack in one.stacks} == {"client", "gateway-a", "gateway-b", "server"}
    assert covered(one) == pytest.approx(1)
    assert "generator or server" in set(stages(run)["stage"])  # iperf3 on a gateway's CPU


def test_explain_says_the_stages_and_what_differs(tmp_path: Path) -> None:
    run = orch.load(write_run(tmp_path, cores=(2,), tunnels=(2,), profiled=True))
    loads = {load.key.variant: load for load in run.loads}
    said = "\n".join(explain_cell(run, loads["threaded"], loads["vanilla"]))
    assert "the same by stage, in a trial of its own (lab kernel), 100% of what /proc/stat gives" in said
    assert "By stage, from the profiles:" in said
    profiles = {one.key.variant: one for one in run.profiles}
    found = {stage: (mine, theirs) for stage, mine, theirs in differences(profiles["threaded"], profiles["vanilla"])}
    assert found["serial transmit"][0] < found["serial transmit"][1]
    plain = orch.load(write_run(tmp_path / "plain", cores=(2,), tunnels=(2,)))
    assert "by stage" not in "\n".join(explain_cell(plain, plain.loads[0], plain.loads[1]))


def test_the_headline_and_the_page_say_by_which_stages_variants_differ(tmp_path: Path) -> None:
    run = orch.load(write_run(tmp_path, cores=(2,), tunnels=(1, 2), profiled=True))
    said = stage_remarks(run)
    assert {key.variant for key in said} == {"threaded"}
    found = {one.key: one for one in run.profiles}
    page = html.unescape(render(run, tmp_path, []))
    for key, sentence in said.items():
        assert f"{sum(ns_a_packet(found[key]).values()):,.0f} ns of CPU time with threaded" in sentence
        assert "serial transmit" in sentence  # which takes half as much of its time
        assert sentence in page
    remarks = headline(run).remarks
    assert any(sentence in remarks for sentence in said.values())


def test_files_and_page(tmp_path: Path) -> None:
    run = orch.load(write_run(tmp_path, cores=(2,), tunnels=(2,), profiled=True))
    drawn = write_profiles(run, tmp_path / "profiles")
    assert [path.name for path in drawn] == ["vanilla-cores-2-tunnels-2.svg", "threaded-cores-2-tunnels-2.svg"]
    page = render(run, tmp_path, [])
    for path, one in zip(drawn, run.profiles, strict=True):
        root = ET.fromstring(path.read_text())
        told = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}title")]
        assert any(text.startswith("wg_packet_tx_worker: ") for text in told)
        assert not any("do_idle:" in text and "arch_cpu_idle" in text for text in told)
        assert f"profiles/{path.name}" in page
        content: dict[str, Any] = json.loads(path.with_name(path.stem + ".speedscope.json").read_text())
        assert content == speedscope(one)
        frames = content["shared"]["frames"]
        for part in content["profiles"]:
            assert part["endValue"] == sum(part["weights"])
            assert len(part["samples"]) == len(part["weights"])
            assert max(max(chain) for chain in part["samples"]) < len(frames)
    assert "<b>" not in flame_graph(run.profiles[0])


def test_widths_are_time_and_callers_hold_what_they_call(tmp_path: Path) -> None:
    run = orch.load(write_run(tmp_path, cores=(1,), tunnels=(1,), variants=("vanilla",), profiled=True))
    root = ET.fromstring(flame_graph(run.profiles[0]))
    widths: dict[str, float] = {}
    for group in root.iter("{http://www.w3.org/2000/svg}g"):
        title, box = group[0].text or "", group[1]
        widths[title.partition(":")[0]] = float(box.get("width", "0"))
    assert widths["wg_packet_decrypt_worker"] == pytest.approx(0.2 * widths["all"], rel=0.01)
    assert widths["process_one_work"] == pytest.approx(0.55 * widths["all"], rel=0.01)


@pytest.mark.parametrize("cores", [(1,), (1, 2), (16,)])
def test_the_figure_is_drawn(tmp_path: Path, cores: tuple[int, ...]) -> None:
    profiled = orch.load(write_run(tmp_path, cores=cores, profiled=True))
    drawing = figures.packet_stages(profiled)
    assert f"{max(cores)} core" in drawing.caption
    names = [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()]
    assert len(names) == len([one for one in profiled.profiles if one.key.cores == max(cores)])
    assert any("1 tunnel" in name for name in names)
    drawing.save(tmp_path / "figures")


def test_a_damaged_file_gets_a_sentence(tmp_path: Path) -> None:
    path = write_run(tmp_path, profiled=True)
    next(path.glob("trials/*/*/profile.json")).write_text('{"lab1": 7}')
    with pytest.raises(UserError, match=r"profile\.json cannot be read"):
        _ = orch.load(path).profiles


def test_a_plan_with_profiles_has_each_cell_once_more() -> None:
    spec = {
        "experiment": "a",
        "factors": {"variant": ("vanilla", "inline"), "cores": (1,), "tunnels": (1, 2)},
        "traffic": {"duration": "1s"},
        "repetitions": 2,
    }
    capabilities = lab_capabilities(2, ["vanilla", "inline"])
    plain = make_plan(Experiment.model_validate(spec), capabilities)
    profiled = make_plan(Experiment.model_validate({**spec, "trace": "profile"}), capabilities)
    extra = [trial for trial in profiled.iterate() if trial.kind == PROFILE]
    assert len(extra) == len({trial.levels for trial in extra}) == 4
    assert [t.trial_id for t in profiled.iterate() if t.kind != PROFILE] == [t.trial_id for t in plain.iterate()]


@pytest.mark.parametrize("virtual", [False, True])
def test_in_virtual_time_samples_are_asked_for_in_the_ticks_of_the_host(
    virtual: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = tmp_path / "virtual_time"
    if virtual:
        clock.write_text("cpus 1\ncpu0_busy_ns 5\n")
    monkeypatch.setattr(agent_profile, "SAMPLES", str(tmp_path / "cpu_samples"))
    monkeypatch.setattr(probes, "VIRTUAL_TIME", str(clock))
    with agent_profile.LabSamples() as sampler:
        sampler.start()
        period_ns = int((tmp_path / "cpu_samples").read_text().split()[0])
    assert period_ns == sampler.period_ns
    assert period_ns == (agent_profile.VIRTUAL_PERIOD_NS if virtual else agent_profile.PERIOD_NS)
