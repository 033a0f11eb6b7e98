# SPDX-License-Identifier: Apache-2.0
"""How a host is tuned while a run uses it, as its testbed file says."""

from typing import Annotated, Literal

from pydantic import Field

from orchestrator.spec.fields import Interval, Strict

_NULL = " null leaves it as it is."


class Tuning(Strict):
    """What is set on a host while a run uses it, and put back after it. What is not said has the value for steady
    measurements; null leaves it alone. What a host does not have is left out, unless the file asks for it by name."""

    governor: Annotated[str, Field(min_length=1)] | None = Field(
        default="performance", description="Of the CPUs' frequency." + _NULL
    )
    turbo: bool | None = Field(default=False, description="Whether CPUs may go above their base frequency." + _NULL)
    deepest_idle_s: Interval | None = Field(
        default=10e-6,
        alias="deepest_idle",
        description="Idle states that take longer to leave are switched off." + _NULL,
    )
    smt: bool | None = Field(default=None, description="Whether cores run two threads." + _NULL)
    irqbalance: bool | None = Field(default=False, description="Whether irqbalance runs." + _NULL)
    channels: Literal["per-core"] | Annotated[int, Field(ge=1)] | None = Field(
        default="per-core", description="Queues of each interface: one for each core of the block, or a number." + _NULL
    )
    interrupts: Literal["per-core"] | None = Field(
        default="per-core", description="Each queue's interrupt goes to one core of the block, in turn." + _NULL
    )
    hash: Literal["ports", "addresses"] | None = Field(
        default="ports",
        description="What spreads UDP over queues. With addresses only, all tunnels land on one." + _NULL,
    )
    ring: Literal["most"] | Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Descriptors of each receive and transmit ring." + _NULL
    )
    coalesce_s: Interval | None = Field(
        default=None, alias="coalesce", description="How long an interface gathers packets before it interrupts."
    )
    offloads: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")], bool] = Field(
        default={}, description="Features of each interface, by ethtool's names, such as rx-gro-hw."
    )
    steering: Literal["off"] | None = Field(
        default="off", description="Packet steering in software (RPS) on each interface." + _NULL
    )
