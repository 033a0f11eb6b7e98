# SPDX-License-Identifier: Apache-2.0
"""What a spec says of a packet rate that is searched, and of the latency beside a load."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from orchestrator.spec.fields import Interval, NumberedRate, Share, Strict

Goal = Literal["ndr", "pdr"]
LONGEST_SEARCH_S = 86400
LONGEST_LOAD_S = 100  # a load must end before WireGuard makes new keys


class Search(Strict):
    """How the rate is searched up to which losses stay within a goal. A load is offered for the traffic's duration.

    Rates are in packets/s, over all tunnels. Shares are of 1.
    """

    method: Literal["mlrsearch", "binary"] = Field(
        default="mlrsearch", description="mlrsearch: MLRsearch of the CSIT project; binary: the halving of RFC 2544."
    )
    goals: Annotated[tuple[Goal, ...], Field(min_length=1)] = Field(
        default=("ndr", "pdr"), description="ndr: no packet is lost; pdr: at most the share pdr_loss is."
    )
    pdr_loss: Share = Field(default=0.005, gt=0, lt=1, description="Of the packets: what pdr may lose.")
    min_rate_pps: NumberedRate | None = Field(
        default=None, alias="min_rate", gt=0, description="The least load; without: 0.5 % of the highest."
    )
    max_rate_pps: NumberedRate | None = Field(
        default=None, alias="max_rate", gt=0, description="The highest load; without: what the generator can do."
    )
    width: Share = Field(
        default=0.005, gt=0, lt=1, description="How far apart a goal's bounds may be in the end: upper / lower - 1."
    )
    final_duration_s: Interval | None = Field(
        default=None,
        alias="final_duration",
        gt=0,
        le=LONGEST_LOAD_S,
        description="How long the loads last that decide; without: the traffic's duration. RFC 2544 asks for 60 s.",
    )
    tries: int = Field(
        default=1, ge=1, le=99, description="So often a load is offered at most; the majority decides. Of mlrsearch."
    )
    time_limit_s: Interval = Field(
        default=300.0, alias="time_limit", gt=0, le=LONGEST_SEARCH_S, description="When the search ends in any case."
    )

    @model_serializer(mode="wrap")
    def _without_final_duration(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the newest key where it is not given, so that trials of before it have the ids that they had."""
        content: dict[str, Any] = handler(self)
        return {key: value for key, value in content.items() if key != "final_duration_s" or value is not None}


class Latency(Strict):
    """Round-trip times beside a load, of echo requests through the first tunnel."""

    at: Annotated[tuple[Share, ...], Field(min_length=1, max_length=10)] = Field(
        default=(0.5, 0.9), description="Loads, as shares of the rate that the search found, or that the spec gives."
    )
    rate_pps: NumberedRate = Field(
        default=50.0, alias="rate", gt=0, le=1000, description="Echo requests per second, 1000 at most."
    )
