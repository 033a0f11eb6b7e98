# SPDX-License-Identifier: Apache-2.0
"""Errors in specs: all found at once, each with its location and a helpful hint."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import UserError
from orchestrator.spec import Pool, SpecError, check_file, load_experiment, load_testbed

GOOD = """\
experiment: small
factors:
  variant: [vanilla, threaded]
  cores: [1, max]
  tunnels: [1, per-core]
traffic: {duration: 3s}
tiers:
  one: {repetitions: 1}
"""


def mistakes(tmp_path: Path, text: str) -> list[tuple[int, int, str]]:
    """Return (line, column, sentence) for each error, counted from 1."""
    file = tmp_path / "spec.yaml"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        check_file(file)
    assert caught.value.exit_status == 2
    return [
        (problem.span.line + 1, problem.span.column + 1, problem.message)
        for problem in caught.value.problems
        if problem.span
    ]


def test_a_good_spec(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(GOOD)
    assert "\n" not in check_file(tmp_path / "spec.yaml")


PKTGEN = GOOD.replace("{duration", "{tool: pktgen, rate: 100 kpps, duration").replace(
    "traffic:", "  packet_size: [64, imix]\ntraffic:"
)


def test_a_good_spec_of_packets(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(PKTGEN)
    assert "\n" not in check_file(tmp_path / "spec.yaml")


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "says"),
    [
        ("rate: 100 kpps, ", "", 7, 1, 'Add "rate"'),
        ("rate: 100 kpps", "search: {goals: [ndr, mdr]}", 7, 47, "not one of ndr, pdr"),
        ("rate: 100 kpps", "search: {goals: [ndr, ndr]}", 7, 41, "names a goal twice"),
        ("rate: 100 kpps", "search: {widht: 1%}", 7, 34, "Did you mean width?"),
        ("rate: 100 kpps", "search: {min_rate: 2}", 7, 44, "no unit"),
        ("rate: 100 kpps", "search: {pdr_loss: 100%}", 7, 44, "less than 1"),
        ("rate: 100 kpps", "search: {min_rate: 2 kpps, max_rate: 1 kpps}", 7, 62, "must be above min_rate"),
        ("rate: 100 kpps", "search: {method: binary, tries: 3}", 7, 57, "offers each load once"),
        ("rate: 100 kpps", "rate: max, search: {}", 7, 25, "exclude each other"),
        ("rate: 100 kpps", "rate: max, latency: {at: [50]}", 7, 51, "no unit"),
        ("rate: 100 kpps", "rate: max, latency: {rate: 5 kpps}", 7, 52, "at most 1000"),
        ("100 kpps", "100 kbps", 7, 31, '"kbps" is not a known unit'),
        ("100 kpps", "0 pps", 7, 31, "the rate must be above 0"),
        ("rate:", "streams: 2, rate:", 7, 25, "is only for the tool iperf3"),
        ("[64,", "[63,", 6, 17, "from 64 to 1420, or imix"),
        ("tiers:", "topology: gateway-to-gateway\ntiers:", 8, 1, "Use the topology site-to-site"),
        ("tiers:", "trace: polls\ntiers:", 8, 1, "Use the probe profile"),
        ("tiers:", "include: [{variant: vanilla, cores: 1, tunnels: 1}]\ntiers:", 8, 11, "is a factor, but"),
    ],
)
def test_a_mistake_with_packets(tmp_path: Path, old: str, new: str, line: int, column: int, says: str) -> None:
    ((found_line, found_column, message),) = mistakes(tmp_path, PKTGEN.replace(old, new, 1))
    assert (found_line, found_column) == (line, column)
    assert says in message


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "says"),
    [
        ("traffic:", "trafic:", 6, 1, "Did you mean traffic?"),
        ("duration:", "durration:", 6, 11, "Did you mean duration?"),
        ("repetitions:", "repetition:", 8, 9, "Did you mean repetitions?"),
        ("[vanilla,", "[vanila,", 3, 13, "Did you mean vanilla?"),
        ("tiers:", "claims: never\ntiers:", 7, 9, "none"),
        ("cores: [1,", "cores: [0,", 4, 11, "Expected a whole number from 1 to 4096, or max"),
        ("[1, per-core]", "[1, 8192]", 5, 16, "from 1 to 8191"),
        ("[1, per-core]", "[1, 1]", 5, 16, "listed twice"),
        ("[1, per-core]", "[]", 5, 12, "at least 1 entry"),
        ("[1, per-core]", "1", 5, 12, "a list"),
        ("[1, per-core]", "[010]", 5, 13, "as the number 8"),
        ("[1, per-core]", "[1_0]", 5, 13, "as the number 10"),
        ("small", "on", 1, 13, "as the truth value true"),
        ("small", "2024-01-01", 1, 13, "date"),
        ("small", "Small Thing", 1, 13, "lower-case letters"),
        ("duration: 3s", "duration: 3", 6, 21, "has no unit"),
        ("duration: 3s", "duration: 3s, protocol: udp", 6, 10, "udp needs a target rate"),
        ("duration: 3s", "duration: 3s, bitrate: 5 Gbit", 6, 34, "not a known unit"),
        ("duration: 3s", "duration: 3s, bitrate: 0 bit/s", 6, 34, "more than 0"),
        ("duration: 3s", "duration: 3s, bitrate: 2 Mbit/s", 6, 34, "sends one block of 128 KiB every 0.524 s"),
        ("duration: 3s", "duration: 3s, datagram: 99 B", 6, 35, "is only for udp"),
        ("duration: 3s", "duration: 3s, mss: 10 B", 6, 30, "at least 88"),
        ("duration: 3s", "duration: 3s, congestion: B B", 6, 37, "is not valid"),
        ("duration: 3s", "duration: 3s, ip_version: 5", 6, 37, "not one of 4, 6"),
        ("duration: 3s", "duration: 3s, protocol: udp, bitrate: 1 Mbit/s, window: 1 MiB", 6, 67, "is only for tcp"),
        ("duration: 3s", "duration: 3s, connections: 8", 6, 10, "while paths: subnets are per tunnel"),
        ("duration: 3s", "duration: 3s, paths: ecmp, streams: 2, connections: 8", 6, 10, "while streams are"),
        ("duration: 3s", "duration: 3s, paths: ecmp, connections: 0", 6, 51, "Expected at least 1"),
        ("duration: 3s", "duration: 3s, protocol: udp, bitrate: 1 Mbit/s, zerocopy: true", 6, 69, "only for tcp"),
        ("duration: 3s", "duration: 150s", 6, 21, "WireGuard rekeys 120 s after"),
        ("duration: 3s", "duration: 1:30", 6, 21, "as the number 90"),
        ("duration: 3s", "duration: 1500 ms", 6, 21, "whole seconds only"),
        ("duration: 3s", "duration: 3S", 6, 21, "did you mean s?"),
        ("duration: 3s", "duration: ", 6, 20, "The value is missing"),
        ("duration: 3s", "duration: !odd 3s", 6, 21, "Tags"),
        ("duration: 3s", "duration: 3s, duration: 4s", 6, 25, "twice"),
        ("traffic: {duration: 3s}", "traffic: {}", 6, 1, '"traffic.duration" is missing'),
        ("tiers:", "seed: 1\nseed: 2\ntiers:", 8, 1, "first on line 7"),
        ("tiers:", "on: 1\ntiers:", 7, 1, "A key must be a string"),
        ("tiers:", "packages: [netperf]\ntiers:", 7, 1, "It is a key of testbed files; name such a file"),
        ("tiers:", "retries: -1\ntiers:", 7, 10, "at least 0"),
        ("tiers:", "repetitions: {min: 1, max: 1, boots: 0}\ntiers:", 7, 38, "at least 1"),
        ("tiers:", "repetitions: {min: 1, max: 1, boots: 101}\ntiers:", 7, 38, "at most 100"),
        ("tiers:", "repetitions: {min: 1, max: 1, width_of: ratio}\ntiers:", 7, 14, "a width, such as 10%"),
        ("tiers:", "repetitions: {min: 6, max: 9, width: 5%, width_of: mean}\ntiers:", 7, 52, "median"),
        ("tiers:", "repetitions: {min: 50000, max: 50000, boots: 50}\ntiers:", 2, 1, "the maximum is 1,000,000"),
        ("tiers:", "testbed: lba\ntiers:", 7, 10, "Did you mean lab?"),
        ("tiers:", "default_tier: on\ntiers:", 7, 15, "truth value"),
        ("tiers:", "default_tier: two\ntiers:", 7, 15, "There is no tier two"),
        ("tiers:", "exclude: [{cores: 3, tunnels: 2}]\ntiers:", 7, 11, "matches no cell"),
        ("tiers:", "exclude: [{}]\ntiers:", 7, 11, "exclude everything"),
        ("tiers:", "exclude: [{variant: [vanilla, threaded]}]\ntiers:", 7, 1, "nothing would be measured"),
        ("{duration", "{rate: 1 kpps, duration", 6, 11, "is only for the tool pktgen"),
        ("  tunnels:", "  packet_size: [64]\n  tunnels:", 5, 3, "is only for the tool pktgen"),
        ("{duration", "{tool: pktgen, rate: max, duration", 6, 11, "needs the factor packet_size"),
        ("tiers:", "include: [{variant: vanilla, cores: 1, tunnels: 1, packet_size: 64}]\ntiers:", 7, 52, "this spec"),
        ("tiers:", "repetitions: 100000\nseed: &a 1\nretries: *a\ntiers:", 8, 7, "Anchors"),
        ("one: {", "one: {exclude: [{variant: [vanilla, threaded]}], ", 8, 9, "nothing would be measured"),
        ("one: {", "One: {", 8, 3, "is not valid"),
        ("tiers:", "  bad indent\n tiers:", 7, 3, "not YAML"),
    ],
)
def test_place_and_hint(tmp_path: Path, old: str, new: str, line: int, column: int, says: str) -> None:
    assert GOOD.count(old) == 1
    found = mistakes(tmp_path, GOOD.replace(old, new))
    assert [(at, where) for at, where, message in found if says in message] == [(line, column)], found


def test_all_at_once_and_underlined(tmp_path: Path) -> None:
    text = GOOD.replace("traffic:", "trafic:").replace("vanilla", "vanila").replace("[1, max]", "[on, 0]")
    found = mistakes(tmp_path, text)
    assert [line for line, _, _ in found] == [3, 4, 4, 6]
    with pytest.raises(SpecError) as caught:
        check_file(tmp_path / "spec.yaml")
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("has 4 errors:")
    assert lines[1].startswith(f"{tmp_path}/spec.yaml:3:13: ")
    assert lines[2].index("vanila") == lines[3].index("^^^^^^")


def test_a_rule_that_works_in_one_tier_only_is_no_mistake(tmp_path: Path) -> None:
    text = GOOD.replace("tiers:", "exclude: [{tunnels: 7}]\ntiers:\n  many: {factors: {tunnels: [1, 7]}}")
    (tmp_path / "spec.yaml").write_text(text)
    check_file(tmp_path / "spec.yaml")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"# nothing\n", "empty"),
        (b"\x7fELF\x02\xff", "UTF-8"),
        (b"\0\0", "not YAML"),
        (b"- 1\n", "keys and values"),
        (b"word", "keys and values"),
        (b"a: 1\n---\nb: 2\n", "document"),
        (b"[" * 1200, "nested too deeply"),
        (b"a: [1, 2", "not YAML"),
    ],
)
def test_what_is_no_spec(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "spec.yaml").write_bytes(content)
    with pytest.raises(UserError, match=says) as caught:
        check_file(tmp_path / "spec.yaml")
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(("name", "says"), [("gone.yaml", "no file"), (".", "folder"), ("nul\0l", "no file")])
def test_what_is_no_file(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        check_file(f"{tmp_path}/{name}")


@settings(max_examples=60)
@given(st.text(max_size=200))
def test_any_text_ends_in_a_sentence(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.mktemp("any") / "spec.yaml"
    file.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(UserError):
        check_file(file)


@settings(max_examples=60)
@given(st.data())
def test_any_change_of_a_good_spec_ends_well_or_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(GOOD)))
    end = data.draw(st.integers(start, min(len(GOOD), start + 8)))
    text = GOOD[:start] + data.draw(st.text("abz019 :-[]{}#'\"\n&*!~|>%@,.", max_size=8)) + GOOD[end:]
    file = tmp_path_factory.mktemp("any") / "spec.yaml"
    file.write_text(text)
    with contextlib.suppress(UserError):
        check_file(file)


TESTBED = "testbed: t\nprovider: uml\nhosts:\n  - {name: a, roles: [client, gateway-a, gateway-b, server]}\n"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("uml", "aws", "There is no provider aws. The providers are: uml (the lab on this computer), qemu"),
        ("uml", "ulm", "Did you mean uml?"),
        ("provider: uml\n", "", '"provider" is missing'),
        ("client, ", "", "client is on 0 hosts"),
        ("client, ", "client, client, ", "client is on 2 hosts"),
        ("gateway-a", "gatewaya", "Did you mean gateway-a?"),
        ("name: a", "name: a, memory: 1", "no unit"),
        ("name: a", "name: a, memry: 1 GiB", "Did you mean memory?"),
        ("testbed: t", "testbed: on", "truth value"),
    ],
)
def test_mistakes_in_a_testbed(tmp_path: Path, old: str, new: str, says: str) -> None:
    file = tmp_path / "testbed.yaml"
    file.write_text(TESTBED)
    assert load_testbed(file).hosts[0].memory == 2**30
    file.write_text(TESTBED.replace(old, new))
    with pytest.raises(SpecError) as caught:
        load_testbed(file)
    assert says in str(caught.value)


POOL = """\
testbed: all
provider: pool
testbeds: [lab-a, lab-b]
"""
SSH = """\
testbed: {name}
provider: ssh
hosts:
  - {{name: one, address: one.example.org, roles: [gateway-a], nics: {{wan: eth1}}}}
  - {{name: two, address: {other}, roles: [gateway-b], nics: {{wan: eth1}}}}
