# SPDX-License-Identifier: Apache-2.0
"""The columns of trials.parquet and attempts.parquet: name, type, unit and meaning, which are also stored in the
files."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. ``type``: an Arrow type, such as `int32`; ``unit``: empty if it has none; ``only``: which
    runs or rows have the column or a value in it, empty for all."""

    name: str
    type: str
    unit: str
    meaning: str
    only: str = ""

    @property
    def arrow(self) -> "pa.Field":
        """The field for an Arrow schema, with unit and meaning in its metadata."""
        import pyarrow as pa

        kind = pa.timestamp("ms", tz="UTC") if self.type == TIME else pa.type_for_alias(self.type)
        return pa.field(self.name, kind, metadata=self.metadata)

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata of the Arrow field: unit, meaning and only, unless they are empty."""
        found = {"unit": self.unit, "meaning": self.meaning, "only": self.only}
        return {key: text for key, text in found.items() if text}


TIME = "timestamp[ms, UTC]"
_PKTGEN, _SEARCH, _OWN = "tool pktgen", "a search of packet rates", "tool command"
_VIRTUAL = "virtual time"

TRIAL_ID = Column("trial_id", "string", "", "The trial: a hash of its parameters and its repetition.")
KIND = Column(
    "kind", "string", "", "measure; baseline: the same traffic without a tunnel; noise-floor, trace, profile."
)
BLOCK = Column("block", "int32", "", "The block: trials that were measured on hosts prepared once.")
ROUND = Column("round", "int32", "", "The round in its block, from 1 on; a round has every cell once.")
REPETITION = Column("repetition", "int32", "", "Which repetition of its cell the trial is, from 1 on.")
VARIANT = Column("variant", "string", "", "The variant; none for a baseline.")
CORES = Column("cores", "int32", "cores", "How many CPUs each gateway may use.")
TUNNELS = Column("tunnels", "int32", "tunnels", "The number of tunnels; for a baseline, of address pairs.")
PACKET_SIZE = Column("packet_size", "string", "bytes", "The size of IP packets in a tunnel, or imix.", _PKTGEN)
STATUS = Column("status", "string", "", "ok, failed, invalid or missing; see docs/results.md.")
LEVELS = (VARIANT, CORES, TUNNELS, PACKET_SIZE)

SHARED = (
    TRIAL_ID,
    KIND,
    BLOCK,
    ROUND,
    Column("order", "int32", "", "The trial's place in the plan, from 1 on."),
    *LEVELS,
    REPETITION,
    STATUS,
    Column("reasons", "string", "", "Why the trial is not ok; several are separated by semicolons."),
    Column("marks", "string", "", "Limits that were exceeded and only mark a trial; separated by semicolons."),
    Column("throughput_bps", "double", "bit/s", "What receivers (or interfaces) counted, all tunnels and directions."),
    Column("sent_pps", "double", "packets/s", "Packets that the generator sent.", _PKTGEN),
    Column("received_pps", "double", "packets/s", "Packets that arrived.", _PKTGEN),
    Column("loss_ratio", "double", "", "Share (0 to 1) of the sent packets that did not arrive.", _PKTGEN),
    Column("ndr_lower_pps", "double", "packets/s", "Highest rate found without a loss: its lower bound.", _SEARCH),
    Column("ndr_upper_pps", "double", "packets/s", "Highest rate found without a loss: its upper bound.", _SEARCH),
    Column("pdr_lower_pps", "double", "packets/s", "Highest rate found with few losses: its lower bound.", _SEARCH),
    Column("pdr_upper_pps", "double", "packets/s", "Highest rate found with few losses: its upper bound.", _SEARCH),
    Column("value", "double", "that of the column unit", "The number that the spec's own program printed.", _OWN),
    Column("quantity", "string", "", "The name of what `value` is.", _OWN),
    Column("unit", "string", "", "The unit of `value`.", _OWN),
    Column("better", "string", "", "Which values are better: higher or lower.", _OWN),
    Column("duration_s", "double", "s", "How long traffic was measured, by the receivers' clocks."),
    Column("warm_up_s", "double", "s", "Traffic before the measured window, which does not count."),
    Column("planned_duration_s", "double", "s", "How long traffic was to be measured."),
    Column("topology", "string", "", "site-to-site or gateway-to-gateway."),
    Column("testbed", "string", "", "The testbed that measured the trial."),
    Column("realtime", "bool", "", "Whether the lab had real-time priority.", "the lab"),
    Column("crypto", "string", "", "The implementations of ChaCha20 and Poly1305 that the kernel chose."),
    Column("variant_build", "string", "", "The build id that was read from the loaded module."),
    Column("kernel_release", "string", "", "The release of the gateways' kernel."),
    Column("boot_id", "string", "", "The boot of the hosts; missing in runs of earlier versions."),
    Column("started_at", TIME, "", "When the attempt began."),
    Column("retransmits", "int64", "segments", "TCP segments that were sent again.", "TCP"),
    Column("handshake_age_s", "double", "s", "Age of the oldest handshake when the attempt ended.", "WireGuard"),
    Column("overhead_s", "double", "s", "Duration of the attempt beyond its traffic: set-up and clean-up."),
    Column("cpu_busy", "double", "", "Share (0 to 1) of the CPUs' time that was not idle; of the gateways' own CPUs."),
    Column("session", "int32", "", "The session of the run that measured it, from 1 on."),
    Column("shared_computer", "bool", "", "Whether another testbed used the computer: such trials are in no median."),
    Column("clock", "string", "", "real or virtual."),
    Column("slots", "int32", "cores", "Cores on which the virtual CPUs took turns.", _VIRTUAL),
    Column("quantum_s", "double", "s", "How far a virtual CPU's clock might run ahead of the others'.", _VIRTUAL),
    Column("lent_s", "double", "s", "CPU time beyond the quantum, lent because others waited.", _VIRTUAL),
    Column("lent_share", "double", "", "`lent_s` as a share (0 to 1) of the busy virtual CPUs' time.", _VIRTUAL),
    Column("forced", "int64", "times", "How often a virtual CPU lost its slot while it held a lock.", _VIRTUAL),
    Column("skew_s", "double", "s", "Largest difference between the clocks of two busy virtual CPUs.", _VIRTUAL),
    Column("dilation", "double", "", "Wall seconds per virtual second.", _VIRTUAL),
)
ATTEMPTS = Column("attempts", "int32", "attempts", "How often the trial was attempted.")
ATTEMPT = Column("attempt", "int32", "", "The attempt's number within its trial, from 1 on.")
