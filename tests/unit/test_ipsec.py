# SPDX-License-Identifier: Apache-2.0
"""IPsec as a system under test: variants, messages to XFRM, addresses, counters and their verdict."""

import socket
import struct
from pathlib import Path

import pytest

from orchestrator.agent import ipsec as agent
from orchestrator.agent.host import AgentError
from orchestrator.agent.netlink import attributes
from orchestrator.kernel.variants import load_variants
from orchestrator.measure import layout, shares
from orchestrator.spec import SpecError, load_experiment
from orchestrator.spec.systems import SYSTEMS, system_named
from orchestrator.spec.variants import read_variants
from orchestrator.systems import system_of
from orchestrator.systems.ipsec import REPLAY_WINDOW, Counted, ipsec_tunnels
from orchestrator.testbed.remote import AgentFailure

SPEC = """\
experiment: beside
factors: {variant: [vanilla, ipsec-gcm], cores: [1], tunnels: [1]}
traffic: {tool: TOOL}
repetitions: 1
"""


def test_shipped_variants_belong_to_a_system() -> None:
    known = load_variants()
    assert {system_of(variant).label for variant in known.values()} == {"WireGuard", "IPsec"}
    assert set(SYSTEMS.own) == {"wireguard", "ipsec", "plain"}
    assert (known["vanilla"].system, known["ipsec-gcm"].system) == ("wireguard", "ipsec")
    assert known["ipsec-chacha"].build == ""
    assert known["ipsec-chacha"].settings == {"cipher": "chacha20-poly1305"}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{system: ipsec}", "ipsec is given nothing.*settings: {cipher: aes-128-gcm or"),
        ("{system: ipsec, settings: {cipher: des}}", "ipsec is given cipher: des"),
        ("{system: ipsec, settings: {cipher: aes-256-gcm, threaded: true}}", "threaded: true"),
        ("{system: ipsec, build: upstream, settings: {cipher: aes-256-gcm}}", "has no build"),
        ("{system: openvpn}", r"1:15: odd\.system: openvpn is not one of wireguard, ipsec, plain\."),
        ("{system: plain, settings: {cipher: aes-128-gcm}}", "plain forwarding has no setting cipher"),
    ],
)
def test_what_is_wrong_with_a_variant_of_ipsec_is_said(tmp_path: Path, entry: str, said: str) -> None:
    file = tmp_path / "variants.yaml"
    file.write_text(f"odd: {entry}\n")
    with pytest.raises(SpecError, match=said):
        read_variants(file)


def test_pktgen_with_ipsec_is_refused_where_it_is_named(tmp_path: Path) -> None:
    file = tmp_path / "beside.yaml"
    file.write_text(SPEC.replace("TOOL", "pktgen"))
    with pytest.raises(SpecError, match=r"beside.yaml:2:30: ipsec-gcm is IPsec, but pktgen supports only WireGuard"):
        load_experiment(file)
    file.write_text(SPEC.replace("TOOL", "iperf3, protocol: tcp, streams: 1, warm_up: 0s, duration: 1s"))
    assert load_experiment(file).factors.variant == ("vanilla", "ipsec-gcm")


def test_an_association_is_as_xfrm_takes_it() -> None:
    key = bytes(range(36))
    message = agent.association("198.19.0.3", "198.19.128.3", 3, "rfc4106(gcm(aes))", key, 4096)
    head, parts = message[:224], attributes(message[224:])  # sizeof(struct xfrm_usersa_info)
    assert head[56:60] == socket.inet_aton("198.19.128.3")
    assert head[72:77] == struct.pack(">I", 0x10003) + bytes([50])  # SPI and protocol
    assert head[80:84] == socket.inet_aton("198.19.0.3")
    assert struct.unpack_from("=IHBBB", head, 208) == (3, socket.AF_INET, 1, 0, 32 | 128)
    name, bits, icv = struct.unpack_from("=64sII", parts[18])
    assert (name.rstrip(b"\0"), bits, icv, parts[18][72:]) == (b"rfc4106(gcm(aes))", 288, 128, key)
    words, *_, window = struct.unpack_from("=6I", parts[23])
    assert (words, window, len(parts[23])) == (128, 4096, 24 + 4 * 128)
    assert parts[31] == struct.pack("=I", 3)
    assert REPLAY_WINDOW <= 128 * 32  # XFRMA_REPLAY_ESN_MAX


