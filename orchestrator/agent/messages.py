# SPDX-License-Identifier: Apache-2.0
"""The common base of requests to the agent and of their answers; both sides use it.

A request is a dataclass whose fields are its arguments; its answer is a TypedDict, since it is stored and sent as JSON.
Those of each operation are in `host_messages`, `survey_messages`, `network_messages`, `packet_messages` and
`traffic_messages`. Requests are not frozen: every host makes their classes when its agent starts, and frozen ones take
twice as long to make.
"""

from __future__ import annotations

import dataclasses
import typing

from orchestrator.agent.host import AgentError

Answer_co = typing.TypeVar("Answer_co", covariant=True)


class Nothing(typing.TypedDict):
    """The answer of an operation that reports nothing but its success."""


@dataclasses.dataclass
class Request(typing.Generic[Answer_co]):
    """The arguments of an operation. The type parameter is the type of its answer; ``operation`` is its name."""

    operation: typing.ClassVar[str]

    def arguments(self) -> dict[str, typing.Any]:
        """Return the arguments by name, as JSON values."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def answer_type(kind: type[Request[typing.Any]]) -> typing.Any:
    """Return the TypedDict of the answers to a kind of request."""
    return typing.get_args(typing.cast(typing.Any, kind).__orig_bases__[0])[0]


def decode(
    message: typing.Mapping[str, typing.Any], kinds: typing.Mapping[str, type[Request[typing.Any]]]
) -> typing.Any:
    """Return the request in a message from the controller, ``{"op": name, **arguments}``.

    ``kinds``: the kinds of requests by operation. Raises AgentError if the operation is unknown, or an argument is
    missing or unknown.
    """
    arguments = dict(message)
    name = arguments.pop("op", None)
    if name not in kinds:
        raise AgentError("this agent has no operation %r: the controller is of another version." % (name,))
    fields = dataclasses.fields(kinds[name])
    required = [field.name for field in fields if _is_required(field)]
    trouble = disagreement(arguments, required, [field.name for field in fields])
    if trouble is not None:
        raise AgentError("a request of %r %s: the controller is of another version." % (name, trouble))
    return kinds[name](**arguments)


def check_answer(kind: type[Request[typing.Any]], answer: typing.Mapping[str, typing.Any]) -> str | None:
    """Return a sentence on missing and unknown keys of the answer to a kind of request; None if it is correct."""
    declared = answer_type(kind)
    allowed = declared.__required_keys__ | declared.__optional_keys__
    trouble = disagreement(answer, declared.__required_keys__, allowed)
    return None if trouble is None else "The answer to %r %s." % (kind.operation, trouble)


def disagreement(
    found: typing.Iterable[str], required: typing.Iterable[str], allowed: typing.Iterable[str]
) -> str | None:
    """Return which required keys are missing and which are not allowed, as the end of a sentence; None if all agree."""
    lacking, unknown = sorted(set(required) - set(found)), sorted(set(found) - set(allowed))
    parts = ["lacks %s" % ", ".join(lacking)] if lacking else []
    parts += ["has the unknown %s" % ", ".join(unknown)] if unknown else []
    return " and ".join(parts) or None


def _is_required(field: dataclasses.Field[typing.Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
