# SPDX-License-Identifier: Apache-2.0
"""The tuning of a host during a run, as its testbed file describes it."""

from typing import Annotated, Literal

from pydantic import Field

from orchestrator.spec.fields import Interval, Strict

_NULL = " null leaves it as it is."


class Tuning(Strict):
    """Settings of a host during a run, restored afterwards. The defaults are for steady measurements; null leaves a
    setting unchanged. Settings that a host does not support are skipped, unless the file names them explicitly."""

    governor: Annotated[str, Field(min_length=1)] | None = Field(
        default="performance", description="The governor of the CPU frequency." + _NULL
    )
    turbo: bool | None = Field(default=False, description="Whether CPUs may go above their base frequency." + _NULL)
    deepest_idle_s: Interval | None = Field(
        default=10e-6,
        alias="deepest_idle",
        description="Idle states with a longer exit latency are disabled." + _NULL,
    )
    smt: bool | None = Field(default=None, description="Whether cores run two threads." + _NULL)
    irqbalance: bool | None = Field(default=False, description="Whether irqbalance runs." + _NULL)
    channels: Literal["per-core"] | Annotated[int, Field(ge=1)] | None = Field(
        default="per-core",
        description="Queues of each data interface: one for each core of the block, or a number." + _NULL,
    )
    interrupts: Literal["per-core"] | None = Field(
        default="per-core",
        description="Assign the interrupt of each queue to one core of the block, round-robin." + _NULL,
    )
    hash: Literal["ports", "addresses"] | None = Field(
        default="ports",
        description="What spreads UDP over queues. With addresses only, all tunnels share one queue." + _NULL,
    )
    ring: Literal["most"] | Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Descriptors in each receive and transmit ring." + _NULL
    )
    coalesce_s: Interval | None = Field(
        default=None,
        alias="coalesce",
        description="How long an interface collects packets before it raises an interrupt.",
    )
    offloads: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")], bool] = Field(
        default={}, description="Features of each data interface, by ethtool's names, such as rx-gro-hw."
    )
    steering: Literal["off"] | None = Field(
        default="off", description="Receive packet steering in software (RPS) on each data interface." + _NULL
    )
