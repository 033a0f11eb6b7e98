# SPDX-License-Identifier: Apache-2.0
"""Probes of a spec: the user's own commands and tracepoint counts, beside the traffic of each trial."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from orchestrator.spec.document import Mapping, Scalar
from orchestrator.spec.fields import Strict, expected
from orchestrator.spec.host_settings import WHO
from orchestrator.spec.own_tools import NumberPattern, as_text, checked_argument, placeholders_in
from orchestrator.spec.problems import Problem
from orchestrator.spec.testbed import GATEWAYS

PLACEHOLDERS = ("duration", "role", "host", "tunnels")
ProbeArgument = Annotated[
    str, BeforeValidator(as_text), AfterValidator(lambda text: checked_argument(text, PLACEHOLDERS))
]
Places = Literal["client", "gateway-a", "gateway-b", "server", "gateways", "ends", "all"]


class Probe(Strict):
    """A measurement beside the measured window of each trial: a command in the network namespaces of some roles, or the
    count of a kernel tracepoint on their hosts."""

    at: Places = Field(default="gateways", description="The roles, or ends (client and server), or all.")
    command: Annotated[tuple[ProbeArgument, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="A program with its arguments; no shell is involved. It starts when the measured window does. If "
        "it contains {duration}, it must end by itself; otherwise it gets SIGINT when the window ends.",
    )
    read: NumberPattern | None = Field(
        default=None, description="How to find a number in its output. Default: the output is kept, and not read."
    )
    tracepoint: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+:[A-Za-z0-9_]+$")] | None = Field(
        default=None, description="An event of the kernel, such as napi:napi_poll, that is counted on the hosts."
    )
    filter: Annotated[str, Field(pattern=r"^[ -~]+$", max_length=200)] | None = Field(
        default=None, description='An ftrace filter that selects the events to count, such as dev_name ~ "wg*".'
    )
    unit: str | None = Field(
        default=None, min_length=1, max_length=40, description="The unit of the number. For tracepoints: times."
    )

    @model_validator(mode="after")
    def _is_one(self) -> "Probe":
        if (self.command is None) == (self.tracepoint is None):
            raise expected("either command or tracepoint")
        if self.filter is not None and self.tracepoint is None:
            raise expected("filter beside a tracepoint only")
        if self.read is not None and self.command is None:
            raise expected("read beside a command only", because="a tracepoint is counted")
        if (self.read is None) != (self.unit is None) and self.command is not None:
            raise expected("read and unit together", because="one of them is missing")
        return self

    @property
    def timed(self) -> bool:
        """True if its command is given the length of the window, and therefore must end by itself."""
        return any("duration" in placeholders_in(argument) for argument in self.command or ())

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles at which it runs."""
        return WHO[self.at]


def unfit_probes(tree: Mapping) -> Iterator[Problem]:
    """Yield problems with probes at roles that the topology does not have."""
    probes, topology = tree.entries.get("probes"), tree.entries.get("topology")
    if not isinstance(probes, Mapping) or getattr(topology, "value", None) != "gateway-to-gateway":
        return
    for probe in probes.entries.values():
        place = probe.entries.get("at") if isinstance(probe, Mapping) else None
        name = place.value if isinstance(place, Scalar) else None
        if place is not None and isinstance(name, str) and not set(WHO.get(name, ())) <= set(GATEWAYS):
            message = f"at: {name} names a role that topology gateway-to-gateway does not have. Use gateways."
            yield Problem(message, place.span)
