# SPDX-License-Identifier: Apache-2.0
"""Synthetic runs for tests of the analysis: invented numbers in the layout of a run's directory."""

import hashlib
import json
import random
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from orchestrator.spec import ROLES, groups

NONE = "none"
VIRTUAL = {"clock": "virtual", "slots": 2, "cores": 32, "quantum_s": 2e-5, "computer_cores": 2}
OWN_CPUS = {**VIRTUAL, "role_cpus": "own", "ends": "equal", "links": "steered"}
_UNPATCHED = ("vanilla", "threaded")
Fate = Callable[[dict[str, Any]], list[str]]


def always_ok(trial: dict[str, Any]) -> list[str]:
    """Return the statuses of a trial's attempts: a single one, which is ok."""
    return ["ok"]


def invented_bps(variant: str, cores: int, tunnels: int, rng: random.Random) -> float:
    """Return a throughput in bit/s that follows the shape of real ones, with some noise."""
    parallel = min(cores, tunnels)
    scale = {"vanilla": 1 + 0.3 * (parallel - 1), "threaded": 0.95 * parallel, NONE: 4.0 * cores**0.8}
    return 1.5e9 * scale.get(variant, 1.1 * parallel) * rng.gauss(1.0, 0.03)


def write_run(
    root: Path,
    *,
    variants: Iterable[str] = ("vanilla", "threaded"),
    cores: Iterable[int] = (1, 2),
    tunnels: Iterable[int] = (1, 2),
    rounds: int = 3,
    fate: Fate = always_ok,
    provider: str = "uml",
    emulated: bool = False,
    realtime: bool = True,
    speed: Callable[[str, int, int, random.Random], float] = invented_bps,
    topology: str = "site-to-site",
    traced: bool = False,
    profiled: bool = False,
    packet_sizes: Iterable[int | str] = (),
    searched: bool = True,
    virtual: Mapping[str, Any] | None = None,
    boots: int = 1,
    noise_floor: str | None = None,
) -> Path:
    """Write run.json and the attempts, and return the run's directory.

    ``boots``: the number of blocks for each number of cores. ``tunnels`` may contain 0 for one tunnel per core.
    ``fate`` returns the statuses of each trial's attempts, [] for none. With ``packet_sizes``, it is a run of pktgen
    whose rates were ``searched`` or given. ``virtual``: the testbed's entry on virtual time, such as `VIRTUAL` or
    `OWN_CPUS`; None for a run in real time. ``noise_floor``: the variant that each round measures twice.
    """
    run_id = "20260102T030405Z-test"
    path = root / "synthetic" / run_id
    (path / "trials").mkdir(parents=True)
    rng = random.Random(7)
    variants, cores, tunnels = list(variants), list(cores), list(tunnels)
    traffic: dict[str, Any] = {"tool": "iperf3", "protocol": "tcp", "streams": 1, "warm_up_s": 1.0, "duration_s": 3.0}
    sizes = list(packet_sizes)
    if sizes:
        traffic = {"tool": "pktgen", "rate": "max", "flows": 8, "warm_up_s": 1.0, "duration_s": 3.0}
    blocks, order = [], 0
    for index, (boot, count) in enumerate(product(range(boots), cores), 1):
        levels = list(dict.fromkeys(t or count for t in tunnels))
        wanted = [("baseline", 0, NONE, max(levels, default=1), size) for size in sizes or [None]]
        wanted += [("trace", 0, v, t, None) for v in variants for t in levels if traced]
        wanted += [("profile", 0, v, t, size) for v in variants for t in levels for size in sizes or [None] if profiled]
        again = [("noise-floor", noise_floor)] if noise_floor else []
        wanted += [
            (kind, r, v, t, size)
            for r in range(1, rounds + 1)
            for kind, v in [*(("measure", v) for v in variants), *again]
            for t in levels
            for size in sizes or [None]
        ]
        trials = []
        for kind, turn, variant, number, size in wanted:
            order += 1
            about = f"{kind}{turn}{variant}{count}/{number}" + f"/{size}" * bool(sizes) + f"#{boot}" * bool(boot)
            name = hashlib.sha256(about.encode()).hexdigest()[:16]
            trial = {
                "trial_id": name,
                "kind": kind,
                "block": index,
                "round": turn,
                "order": order,
                "repetition": max(turn, 1),
                "levels": {"variant": variant, "cores": count, "tunnels": number}
                | ({"packet_size": size} if sizes else {}),
                "traffic": traffic,
                "topology": topology,
            }
            trials.append(trial)
            for attempt, status in enumerate(fate(trial), 1):
                bps = speed(variant, count, number, rng)
                _write_attempt(path, trial, attempt, status, bps, realtime, rng, searched, virtual)
        blocks.append({"index": index, "cores": count, "trials": trials})
    _write(path / "run.json", _description(run_id, rounds, blocks, variants, topology, provider, emulated, virtual))
    timed = blocks if virtual else []
    started = [{"at": "", "event": "prepared", **_control(block["index"], block["cores"], rng)} for block in timed]
    (path / "journal.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in started), encoding="utf-8")
    return path


def _control(block: int, cores: int, rng: random.Random) -> dict[str, Any]:
    """Return the journal's event for the start of a block's machine, which here has only the control."""
    told = {"cpus": cores, "times_one": round(cores * rng.uniform(0.98, 1.0), 4), "core_alone": 1.05}
    return {"block": block, "testbed": "lab", "hosts": {"lab1": {"cpus_online": cores, "control": told}}}


def _virtual_time(cores: int, virtual: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
    """Return an attempt's record of virtual time: 3 s of it, with all CPUs busy."""
    slots = virtual["slots"]
    dilation = max(1.0, cores / slots * 1.3) * rng.uniform(0.95, 1.05)
    lent_s = 0.002 * cores * rng.uniform(0.5, 1.5)
    return {
        **{"slots": slots, "cpus": cores, "quantum_s": virtual["quantum_s"]},
        **{"virtual_s": 3.0, "wall_s": 3.0 * dilation, "dilation": dilation},
        **{"lent_s": lent_s, "lent_share": lent_s / (2.4 * cores), "forced": 0},
        **{"skew_s": 2.5e-5 * rng.uniform(1, 2), "stolen_s": 0.01, "switches": 1000 * cores},
    }


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def _per_cpu(variant: str, cores: int, rng: random.Random) -> list[dict[str, float]]:
    rows = []
    for cpu in range(cores):
        softirq = 1.8 if variant == "vanilla" and cpu == 0 else 0.4
        system = 1.0 if variant == "threaded" else 0.6
        used = {"user": 0.05, "system": system, "softirq": softirq, "irq": 0.0, "steal": 0.02, "iowait": 0.0}
        used = {kind: value * rng.uniform(0.9, 1.05) for kind, value in used.items()}
        rows.append({"cpu": cpu, **{f"{k}_s": v for k, v in used.items()}, "idle_s": max(0.0, 3 - sum(used.values()))})
    return rows


def _of_roles(variant: str, cores: int, rng: random.Random) -> list[dict[str, Any]]:
    """Return an attempt's record of virtual time if each role has its own CPUs."""
    rows: list[dict[str, Any]] = []
    for role, cpus in zip(ROLES, groups(cores), strict=True):
        rows += [
            {"host": "lab1", "role": role, **row, "cpu": cpus[int(row["cpu"])]}
            for row in _per_cpu(variant, len(cpus), rng)
        ]
    return rows


def _polls(variant: str, cores: int, tunnels: int, own: bool) -> dict[str, Any]:
    """Return one second of polls: for vanilla all on CPU 0, otherwise each tunnel on its own CPU."""
    first = {role: cpus[0] if own else 0 for role, cpus in zip(ROLES, groups(cores), strict=True)}
    rows = [
        ["lab1", role, f"wg{t}", at, first[role] + (0 if variant == "vanilla" else t % cores), 100, 1000]
        for role in ("gateway-a", "gateway-b")
        for t in range(1, tunnels + 1)
        for at in range(10)
    ]
    columns = ["host", "role", "device", "bin", "cpu", "polls", "packets"]
    return {"bin_s": 0.1, "lost": 0, "columns": columns, "rows": rows}


def _interfaces(tunnels: int, carried: int) -> dict[str, Any]:
    counts = {f"{way}_{what}": carried for way in ("rx", "tx") for what in ("bytes", "packets")}
    devices = ["wan0", *(f"wg{number}" for number in range(1, tunnels + 1))]
    counters = {device: {**counts, "rx_drops": 0, "tx_drops": 0} for device in devices}
    return {"gateway-a": counters, "gateway-b": counters}


def _packet_rates(levels: dict[str, Any], bps: float, searched: bool) -> dict[str, float]:
    """Return rates between 100 and 500 kpps, lower for larger packets."""
    size = levels["packet_size"]
    pps = bps / 1.5e9 * 2e8 / (1000 + (size if isinstance(size, int) else 348))
    if not searched:
        return {"sent_pps": 1.3 * pps, "received_pps": pps, "loss_ratio": 0.3 / 1.3}
    bounds = {"pdr_lower_pps": pps, "pdr_upper_pps": 1.02 * pps}
    return {**bounds, "ndr_lower_pps": 0.9 * pps, "ndr_upper_pps": 0.93 * pps}


def _profiled_load(levels: dict[str, Any], bps: float) -> dict[str, Any]:
    """A load of 3 s at the rate that a search found, of which nothing was lost."""
    pps = _packet_rates(levels, bps, True)["pdr_lower_pps"]
    size, sent = levels["packet_size"], round(3 * pps)
    each = size if isinstance(size, int) else 348
    counted = {"sent": sent, "received": sent, "received_bytes": sent * each, "seconds": 3.0, "loss_ratio": 0.0}
    return {"rate_pps": pps, "offered_pps": pps, "received_pps": pps, **counted}


def _round_trips(share: float) -> dict[str, float]:
    times = {"p50_s": 1e-4, "p90_s": 2e-4, "p99_s": 4e-4, "max_s": 1e-3}
    return {"at": share, "offered_pps": share * 1e5, "sent": 100, "n": 99, **{k: v * share for k, v in times.items()}}


# The share of each call chain in the time of a gateway's CPU, or of one that roles share.
CHAINS = {
    "iperf3 ksys_write tcp_sendmsg tcp_sendmsg_locked copy_from_iter": 0.10,
    "iperf3 [user]": 0.05,
    "ksoftirqd run_ksoftirqd net_rx_action __napi_poll process_backlog ip_rcv ip_forward ip_output": 0.15,
    "kworker process_one_work wg_packet_encrypt_worker chacha20poly1305_encrypt_sg_inplace chacha_4block": 0.25,
    "kworker process_one_work wg_packet_tx_worker send4 udp_tunnel_xmit_skb dev_hard_start_xmit": 0.10,
    "kworker process_one_work wg_packet_decrypt_worker poly1305_blocks.isra.0": 0.20,
    "swapper do_idle net_rx_action __napi_poll wg_packet_rx_poll napi_gro_receive": 0.10,
    "systemd [user]": 0.05,
}


def _profile(variant: str, cpus: list[dict[str, Any]]) -> dict[str, Any]:
    """Return 2 s of samples, scaled to the busy time of each CPU in 3 s, in the shares of CHAINS. Vanilla has twice as
    much in its serial stage, at the expense of encryption."""
    names: dict[str, int] = {}
    rows = []
    for cpu in cpus:
        busy = sum(cpu[f"{kind}_s"] for kind in ("user", "system", "softirq", "irq"))
        total = busy + cpu["steal_s"] + cpu["iowait_s"] + cpu["idle_s"]
        for chain, share in CHAINS.items():
            if variant == "vanilla" and ("tx_worker" in chain or "encrypt_worker" in chain):
                share += 0.1 if "tx_worker" in chain else -0.1
            words = [names.setdefault(word, len(names)) for word in chain.split()]
            rows.append([cpu["cpu"], round(2e9 * busy / total * share), 10, words])
        words = [names.setdefault(word, len(names)) for word in ("swapper", "do_idle", "arch_cpu_idle")]
        rows.append([cpu["cpu"], 1_000_000, 1, words])
    about = {"source": "lab kernel", "period_ns": 1009000, "seconds": 2.0, "lost_ns": 0}
    return {**about, "names": list(names), "rows": rows}


def _write_attempt(
    path: Path,
    trial: dict[str, Any],
    number: int,
    status: str,
    bps: float,
    realtime: bool,
    rng: random.Random,
    searched: bool = True,
    virtual: Mapping[str, Any] | None = None,
) -> None:
    levels, own = trial["levels"], (virtual or {}).get("role_cpus") == "own"
    reasons = {
        "ok": [],
        "invalid": ["a new handshake fell into the trial on gateway-a/wg1"],
        "failed": ["tunnel 1: iperf3 ended with status 1: unable to connect <refused> & gone"],
    }[status]
    measurements: dict[str, Any] = {"throughput_bps": None, "overhead_s": 0.6, "phases_s": {}}
    probes: dict[str, Any] = {}
    if status != "failed":
        measurements |= {"throughput_bps": bps * (0.6 if status == "invalid" else 1), "duration_s": 3.0}
        measurements |= {"retransmits": 12, "handshake_age_s": None if trial["kind"] == "baseline" else 2.0}
        spent = _of_roles if own else _per_cpu
        probes = {"per_cpu": spent(levels["variant"], levels["cores"], rng), "window_s": 3.0, "clock_step_s": 0.0}
        probes |= {"interfaces": _interfaces(levels["tunnels"], int(bps))}
        if virtual:
            probes["virtual_time"] = _virtual_time(levels["cores"], virtual, rng)
        if "packet_size" in levels:
            measurements |= {"throughput_bps": None, "retransmits": None, **_packet_rates(levels, bps, searched)}
            measurements |= {"latency": [_round_trips(share) for share in (0.5, 0.9)]} if searched else {}
            if trial["kind"] == "profile":
                measurements["profiled_load"] = _profiled_load(levels, bps)
                probes["profiled_load"] = dict(probes)
    attempt = {
        **trial,
        "schema": 1,
        "attempt": number,
        "testbed": "lab",
        **(virtual or {}),
        "status": status,
        "reasons": reasons,
        "session": 1,
        "marks": [],
        "started_at": f"2026-01-02T03:{trial['order'] // 60 % 60:02d}:{trial['order'] % 60:02d}.000Z",
        "ended_at": "2026-01-02T04:00:00.000Z",
        "measurements": measurements,
        "probes": probes,
        "variant_build": None if levels["variant"] == NONE else "00ff" * 10,
        "kernel_release": "7.2.0-synthetic",
        "crypto": "chacha20: synthetic",
        "realtime": realtime,
    }
    folder = path / "trials" / trial["trial_id"] / str(number)
    _write(folder / "attempt.json", attempt)
    if trial["kind"] == "trace" and status != "failed":
        _write(folder / "polls.json", _polls(levels["variant"], levels["cores"], levels["tunnels"], own))
    if trial["kind"] == "profile" and status != "failed":
        _write(folder / "profile.json", {"lab1": _profile(levels["variant"], probes["per_cpu"])})


def _description(
    run_id: str,
    rounds: int,
    blocks: list[Any],
    variants: list[str],
    topology: str,
    provider: str,
    emulated: bool,
    virtual: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    most = max((block["cores"] for block in blocks), default=1)
    left = [{"what": "cores 64", "reason": "this computer has 2 cores"}]
    roles = ["client", "gateway-a", "gateway-b", "server"]
    return {
        "schema": 1,
        "run_id": run_id,
        "experiment": "synthetic",
        "description": "Invented numbers for a test.",
        "tier": "quick",
        "spec_text": "experiment: synthetic\nfactors: {variant: [vanilla, threaded]}  # <invented>\n",
        "spec_hash": "ab" * 32,
        "spec": {"factors": {"variant": variants}},
        "overrides": ["traffic.duration=3s"],
        "plan": {
            "experiment": "synthetic",
            "tier": "quick",
            "seed": 7,
            "testbed": "lab",
            "topology": topology,
        }
        | {"order": "random", "blocks": blocks, "left_out": left}
        | {"repetitions": {"min": rounds, "max": rounds, "width": None}},
        "sessions": [{"session": 1, "started_at": "2026-01-02T03:04:05.000Z", "ended_at": None, "state": "finished"}],
        "arguments": {"testbed": None, "order": "random"},
        "variants": {name: {"build": "upstream" if name in _UNPATCHED else "multitunnel"} for name in variants},
        "versions": {"orch": "0.1.0", "python": "3.11"},
        "source": {"commit": "c" * 40, "dirty": False, "tree_hash": "d" * 64},
        "testbed": {"name": "lab", "provider": provider, "hosts": [{"name": "lab1", "roles": roles}]}
        | {"label": "one machine, all four roles", "emulated": emulated, "max_cores": most}
        | dict(virtual or {}),
        "environment": {
            "computer": {
                "cpu_models": ["Synthetic CPU"],
                "cpus": most,
                "mitigations": {"meltdown": "Not affected"},
            },
            "testbed": {
                "kernel": {"release": "7.2.0-synthetic"},
                "image_packages": ["iperf3 3.18", "iproute2 6.15"],
            },
        },
        "started_at": "2026-01-02T03:04:05.000Z",
        "ended_at": "2026-01-02T03:09:05.000Z",
        "state": "finished",
    }
