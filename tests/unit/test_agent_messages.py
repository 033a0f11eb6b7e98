# SPDX-License-Identifier: Apache-2.0
"""The requests to the agent and its answers: every operation has both, and both sides agree on them."""

import ast
import json
from dataclasses import fields
from pathlib import Path
from typing import Any, is_typeddict

import pytest

from orchestrator import agent as package
from orchestrator.agent import agent, host
from orchestrator.agent.agent import OPERATIONS, REQUESTS
from orchestrator.agent.host import AgentError
from orchestrator.agent.host_messages import ClockRequest, ReadSettingsRequest, WriteSettingsRequest
from orchestrator.agent.messages import Nothing, Request, answer_type, check_answer, decode
from tests.unit.declared import misfits


def kinds() -> list[type[Request[Any]]]:
    """Return all kinds of requests, apart from those that tests make."""
    return [kind for kind in Request.__subclasses__() if kind.__module__.startswith("orchestrator.agent.")]


def test_every_operation_has_a_request_and_an_answer_and_every_request_an_operation() -> None:
    assert {kind.operation: kind for kind in kinds()} == REQUESTS
    assert len(kinds()) == len(OPERATIONS)
    for name, function in OPERATIONS.items():
        assert function.__annotations__["request"].operation == name
        assert function.__annotations__["return"] is answer_type(REQUESTS[name])
        assert is_typeddict(answer_type(REQUESTS[name]))


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: str(kind.operation))
def test_a_request_arrives_as_it_was_sent(kind: type[Request[Any]]) -> None:
    sent = kind(**{field.name: [field.name] for field in fields(kind)})
    message = json.loads(json.dumps({"op": kind.operation, **sent.arguments()}))
    assert decode(message, REQUESTS) == sent


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"op": "dance"}, "no operation 'dance'"),
        ({}, "no operation None"),
        ({"op": "write_settings"}, "'write_settings' lacks values: the controller is of another version"),
        ({"op": "clock", "when": 1}, "'clock' has the unknown when"),
        ({"op": "pause", "second": 1}, "'pause' lacks seconds and has the unknown second"),
    ],
)
def test_a_request_with_other_keys_is_refused_in_a_sentence(message: dict[str, Any], says: str) -> None:
    with pytest.raises(AgentError, match=says):
        decode(message, REQUESTS)
    answer = agent.answer(message)
    assert not answer["ok"]
    assert answer["error"].endswith(".")


def test_arguments_that_may_be_left_out_have_their_defaults() -> None:
    found = decode({"op": "write_settings", "values": {"a": "1"}}, REQUESTS)
    assert found == WriteSettingsRequest({"a": "1"}, may_refuse=())
    assert decode({"op": "read_settings"}, REQUESTS) == ReadSettingsRequest()


def test_an_answer_with_other_keys_is_told() -> None:
    right = {"clock_s": 1.0, "monotonic_s": 2.0}
    assert check_answer(ClockRequest, right) is None
    assert check_answer(ClockRequest, {**right, "x": 1}) == "The answer to 'clock' has the unknown x."
    assert check_answer(ClockRequest, {"clock_s": 1.0}) == "The answer to 'clock' lacks monotonic_s."


@pytest.mark.parametrize(
    "message",
    [
        {"op": "clock"},
        {"op": "pause", "seconds": 0.0},
        {"op": "busy", "window_s": 0.01},
        {"op": "hello"},
        {"op": "survey", "tools": {"sh": ["true"]}, "kernel_modules": ["x"], "folders": ["/"], "load_window_s": 0.01},
        {"op": "provisioned", "commands": ["sh"], "modules": ["/nowhere", "FILE"]},
        {"op": "tunables", "nics": ["lo"]},
        {"op": "read_settings", "names": ["net.core.rmem_max"]},
        {"op": "write_settings", "values": {}},
        {"op": "generator", "tool": "sh", "roles": [], "congestion": None},
        {"op": "break_lease"},
    ],
    ids=lambda message: str(message["op"]),
)
def test_what_operations_answer_has_the_declared_keys(
    message: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.agent.lease.RUNTIME", str(tmp_path))
    file = tmp_path / "module.ko"
    file.write_bytes(b"no module")
    given = json.loads(json.dumps(message).replace("FILE", str(file)))
    answer = json.loads(json.dumps(agent.answer(given)))
    assert answer.pop("ok"), answer
    kind = REQUESTS[message["op"]]
    assert check_answer(kind, answer) is None
    assert list(misfits(answer, answer_type(kind), kind.operation)) == []


def test_an_answer_without_content_has_no_keys() -> None:
    assert not Nothing.__annotations__


def test_the_agent_is_sent_all_of_its_files_each_after_those_that_it_imports() -> None:
    folder = Path(host.__file__).parent
    assert set(package._PARTS) == {path.stem for path in folder.glob("*.py")} - {"__init__"}
    for place, part in enumerate(package._PARTS):
        imported = {
            node.module.rpartition(".")[2]
            for node in ast.walk(ast.parse((folder / f"{part}.py").read_text()))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("orchestrator.agent.")
        }
        assert imported <= set(package._PARTS[:place]), part