def test_a_policy_has_a_template_with_the_outer_addresses() -> None:
    message = agent.policy(agent.POLICY_OUT, socket.AF_INET6, "198.19.0.1", "198.19.128.1", 1)
    head, parts = message[:168], attributes(message[168:])  # sizeof(struct xfrm_userpolicy_info)
    assert struct.unpack_from("=H", head, 40) == (socket.AF_INET6,)
    assert head[160] == agent.POLICY_OUT
    template = parts[5]
    assert len(template) == 64  # sizeof(struct xfrm_user_tmpl)
    assert template[:4] == socket.inet_aton("198.19.128.1")
    assert template[28:32] == socket.inet_aton("198.19.0.1")
    assert struct.unpack_from("=IB", template, 44) == (1, 1)


def test_both_ends_derive_the_same_keys_and_no_two_associations_have_the_same() -> None:
    keys = {
        (sender, number): agent.key_of(b"secret", sender, number, 36)
        for sender in ("gateway-a", "gateway-b")
        for number in range(1, 50)
    }
    assert len(set(keys.values())) == len(keys)
    assert all(len(key) == 36 for key in keys.values())
    assert agent.key_of(b"other", "gateway-a", 1, 36) != keys["gateway-a", 1]


def test_counters_of_an_association_are_read() -> None:
    message = bytearray(agent.association("198.19.0.3", "198.19.128.3", 3, "rfc4106(gcm(aes))", bytes(20), 32))
    struct.pack_into("=QQ", message, 160, 15000, 10)
    struct.pack_into("=III", message, 192, 0, 2, 1)
    assert agent.counters_of(bytes(message)) == {
        "tunnel": 3,
        "destination": "198.19.128.3",
        "packets": 10,
        "bytes": 15000,
        "replay": 2,
        "integrity": 1,
    }


def test_the_driver_is_the_one_that_the_kernel_prefers() -> None:
    text = "name : x(y)\ndriver : slow\npriority : 100\n\nname : x(y)\ndriver : fast\npriority : 400\n\nname : z\n"
    assert agent.driver_of("x(y)", text) == "fast"
    with pytest.raises(AgentError, match=r"no driver for q in /proc/crypto"):
        agent.driver_of("q", text)


def test_counters_are_judged() -> None:
    fine = {"packets": 5, "bytes": 500, "replay": 0, "integrity": 0}
    assert Counted("d", {"gateway-a": fine}, ()).check() is None
    assert "refused 3 ESP packets" in str(Counted("d", {"gateway-a": {**fine, "replay": 3}}, ()).check())
    with pytest.raises(AgentFailure, match="2 ESP packets did not authenticate"):
        Counted("d", {"gateway-a": {**fine, "integrity": 2}}, ()).check()
    with pytest.raises(AgentFailure, match="No ESP packet is counted for gateway-b/tunnel 2"):
        Counted("d", {"gateway-a": fine}, ("gateway-b/tunnel 2",)).check()


def test_each_tunnel_has_outer_addresses_of_its_own_and_routes_over_its_device() -> None:
    net = layout.Net(layout.SITE_TO_SITE, version=6, mtu=1400, devices="esp")
    wanted = ipsec_tunnels(net, 300)
    a, b = (wanted[gateway]["tunnels"] for gateway in ("gateway-a", "gateway-b"))
    assert [(one["here"], one["there"]) for one in a] == [(one["there"], one["here"]) for one in b]
    assert len({one["here"] for one in (*a, *b)}) == 600
    assert {one["mtu"] for one in a} == {1400}
    assert wanted["gateway-a"]["families"] == [4, 6]
    assert wanted["gateway-a"]["routes"][6]["devices"] == ["esp7"]
    counted = {"gateway-a": {"esp1": {"rx_bytes": 5, "tx_bytes": 6, "rx_packets": 1, "tx_packets": 1}}}
    assert shares.carried(counted, 1, net)["gateway-a"] == [{"tunnel": 1, "bytes": 11, "packets": 2}]


@pytest.mark.parametrize(
    ("system", "inner", "outer"),
    [("ipsec", 1420, 1476), ("ipsec", 40, 96), ("wireguard", 40, 108), ("wireguard", 1420, 1480), ("plain", 999, 999)],
)
def test_the_length_of_a_packet_on_the_wire(system: str, inner: int, outer: int) -> None:
    assert system_named(system).overhead.outer_bytes(inner) == outer
