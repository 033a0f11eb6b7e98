# SPDX-License-Identifier: Apache-2.0
"""Keys of the spec as factors: from a spec with five factors to its tables, figures, page and archive."""

import json
import re
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from orchestrator.analysis import figures
from orchestrator.analysis.cells import cells
from orchestrator.analysis.claims import write_verdicts
from orchestrator.analysis.comparing import compare
from orchestrator.analysis.dataset import load
from orchestrator.analysis.figures import captions, further
from orchestrator.analysis.headline import headline
from orchestrator.analysis.page import render
from orchestrator.analysis.settings import in_setting, settings
from orchestrator.cli.app import run_command
from orchestrator.cli.summary import print_summary
from orchestrator.measure import layout, requests
from orchestrator.measure.attempt import Outcome
from orchestrator.paths import RESULTS
from orchestrator.plan import Plan, lab_capabilities, make_plan
from orchestrator.spec import Experiment, load_experiment, read_traffic
from orchestrator.spec.factors import Level
from orchestrator.spec.problems import SpecError
from orchestrator.tools.iperf3 import pairs as iperf3
from orchestrator.tools.iperf3.traffic import Iperf3Traffic
from tests.unit.synthetic_run import write_run
from tests.unit.test_run_campaign import Lab, ok

FACTORS = """\
experiment: five
factors:
  variant: [vanilla, inline]
  cores: [1, 2]
  tunnels: [1, per-core]
  traffic.streams: [1, 8]
  traffic.mss: [1000 B, 1300 B]
exclude:
  - {traffic.streams: 8, traffic.mss: 1000 B}
traffic: {duration: 2s}
repetitions: 6
"""
VARIANTS = ("vanilla", "threaded", "inline")


def spec_of(folder: Path, text: str = FACTORS) -> Experiment:
    file = folder / "five.yaml"
    file.write_text(text)
    return load_experiment(file)


def plan_of(spec: Experiment) -> Plan:
    return make_plan(spec, lab_capabilities(2, VARIANTS))