"""


def test_a_good_pool_has_its_testbeds(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(SSH.format(name="own", other="two.example.org"))
    (tmp_path / "spec.yaml").write_text(POOL.replace("lab-b", "./own.yaml"))
    assert check_file(tmp_path / "spec.yaml").endswith("all, a pool of lab-a, ./own.yaml.")
    pool = load_testbed(tmp_path / "spec.yaml")
    assert isinstance(pool, Pool)
    assert [bed.testbed for bed in pool.members] == ["lab-a", "own"]


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ("lab-z", "There is no testbed lab-z in experiments/testbeds."),
        ("lab-a", "The testbed lab-a is already in this pool."),
        ("two-labs", "two-labs is itself a pool."),
        ("./spec.yaml", "is itself a pool."),
        ("auto", "auto is only for `orch run`, which chooses a testbed."),
        ("./nowhere.yaml", "There is no file"),
    ],
)
def test_mistakes_in_a_pool_are_at_their_place(tmp_path: Path, second: str, says: str) -> None:
    ((line, column, message),) = mistakes(tmp_path, POOL.replace("lab-b", second))
    assert (line, column) == (3, 19)
    assert says in message


def test_a_host_is_in_one_testbed_of_a_pool(tmp_path: Path) -> None:
    for name, other in (("left", "two.example.org"), ("right", "three.example.org")):
        (tmp_path / f"{name}.yaml").write_text(SSH.format(name=name, other=other))
    ((_, column, message),) = mistakes(tmp_path, POOL.replace("lab-a, lab-b", "./left.yaml, ./right.yaml"))
    assert column == 25
    assert message == "right and left have the same host one.example.org. It can be in only one of them."


def test_mistakes_in_the_files_of_a_pool_are_told_with_theirs(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(SSH.format(name="own", other="two.example.org").replace("roles", "rolls", 1))
    ((line, _, message),) = mistakes(tmp_path, POOL.replace("lab-b", "./own.yaml"))
    assert line == 4
    assert "Did you mean roles?" in message


def test_a_testbed_file_is_relative_to_the_spec_and_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "idea").mkdir()
    spec, bed = tmp_path / "idea" / "spec.yaml", tmp_path / "idea" / "bed.yaml"
    spec.write_text("experiment: x\ntestbed: bed.yaml\n" + GOOD.partition("\n")[2])
    with pytest.raises(SpecError) as caught:
        check_file(spec)
    assert "spec.yaml:2:10: There is no file bed.yaml" in str(caught.value)
    bed.write_text(TESTBED)
    monkeypatch.chdir(tmp_path)
    assert "is a valid spec" in check_file("idea/spec.yaml")
    assert load_experiment("idea/spec.yaml").testbed_name_or_path == "idea/bed.yaml"
    bed.write_text(TESTBED.replace("roles", "rolls"))
    with pytest.raises(SpecError) as caught:
        check_file(spec)
    assert "bed.yaml:" in str(caught.value)
    bed.rename(tmp_path / "bed.yaml")  # the current folder comes second
    assert load_experiment("idea/spec.yaml").testbed_name_or_path == "bed.yaml"


def test_unknown_testbed() -> None:
    with pytest.raises(UserError, match="Did you mean lab"):
        load_testbed("labb")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("traffic.duration=3", "no unit"),
        ("trafic.duration=3s", "Did you mean traffic?"),
        ("traffic", "The form is KEY=VALUE"),
        ("=3", "The form is KEY=VALUE"),
        ("seed=", "The value after"),
        ("seed=on", "truth value"),
        ("seed=[1", "not YAML"),
        ("factors.cores.0=1", "have no keys"),
        ("factors={}", 'changes nothing, since the keys of "factors" stay'),
        ("factors.cores=1", "a list"),
        ("tiers.one.seed=1", "applied after the tier"),
        ("default_tier=one", "--tier"),
        ("testbed=lba", "Did you mean lab?"),
        ("exclude=[{variant: [vanilla, threaded]}]", "nothing would be measured"),
    ],
)
def test_mistakes_in_overrides(tmp_path: Path, override: str, says: str) -> None:
    (tmp_path / "spec.yaml").write_text(GOOD)
    with pytest.raises(SpecError) as caught:
        load_experiment(tmp_path / "spec.yaml", overrides=[override])
    assert says in str(caught.value)
    assert f"--set {override}" in str(caught.value)
