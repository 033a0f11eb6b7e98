# SPDX-License-Identifier: Apache-2.0
"""What IPsec puts on the wire, by a capture on the link between the gateways."""

import json
import shlex
import subprocess
from typing import Any

import pytest

from orchestrator.agent.network_messages import RoutesRequest
from orchestrator.kernel.variants import load_variants
from orchestrator.measure import layout, requests
from orchestrator.measure.roles import ask_roles, make_links, placement_of
from orchestrator.measure.tunnels import make_tunnels, remove_tunnels, shake_hands
from orchestrator.progress import Silent
from orchestrator.spec import GATEWAYS, load_testbed
from orchestrator.spec.systems import system_named
from orchestrator.systems import ipsec as ipsec_system
from orchestrator.systems import system_of
from orchestrator.systems.ipsec import outer_address
from orchestrator.testbed import open_testbed
from orchestrator.testbed.lab.testbed import LabTestbed
from orchestrator.testbed.protocol import State
from orchestrator.testbed.qemu.machine import missing_packages

pytestmark = pytest.mark.lab

TUNNELS, PACKETS, WORD, PAYLOAD = 2, 50, "in-the-clear", 1000
# Raw packets of gateway b's link while so many datagrams go through each tunnel, as JSON: [[protocol, source, length]],
# and how many have the word of the datagrams in them.
CAPTURE = """
import json, socket
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
tap.bind(("wan0", 0x0800))
tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
tap.settimeout(15)  # until the sender has logged in
print("ready", flush=True)
found, clear = [], 0
try:
    while True:
        packet, where = tap.recvfrom(1 << 16)
        if where[2] != 4:
            found.append([packet[9], socket.inet_ntoa(packet[12:16]), len(packet)])
            clear += b"WORD" in packet
            tap.settimeout(1)
except TimeoutError:
    print(json.dumps({"found": found, "clear": clear}))
""".replace("WORD", WORD)
SEND = """
import socket
for destination in DESTINATIONS:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(PACKETS):
        try:
            s.sendto(b"WORD".ljust(PAYLOAD, b"."), (destination, 9))
        except ConnectionRefusedError:
            pass
"""
LEFT = """
import subprocess
print(subprocess.getoutput("ip xfrm state list; ip xfrm policy list; ip -br link show type xfrm"))
"""


def in_role(testbed: LabTestbed, role: str, script: str) -> "subprocess.Popen[str]":
    host = placement_of(testbed).host_of(role)
    remote = f"ip netns exec {role} python3 -c {shlex.quote(script)}"
    command = ["ssh", *testbed.lab.ssh_options(), f"root@{host}", remote]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def captured_while(testbed: LabTestbed, send: str) -> dict[str, Any]:
    with in_role(testbed, "gateway-b", CAPTURE) as capture:
        assert capture.stdout is not None
        assert capture.stdout.readline() == "ready\n"
        assert in_role(testbed, "gateway-a", send).wait(30) == 0
        found: dict[str, Any] = json.loads(capture.stdout.read())
    return found


GUESTS = pytest.param(
    "guests",
    marks=[
        pytest.mark.full,
        pytest.mark.skipif(bool(missing_packages()), reason="QEMU is not on this computer"),
    ],
)


@pytest.mark.parametrize("where", ["lab", GUESTS])
@pytest.mark.parametrize("name", ["ipsec-gcm", "ipsec-chacha"])
def test_packets_between_the_gateways_are_esp_and_nothing_of_the_inner_flow_is_in_clear(name: str, where: str) -> None:
    variant, net = load_variants()[name], layout.Net(layout.GATEWAY_TO_GATEWAY, devices="esp")
    destinations = [layout.receiver_address(i) for i in range(1, TUNNELS + 1)]
    values = {"DESTINATIONS": repr(destinations), "PACKETS": str(PACKETS), "PAYLOAD": str(PAYLOAD), "WORD": WORD}
    send = SEND
    for word, value in values.items():
        send = send.replace(word, value)
    with open_testbed(load_testbed(where), Silent()) as testbed:
        assert isinstance(testbed, LabTestbed)
        testbed.prepare(State(1))
        make_links(testbed, net, TUNNELS)
        system_of(variant).load(testbed, variant)
        make_tunnels(testbed, net, TUNNELS, variant)
        shake_hands(testbed, layout.GATEWAY_TO_GATEWAY, TUNNELS, 1420)
        captured = captured_while(testbed, send)
        counted = ipsec_system.count(testbed, variant)
        remove_tunnels(testbed, TUNNELS)
        left = in_role(testbed, "gateway-a", LEFT)
        assert left.communicate(timeout=30)[0].strip() == ""
        plain = {role: requests.plain_routes(net, role, TUNNELS) for role in GATEWAYS}
        ask_roles(testbed, plain, RoutesRequest)
        without = captured_while(testbed, send)
    assert without["clear"] >= TUNNELS * PACKETS  # the capture does see what is in clear
    assert captured["clear"] == 0
    assert {protocol for protocol, _, _ in captured["found"]} == {50}
    length = system_named("ipsec").overhead.outer_bytes(20 + 8 + PAYLOAD)
    data = [source for _, source, size in captured["found"] if size == length]
    for i in range(1, TUNNELS + 1):
        assert data.count(outer_address("gateway-a", i)) == PACKETS
    assert counted.check() is None
    assert counted.by_role["gateway-b"]["packets"] > TUNNELS * PACKETS
    assert ("gcm" if name == "ipsec-gcm" else "chacha20") in counted.driver