def test_cells_are_the_cross_product_and_each_has_its_traffic(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    plan = plan_of(spec)
    cells = {trial.levels for trial in plan.trials if trial.kind == "measure"}
    assert len(cells) == 2 * 3 * 3  # tunnels per core is one tunnel on one core; one of four settings is left out
    for trial in plan.trials:
        assert trial.traffic.streams == trial.levels["traffic.streams"]
        assert trial.traffic.mss_bytes == trial.levels["traffic.mss"]
    baselines = [trial.levels for trial in plan.trials if trial.kind == "baseline"]
    assert len(baselines) == len(set(baselines)) == 3 * 3
    assert len({trial.trial_id for trial in plan.trials}) == len(plan.trials)
    assert Plan.from_json(plan.to_json()) == plan
    assert spec.model_dump(mode="json")["factors"]["traffic.streams"] == [1, 8]


def test_a_spec_without_such_factors_has_the_json_that_it_had(tmp_path: Path) -> None:
    text = "".join(line for line in FACTORS.splitlines(keepends=True) if "traffic." not in line)
    content = spec_of(tmp_path, text.replace("exclude:\n", "")).model_dump(mode="json")["factors"]
    assert list(content) == ["variant", "cores", "tunnels", "packet_size"]


@pytest.mark.parametrize("given", [{"bitrate": "200 Mbit/s", "protocol": "udp", "datagram": "900 B"}, {"mss": "900 B"}])
def test_traffic_is_read_again_as_it_was(given: dict[str, Any]) -> None:
    traffic = Iperf3Traffic.model_validate({**given, "duration": "2s"})
    assert read_traffic(traffic.stored) == traffic


MISTAKES = {
    "a level that does not fit": ("traffic.streams: [1, 8]", "traffic.streams: [1, 800]", "6:24: factors.traffic"),
    "a key that is none": ("traffic.streams: [1, 8]", "traffic.stream: [1, 8]", "Did you mean traffic.streams?"),
    "one value beside levels": ("{duration: 2s}", "{duration: 2s, streams: 3}", "and a value here"),
    "levels that do not go together": (
        "traffic.mss: [1000 B, 1300 B]",
        "traffic.protocol: [tcp, udp]",
        "traffic.protocol udp conflict",
    ),
    "a key of another tool": ("traffic.mss: [1000 B, 1300 B]", "traffic.flows: [1, 2]", "is only for the tool pktgen"),
    "a size beyond the link": ("traffic.mss: [1000 B, 1300 B]", "tunnel.mtu: [9000 B]", "9000 B is not valid"),
    "the tool": ("traffic.mss: [1000 B, 1300 B]", "traffic.tool: [iperf3, command]", "measures its own quantity"),
    "a rule without effect": ("- {traffic.streams: 8", "- {traffic.streams: 7", "matches no cell"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_has_a_place_and_a_sentence(tmp_path: Path, name: str) -> None:
    old, new, told = MISTAKES[name]
    text = FACTORS.replace(old, new)
    if "mss" in old:
        text = text.replace(", traffic.mss: 1000 B", "")
    elif "stream:" in new:
        text = text.replace("traffic.streams: 8, ", "")
    with pytest.raises(SpecError, match=r"five.yaml:\d+:\d+") as error:
        spec_of(tmp_path, text)
    assert told in str(error.value)


def test_the_first_level_stands_for_a_key_that_the_tool_needs(tmp_path: Path) -> None:
    text = FACTORS.replace("traffic.mss: [1000 B, 1300 B]", "traffic.bitrate: [100 Mbit/s, 1 Gbit/s]")
    text = text.replace(", traffic.mss: 1000 B", "").replace("{duration: 2s}", "{duration: 2s, protocol: udp}")
    assert {trial.traffic.bitrate_bps for trial in plan_of(spec_of(tmp_path, text)).trials} == {1e8, 1e9}


def test_the_size_of_packets_in_a_tunnel_reaches_devices_datagrams_and_segments(tmp_path: Path) -> None:
    text = FACTORS.replace("traffic.mss: [1000 B, 1300 B]", "tunnel.mtu: [1280 B, 1420 B]")
    spec = spec_of(tmp_path, text.replace(", traffic.mss: 1000 B", ""))
    for trial in plan_of(spec).trials:
        net = layout.net_of(trial)
        if trial.kind == "baseline":  # it has no tunnel, so both sizes have the same baseline
            assert "tunnel.mtu" not in trial.levels
        else:
            mtu = trial.levels["tunnel.mtu"]
            assert net.mtu == mtu
            assert requests.tunnel_devices(net, 1)["gateway-a"][0]["mtu"] == mtu
            assert iperf3.segment(trial.traffic, net.mtu) == mtu - 52
            assert iperf3.datagram(trial.traffic, net.mtu) == mtu - 28


PEERS = """\
experiment: peers
factors:
  variant: [vanilla, pinned, ipsec-gcm]
  cores: [1]
  tunnels: [2]
  tunnel.device: [own, shared]
exclude:
  - {variant: [pinned, ipsec-gcm], tunnel.device: shared}
traffic: {duration: 2s}
"""


def test_tunnels_that_share_a_device_are_a_factor(tmp_path: Path) -> None:
    plan = make_plan(spec_of(tmp_path, PEERS), lab_capabilities(2, (*VARIANTS, "pinned", "ipsec-gcm")))
    measured = [trial for trial in plan.trials if trial.kind == "measure" and trial.round == 1]
    shared = {(trial.levels.variant, trial.levels["tunnel.device"]): layout.net_of(trial).shared for trial in measured}
    assert shared == {
        ("vanilla", "own"): False,
        ("vanilla", "shared"): True,
        ("pinned", "own"): False,
        ("ipsec-gcm", "own"): False,
    }
    assert all(not layout.net_of(trial).shared for trial in plan.trials if trial.kind == "baseline")


UNFIT = {
    "a level that is none": ("[own, shared]", "[own, common]", "own, shared"),
    "IPsec": ("[pinned, ipsec-gcm], t", "[pinned], t", "ipsec-gcm is IPsec, which has no such device. Leave these"),
    "pinned": ("[pinned, ipsec-gcm], t", "[ipsec-gcm], t", "shared: pinned keeps the work of each device on one CPU"),
    "an extra cell": (
        "traffic:",
        "include:\n  - {variant: pinned, cores: 1, tunnels: 3, tunnel.device: shared}\ntraffic:",
        "shared: pinned keeps",
    ),
    "multipath": ("duration: 2s", "duration: 2s, paths: ecmp", "ecmp spreads flows over devices"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_does_not_go_with_a_shared_device_is_said(tmp_path: Path, name: str) -> None:
    old, new, told = UNFIT[name]
    assert old in PEERS
    with pytest.raises(SpecError, match=r"five.yaml:\d+:\d+") as error:
        spec_of(tmp_path, PEERS.replace(old, new))
    assert told in str(error.value)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a synthetic run of the spec, whose throughput rises with streams and segments."""

    def script(trial: Any, number: int) -> Outcome:
        levels, rate = trial.levels, 1e9
        rate *= {"none": 20, "vanilla": 1, "inline": 2}[levels.variant] * levels.cores
        rate *= 1.5 if levels["traffic.streams"] == 8 else 1.0
        return ok(rate * levels["traffic.mss"] / 1300 * (1 + trial.round / 100))

    folder = tmp_path_factory.mktemp("five")
    with pytest.MonkeyPatch.context() as patch:
        lab = Lab(folder, patch)
        lab.script = script
        factors = {"variant": ("vanilla", "inline"), "cores": (1, 2), "tunnels": (1, "per-core")}
        factors |= {"traffic.streams": (1, 8), "traffic.mss": ("1000 B", "1300 B")}
        rule = {"traffic.streams": 8, "traffic.mss": "1000 B"}
        traffic = {"duration": "2s"}
        return lab.run(experiment="five", factors=factors, exclude=(rule,), traffic=traffic, repetitions=6).path


def test_tables_have_a_column_for_each_factor(run_folder: Path) -> None:
    run = load(run_folder)
    assert run.levels[-2:] == ["traffic.mss", "traffic.streams"]
    cells = run.cells()
    assert len(cells) == 18
    assert set(cells["n"]) == {6}
    ratios = run.ratios()
    assert ratios["median"].between(1.99, 2.01).all()
    assert len(ratios) == 9
    efficiencies = run.efficiencies()
    assert efficiencies["median"].between(0.95, 1.05).all()
    assert len(efficiencies) == 2 * 3
    fits = run.fits()
    assert fits.groupby(["variant", "traffic.mss", "traffic.streams"]).ngroups == 6
    again = compare(run, run)
    assert len(again.cells) == 18


def test_figures_show_one_setting_and_say_which_or_have_the_factors_as_panels(run_folder: Path) -> None:
    run = load(run_folder)
    assert settings(run)[0] == {"traffic.mss": 1000, "traffic.streams": 1}
    part = in_setting(run, settings(run)[0])
    assert len(part.cells()) == 6
    assert len(part.baselines) == 3
    for draw in (figures.one_tunnel, figures.throughput_tunnels, figures.speed_ups, figures.value_against_round):
        assert "Here: MSS 1000 B, streams 1; 2 other settings in the tables." in draw(run).caption
    drawing = figures.further_factors(run)
    assert [axes.get_xlabel() for axes in drawing.figure.axes] == ["MSS", "Streams"]
    assert [label.get_text() for label in drawing.figure.axes[0].get_xticklabels()] == ["1000 B", "1300 B"]
    assert "2 cores, 2 tunnels" in drawing.caption


def test_panels_have_titles_that_do_not_touch_and_what_never_varies_is_in_the_caption(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        lab = Lab(tmp_path, patch)
        lab.script = lambda trial, number: ok(1e9)
        factors = {"variant": ("vanilla", "inline"), "cores": (1,), "tunnels": (2,)}
        factors |= {"traffic.streams": (1, 8), "traffic.mss": ("1000 B", "1300 B"), "traffic.affinity": (True, False)}
        factors |= {"traffic.congestion": ("cubic", "reno"), "links.wan.rate": ("200 Mbit/s",)}
        found = lab.run(experiment="four", factors=factors, traffic={"duration": "2s"}, repetitions=1)
    drawing = figures.further_factors(load(found.path))
    assert "1 core, 2 tunnels, rate of wan 200 Mbit/s." in drawing.caption
    assert drawing.png
    drawing.figure.draw_without_rendering()  # at its own resolution again
    titles = [axes.title for axes in drawing.figure.axes]
    assert len(titles) == 4
    assert not any("rate of wan" in title.get_text() for title in titles)
    boxes = [title.get_window_extent() for title in titles]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_a_spec_without_claims_is_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "run")
    assert [verdict.claim for verdict in load(folder).verify()]
    assert 'id="claims"' in render(load(folder), folder, load(folder).verify())
    meta = json.loads((folder / "run.json").read_text())
    meta["spec"]["claims"] = "none"
    (folder / "run.json").write_text(json.dumps(meta))
    run = load(folder)
    assert list(run.verify()) == []
    assert 'id="claims"' not in (page := render(run, folder, run.verify()))
    assert 'href="#claims"' not in page
    assert run_command(["verify", str(folder)]) == 4
    assert "asks for no verdicts (claims: none)" in " ".join(capsys.readouterr().out.split())
    run_command(["verify", str(folder), "--claim", "C4"])
    assert "C4" in capsys.readouterr().out


def test_page_summary_headline_claims_and_archive_take_it(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = load(run_folder)
    verdicts = run.verify()
    write_verdicts(run, verdicts)
    assert list(verdicts) == []  # no claim is about these factors
    page = render(run, run_folder, verdicts)
    assert "MSS 1300 B" in page
    table = page.partition('aria-labelledby="throughput"')[2].partition("</table>")[0]
    headings = re.findall(r"<th(?: [^>]*)?>(.*?)</th>", table)
    assert headings[:5] == ["cores", "tunnels", "MSS", "streams", "variant"]
    rows = [
        re.sub(r"<[^>]*>", " ", row).split("\n")[0] for row in re.findall(r"<tr[^>]*>\s*(<td.*?)</tr>", table, re.S)
    ]
    assert len(set(rows)) == 18
    assert "No claim is about what this run measured and varied." in page
    assert "inline" in headline(run).verdict
    print_summary(run_folder)
    said = capsys.readouterr().out
    assert "MSS" in said
    assert "1300 B" in said
    arguments = ["export", str(run_folder), "--output", str(tmp_path / "five.zip"), "--allow", "dirty"]
    assert run_command(arguments) == 0
    assert len(load(run_folder).cells()) == 18


def test_words_are_at_the_end_of_an_axis_and_computed_bit_rates_have_three_digits() -> None:
    levels: list[Level] = ["max", 528293000.0, 176098000.0]
    assert sorted(levels, key=further._from_left) == [176098000.0, 528293000.0, "max"]
    assert [captions.level_in_words("traffic.bitrate", level) for level in levels] == [
        "max",
        "528 Mbit/s",
        "176 Mbit/s",
    ]
    assert captions.level_in_words("tunnel.mtu", 1428) == "1428 B"


def test_the_first_setting_has_the_first_level_of_each_factor_in_whatever_order_the_plan_has_them() -> None:
    found = settings(load(RESULTS / "example-peers"))
    assert [tuple(one.values()) for one in found] == list(product(("forward", "reverse"), ("shared", "own")))


def test_a_load_that_was_asked_for_is_its_own_limit_and_not_the_generator() -> None:
    table = cells(load(RESULTS / "example-load"))
    paced = table[table["traffic.bitrate"] != "max"]
    assert set(paced["limit"]) == {"offered rate"}
    assert (paced["of_baseline"] > 0.9).all()
    assert not table["generator_bound"].any()


def test_a_part_of_a_run_has_the_modes_and_flags_that_it_has_in_the_whole() -> None:
    run = load(RESULTS / "example-load")
    whole, part = run.quality(), in_setting(run, settings(run)[1])
    mine = part.quality()
    assert 0 < len(mine) < len(whole)
    keys = list(run.levels)
    together = mine.merge(whole, on=keys, suffixes=("", "_whole"))
    assert len(together) == len(mine)
    assert (together["modes"] == together["modes_whole"]).all()
    assert (together["drift_p"] - together["drift_p_whole"]).abs().max() < 1e-12
    assert "Several modes" not in figures.value_against_round(run).caption
