# SPDX-License-Identifier: Apache-2.0
"""The search for a packet rate and the latency measurement, as described by a spec."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationInfo, field_validator, model_serializer

from orchestrator.spec.fields import Interval, NumberedRate, Share, Strict, expected

Goal = Literal["ndr", "pdr"]
LONGEST_SEARCH_S = 86400
LONGEST_LOAD_S = 100  # a load must end before WireGuard rekeys


class Search(Strict):
    """The search for the highest rate whose losses stay within a goal. Each load is offered for the traffic's duration.

    Rates are in packets/s, over all tunnels. Shares are of 1.
    """

    method: Literal["mlrsearch", "binary"] = Field(
        default="mlrsearch",
        description="mlrsearch: MLRsearch of the CSIT project; binary: binary search as in RFC 2544.",
    )
    goals: Annotated[tuple[Goal, ...], Field(min_length=1)] = Field(
        default=("ndr", "pdr"), description="ndr: no packet is lost; pdr: at most the share pdr_loss is lost."
    )
    pdr_loss: Share = Field(default=0.005, gt=0, lt=1, description="The share of packets that may be lost for pdr.")
    min_rate_pps: NumberedRate | None = Field(
        default=None, alias="min_rate", gt=0, description="The lowest load. Default: 0.5 % of the highest."
    )
    max_rate_pps: NumberedRate | None = Field(
        default=None, alias="max_rate", gt=0, description="The highest load. Default: as fast as the generator can."
    )
    width: Share = Field(
        default=0.005,
        gt=0,
        lt=1,
        description="The distance between a goal's bounds that ends the search: upper / lower - 1.",
    )
    final_duration_s: Interval | None = Field(
        default=None,
        alias="final_duration",
        gt=0,
        le=LONGEST_LOAD_S,
        description="The duration of the deciding loads. Default: the traffic's duration. RFC 2544 requires 60 s.",
    )
    tries: int = Field(
        default=1,
        ge=1,
        le=99,
        description="The maximum number of times that mlrsearch offers a load; the majority decides.",
    )
    time_limit_s: Interval = Field(
        default=300.0,
        alias="time_limit",
        gt=0,
        le=LONGEST_SEARCH_S,
        description="The time after which no further load is started.",
    )

    @field_validator("goals")
    @classmethod
    def _each_once(cls, value: tuple[Goal, ...]) -> tuple[Goal, ...]:
        if len(set(value)) < len(value):
            raise expected("each goal once", because="it names a goal twice")
        return value

    @field_validator("max_rate_pps")
    @classmethod
    def _above_the_lowest(cls, value: Any, info: ValidationInfo) -> Any:
        least = info.data.get("min_rate_pps")
        if value is not None and least is not None and value <= least:
            raise expected(f"more than {least:g} packets/s", because="it must be above min_rate")
        return value

    @field_validator("tries")
    @classmethod
    def _with_a_majority(cls, value: int, info: ValidationInfo) -> int:
        if value > 1 and info.data.get("method") == "binary":
            raise expected("1, or the method mlrsearch", because="binary offers each load once")
        return value

    @model_serializer(mode="wrap")
    def _without_final_duration(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the newest key if it is not given, so that older trials keep their ids."""
        content: dict[str, Any] = handler(self)
        return {key: value for key, value in content.items() if key != "final_duration_s" or value is not None}


class Latency(Strict):
    """Round-trip times of echo requests through the first tunnel, under load."""

    at: Annotated[tuple[Share, ...], Field(min_length=1, max_length=10)] = Field(
        default=(0.5, 0.9), description="The loads, as shares of the rate that the search found or that the spec gives."
    )
    rate_pps: NumberedRate = Field(
        default=50.0, alias="rate", gt=0, le=1000, description="Echo requests per second, at most 1000."
    )
