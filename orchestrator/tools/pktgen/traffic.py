# SPDX-License-Identifier: Apache-2.0
"""The spec's keys for traffic by pktgen."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from orchestrator.spec.fields import PacketRate, expected
from orchestrator.spec.searching import Latency, Search
from orchestrator.spec.traffic import Traffic

# The total time of a search's loads, in multiples of its longest, as simulated (see tests/unit/test_search.py).
_SEARCH_DURATIONS = {"mlrsearch": 5.0, "binary": 15.0}
_MORE_TRIES = 2.5  # in addition, for each try after the first
_FINAL_LOADS = {"mlrsearch": 1.2, "binary": 1.0}  # deciding loads per goal, if those are longer


class PktgenTraffic(Traffic):
    """Traffic by pktgen: UDP, at a rate or in search of one. ``flows``: of each tunnel."""

    always: ClassVar[tuple[str, ...]] = ("rate",)
    fixed: ClassVar[tuple[str, ...]] = ("search.goals", "latency")
    parts: ClassVar[tuple[str, ...]] = ("search",)

    tool: Literal["pktgen"]
    rate: PacketRate | None = None
    search: Search | None = Field(
        default=None, description="Search for the highest rate instead of offering a given one."
    )
    latency: Latency | None = Field(
        default=None,
        description="The older spelling of probes: {latency: ...}: round-trip times beside loads of their own.",
    )
    flows: int = Field(
        default=1, ge=1, le=16384, description="UDP flows in each tunnel, distinguished by source port (pktgen)."
    )
    threads: int | None = Field(
        default=None, ge=1, le=4096, description="CPUs that generate packets. Default: all that the host may use."
    )
    burst: int = Field(default=1, ge=1, le=1000, description="Packets handed to an interface at once; 1 over veth.")
    clone: int = Field(default=0, ge=0, le=100_000, description="How often the same packet is sent again; 0 over veth.")

    @model_validator(mode="after")
    def _decides_by_the_longest(self) -> "PktgenTraffic":
        final_s = self.search.final_duration_s if self.search else None
        if final_s is not None and final_s < self.duration_s:
            raise expected(f"a final_duration of {self.duration_s:g} s or more", because="the duration is that long")
        return self

    @property
    def expected_s(self) -> float:
        """The duration of a trial's traffic in seconds by the hosts' clock; for a search, an estimate."""
        latency_s = self.duration_s * len(self.latency.at) if self.latency else 0.0
        search = self.search
        if search is None:
            return self.warm_up_s + self.duration_s + latency_s
        durations = _SEARCH_DURATIONS[search.method] + _MORE_TRIES * (search.tries - 1)
        more_s = max(0.0, (search.final_duration_s or 0.0) - self.duration_s)
        final_s = more_s * len(search.goals) * _FINAL_LOADS[search.method]
        return self.warm_up_s + min(search.time_limit_s, durations * self.duration_s + final_s) + latency_s
