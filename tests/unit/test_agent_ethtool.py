# SPDX-License-Identifier: Apache-2.0
"""Parsing ethtool's output. The texts are in the form of ethtool 6.x, as its drivers fill it."""

import pytest

from orchestrator.agent import ethtool
from orchestrator.agent.host import AgentError

CHANNELS = """\
Channel parameters for ens1f0np0:
Pre-set maximums:
RX:		n/a
TX:		n/a
Other:		n/a
Combined:	63
Current hardware settings:
RX:		n/a
TX:		n/a
Other:		n/a
Combined:	8
"""
RINGS = """\
Ring parameters for ens1f0np0:
Pre-set maximums:
RX:			8192
RX Mini:		n/a
RX Jumbo:		n/a
TX:			8192
TX push buff len:	n/a
Current hardware settings:
RX:			1024
RX Mini:		n/a
RX Jumbo:		n/a
TX:			512
RX Buf Len:		n/a
CQE Size:		n/a
TX Push:		off
"""
COALESCE = """\
Coalesce parameters for ens1f0np0:
Adaptive RX: on  TX: off
stats-block-usecs:	n/a
sample-interval:	n/a

rx-usecs:	8
rx-frames:	128
rx-usecs-irq:	n/a

tx-usecs:	16
tx-frames:	n/a
"""
PORTS = """\
UDP over IPV4 flows use these fields for computing Hash flow key:
IP SA
IP DA
L4 bytes 0 & 1 [TCP/UDP src port]
L4 bytes 2 & 3 [TCP/UDP dst port]

"""
ADDRESSES = """\
UDP over IPV4 flows use these fields for computing Hash flow key:
IP SA
IP DA

"""
FEATURES = """\
Features for ens1f0np0:
rx-checksumming: on
tx-checksumming: on
	tx-checksum-ipv4: off [fixed]
	tx-checksum-ip-generic: on
generic-receive-offload: on
rx-gro-hw: off [requested on]
rx-vlan-filter: on [fixed]
"""
TEXTS = {"-l": CHANNELS, "-g": RINGS, "-c": COALESCE, "-n": PORTS, "-k": FEATURES}


@pytest.fixture(autouse=True)
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ethtool, "asked", lambda option, nic, *rest: TEXTS.get(option))


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("channels", "8"),
        ("ring-rx", "1024"),
        ("ring-tx", "512"),
        ("coalesce-rx-usecs", "8"),
        ("coalesce-tx-usecs", "16"),
        ("adaptive-rx", "on"),
        ("adaptive-tx", "off"),
        ("hash-udp4", "sdfn"),
        ("feature-generic-receive-offload", "on"),
        ("feature-rx-gro-hw", "off"),
    ],
)
def test_each_setting_is_read(what: str, value: str) -> None:
    assert ethtool.nic_value("ens1f0np0", what) == value


def test_numbers_have_their_most() -> None:
    assert ethtool.most_of("ens1f0np0", "channels") == (8, 63)
    assert ethtool.most_of("ens1f0np0", "ring-rx") == (1024, 8192)


def test_addresses_only_is_told_from_ports() -> None:
    assert ethtool.hash_of(ADDRESSES) == "sd"
    assert ethtool.hash_of("") == ""


def test_what_is_fixed_or_not_there_has_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    for what in ("feature-rx-vlan-filter", "feature-nothing", "nothing"):
        with pytest.raises(AgentError, match=f"the interface ens1f0np0 has no setting {what}"):
            ethtool.nic_value("ens1f0np0", what)
    monkeypatch.setattr(ethtool, "asked", lambda *arguments: None)  # the driver supports none of it
    assert ethtool.most_of("vec1", "channels") is None
    with pytest.raises(AgentError, match="has no setting ring-rx"):
        ethtool.nic_value("vec1", "ring-rx")


