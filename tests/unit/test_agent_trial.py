# SPDX-License-Identifier: Apache-2.0
"""A trial without tunnels, by the controller's requests and the agent's code, in network namespaces of the real kernel:
requests and answers are what they are declared to be, however deep."""

import json
import sys
from dataclasses import fields
from typing import Any, get_type_hints

import pytest

from orchestrator.agent.host_messages import LeaveRequest, RoleSettingsRequest
from orchestrator.agent.messages import Nothing, Request, answer_type
from orchestrator.agent.network_messages import (
    HandshakesRequest,
    NeighboursRequest,
    RemoveTunnelsRequest,
    RoutesRequest,
    UnlinkRequest,
)
from orchestrator.agent.packet_messages import GeneratorRequest, HopsRequest
from orchestrator.agent.survey_messages import QueueInterruptsRequest, SurveyRequest, TunablesRequest
from orchestrator.agent.traffic_messages import HoldRequest, MeasureAnswer, MeasureRequest, ServeRequest
from orchestrator.measure import layout, requests
from orchestrator.spec import GATEWAYS
from orchestrator.spec.fields import LINK_MTU
from tests.unit.declared import misfits
from tests.unit.namespaces import on_a_host

NET = layout.Net(layout.GATEWAY_TO_GATEWAY)
HERE, THERE = layout.sender_address(1), layout.receiver_address(1)
LISTEN = """
import socket, sys, time
server = socket.create_server((sys.argv[1], 5201))
print("ready", flush=True)
server.accept()[0].sendall(b"x" * 100000)
"""
FETCH = """
import socket, sys
client = socket.create_connection((sys.argv[1], 5201), source_address=(sys.argv[2], 0))
print(sum(iter(lambda: len(client.recv(65536)), 0)))
"""


def trial() -> list[Request[Any]]:
    placement = layout.Placement([("one", layout.roles(NET.topology))], {})
    return [
        requests.links_requests(NET, 1, placement)["one"],
        RoleSettingsRequest({"gateway-a": {"net.ipv4.tcp_sack": "0"}}),
        NeighboursRequest({role: {"addresses": near} for role, near in requests.neighbours(NET).items()}, LINK_MTU),
        RoutesRequest({role: requests.plain_routes(NET, role, 1) for role in GATEWAYS}),
        HandshakesRequest("gateway-a", [[HERE, THERE]], 5.0, LINK_MTU),
        GeneratorRequest("sh", ["gateway-a"], "reno"),
        ServeRequest(
            [
                {
                    "role": "gateway-b",
                    "name": "server-1",
                    "arguments": [sys.executable, "-c", LISTEN, THERE],
                    "address": THERE,
                    "port": 5201,
                    "any": True,
                }
            ],
            10.0,
            {"note.txt": "eA=="},
        ),
        HoldRequest(
            [{"role": "gateway-a", "name": "client-1", "arguments": [sys.executable, "-c", FETCH, THERE, HERE]}]
        ),
        MeasureRequest(
            start_at=None,
            warm_up_s=0.1,
            duration_s=0.5,
            patience_s=10.0,
            sample_roles=list(GATEWAYS),
            sample_every_s=0.2,
            attached={
                "commands": [
                    {"role": "gateway-a", "name": "probe-x", "arguments": ["cat", "/proc/version"], "timed": True}
                ],
                "tracepoints": [],
            },
            echoes={
                "role": "gateway-a",
                "source": HERE,
                "destination": THERE,
                "pace_pps": 20.0,
                "duration_s": 0.3,
                "after_s": 0.1,
            },
        ),
        HopsRequest(list(GATEWAYS)),
        RemoveTunnelsRequest(list(GATEWAYS)),
        QueueInterruptsRequest(),
        SurveyRequest({"sh": ["true"]}, ["wireguard"], ["/"], 0.05),
        TunablesRequest(["lo"]),
        UnlinkRequest(),
        LeaveRequest(leftovers=True),
    ]


def test_a_trial_asks_and_is_answered_as_declared() -> None:
    asked = trial()
    messages = [json.loads(json.dumps({"op": request.operation, **request.arguments()})) for request in asked]
    for request, message in zip(asked, messages, strict=True):
        hints = get_type_hints(type(request))
        wrong = [text for field in fields(request) for text in misfits(message[field.name], hints[field.name])]
        assert wrong == [], request.operation
    answers = dict(zip((request.operation for request in asked), on_a_host(*messages), strict=True))
    for request in asked:
        answer = answers[request.operation]
        assert answer.pop("ok"), (request.operation, answer)
        assert list(misfits(answer, answer_type(type(request)), request.operation)) == []
    measured: MeasureAnswer = answers["measure"]
    assert measured["processes"]["client-1"]["out"].strip() == "100000"
    assert measured["processes"]["probe-x"]["out"].startswith("Linux version")
    assert len(measured["samples"]) == len(measured["surroundings"]) == 2
    assert len(measured["readings"]) >= 2
    assert measured["echoes"] is not None
    assert 0 < len(measured["echoes"]["rtts_s"]) <= measured["echoes"]["sent"] <= 6
    assert answers["role_settings"]["set"] == {"gateway-a": {"net.ipv4.tcp_sack": "0"}}
    assert answers["hops"]["hops"]["gateway-a"]["devices"]["wan0"]["tx_packets"] > 0
    assert answers["leave"]["left"] == []


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"started_at": 1.0}, "it lacks surroundings"),
        ({"tracepoints": {"a": "1"}}, "it.tracepoints['a'] is '1', not <class 'int'>"),
        ({"others": {"cores": 0.1, "names": [1]}}, "it.others.names[0] is 1, not <class 'str'>"),
        ({"pktgen": 1}, "it.pktgen is 1, not"),
        ({"moves": [{"at_monotonic_s": 1, "took_s": True}]}, "it.moves[0].took_s is True"),
    ],
)
def test_what_is_not_as_declared_is_found(value: Any, says: str) -> None:
    assert any(text.startswith(says) for text in misfits(value, MeasureAnswer))
    assert list(misfits({}, Nothing)) == []