@pytest.mark.parametrize(
    ("what", "value", "command"),
    [
        ("channels", "4", "-L eth1 combined 4"),
        ("ring-rx", "4096", "-G eth1 rx 4096"),
        ("coalesce-rx-usecs", "0", "-C eth1 rx-usecs 0"),
        ("adaptive-rx", "off", "-C eth1 adaptive-rx off"),
        ("hash-udp4", "sdfn", "-N eth1 rx-flow-hash udp4 sdfn"),
        ("feature-rx-gro-hw", "on", "-K eth1 rx-gro-hw on"),
    ],
)
def test_each_setting_is_set_by_its_own_option(
    monkeypatch: pytest.MonkeyPatch, what: str, value: str, command: str
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(ethtool, "call", called.append)
    ethtool.set_nic_value("eth1", what, value)
    assert called == [["ethtool", *command.split()]]


def shows(monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
    monkeypatch.setattr(ethtool, "asked", lambda option, nic, *rest: texts.get(option[1:]))


COALESCING = """\
Coalesce parameters for en7:
Adaptive RX: {rx}  TX: {tx}
stats-block-usecs:	n/a

rx-usecs:	{usecs}
rx-frames:	{usecs}

tx-usecs:	{usecs}

CQE mode RX: {cqe}  TX: {cqe}
"""


@pytest.mark.parametrize(("rx", "tx", "cqe"), [("on", "off", "on"), ("off", "on", "off"), ("on", "on", "n/a")])
def test_two_values_of_one_line_are_each_under_their_own_name(
    monkeypatch: pytest.MonkeyPatch, rx: str, tx: str, cqe: str
) -> None:
    shows(monkeypatch, c=COALESCING.format(rx=rx, tx=tx, cqe=cqe, usecs=3))
    assert ethtool.nic_value("en7", "adaptive-rx") == rx
    assert ethtool.nic_value("en7", "adaptive-tx") == tx
    assert ethtool.nic_value("en7", "coalesce-tx-usecs") == "3"


def test_what_a_card_says_is_not_there_has_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    shows(monkeypatch, c=COALESCING.format(rx="n/a", tx="n/a", cqe="n/a", usecs="n/a"))
    for what in ("adaptive-rx", "adaptive-tx", "coalesce-rx-usecs"):
        assert ethtool.value_or_none("en7", what) is None


LEFT = "Channel parameters for en7:\nPre-set maximums:\nRX:\t\t{0}\nTX:\t\t{1}\nOther:\t\tn/a\nCombined:\t{2}\n"
CHANNEL_KINDS = [
    # (maximum of rx, tx, combined), (now), reading, maximum, command for 2 queues, command to restore
    (("n/a", "n/a", "16"), ("n/a", "n/a", "8"), "8", (8, 16), "combined 2", "combined 8"),
    (("37", "37", "74"), ("0", "0", "16"), "16", (16, 74), "combined 2", "combined 16"),
    (("8", "8", "n/a"), ("4", "4", "n/a"), "4", (4, 8), "rx 2 tx 2", "rx 4 tx 4"),
    (("8", "4", "0"), ("8", "4", "0"), "8", (8, 8), "rx 2 tx 2", "rx 8 tx 4"),
    (("8", "4", "0"), ("3", "4", "0"), "rx 3 tx 4", (4, 8), "rx 2 tx 2", "rx 3 tx 4"),
    (("4", "1", "n/a"), ("4", "1", "n/a"), "4", (4, 4), "rx 2 tx 1", "rx 4 tx 1"),  # a queue to send is enough to tg3
    (("16", "16", "0"), ("4", "2", "0"), "rx 4 tx 2", (4, 16), "rx 2 tx 2", "rx 4 tx 2"),
    # bnxt and ionic, configured without combined queues; nfp, which can have more of one kind in addition
    (
        ("8", "8", "15"),
        ("4", "2", "0"),
        "combined 0 rx 4 tx 2",
        (0, 15),
        "combined 2 rx 0 tx 0",
        "combined 0 rx 4 tx 2",
    ),
    (("8", "8", "8"), ("1", "0", "4"), "combined 4 rx 1 tx 0", (4, 8), "combined 2 rx 0", "combined 4 rx 1 tx 0"),
    (("4", "n/a", "n/a"), ("4", "n/a", "n/a"), "4", (4, 4), "rx 2", "rx 4"),
]


@pytest.mark.parametrize(("most", "now", "value", "numbers", "sets", "back"), CHANNEL_KINDS)
def test_queues_are_combined_or_of_each_kind(
    monkeypatch: pytest.MonkeyPatch,
    most: tuple[str, ...],
    now: tuple[str, ...],
    value: str,
    numbers: tuple[int, int],
    sets: str,
    back: str,
) -> None:
    current = LEFT.format(*now).replace("Pre-set maximums", "Current hardware settings").partition("\n")[2]
    shows(monkeypatch, l=LEFT.format(*most) + current)
    assert ethtool.nic_value("en7", "channels") == value
    assert ethtool.most_of("en7", "channels") == numbers
    called: list[list[str]] = []
    monkeypatch.setattr(ethtool, "call", called.append)
    ethtool.set_nic_value("en7", "channels", "2")
    ethtool.set_nic_value("en7", "channels", value)
    assert [" ".join(words[1:]) for words in called] == [f"-L en7 {sets}", f"-L en7 {back}"]


def test_features_may_have_any_name_that_ethtool_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "Features for en7:\ntx-gso_x-offload: on\n\trx-udp_y: off [requested on]\ntx-z_1: off [fixed, requested on]\n"
    )
    shows(monkeypatch, k=text)
    assert ethtool.features_of(text) == {"tx-gso_x-offload": "on", "rx-udp_y": "off"}
    assert ethtool.nic_value("en7", "feature-rx-udp_y") == "off"


@pytest.mark.parametrize(("shown", "word"), [("receive-hashing", "rxhash"), ("tx-gso_x-offload", "tx-gso_x-offload")])
def test_a_feature_is_set_by_the_name_that_ethtool_takes(
    monkeypatch: pytest.MonkeyPatch, shown: str, word: str
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(ethtool, "call", called.append)
    ethtool.set_nic_value("en7", "feature-" + shown, "on")
    assert called == [["ethtool", "-K", "en7", word, "on"]]


GROUPS = """\
Features for en7:
rx-checksumming: on
tx-checksumming: on
	tx-checksum-ipv4: on
	tx-checksum-ip-generic: off [fixed]
	tx-checksum-ipv6: off
generic-receive-offload: on
tcp-segmentation-offload: on
	tx-tcp-segmentation: on
	tx-tcp-mangleid-segmentation: off
udp-fragmentation-offload: off
tx-scatter-gather-fraglist: off [fixed]
"""


def test_a_group_of_features_is_those_below_it_that_can_be_changed() -> None:
    assert ethtool.groups_of(GROUPS) == {
        "tx-checksumming": ["tx-checksum-ipv4", "tx-checksum-ipv6"],
        "tcp-segmentation-offload": ["tx-tcp-segmentation", "tx-tcp-mangleid-segmentation"],
    }
    assert ethtool.groups_of("") == {}
