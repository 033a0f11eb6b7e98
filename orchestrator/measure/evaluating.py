# SPDX-License-Identifier: Apache-2.0
"""Evaluation of what a tool read after its traffic: measurements and a verdict."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator.measure import shares
from orchestrator.measure.after_traffic import AfterTraffic, read_after_traffic
from orchestrator.measure.attempt import Attempt
from orchestrator.measure.driving import Driven
from orchestrator.measure.judge import Evidence
from orchestrator.spec import OwnQuantity

if TYPE_CHECKING:
    from orchestrator.tools.protocol import Reading


def evaluate(attempt: Attempt, driven: Driven, reading: "Reading", quantity: OwnQuantity | None) -> None:
    """Store the measurements and the verdict of an attempt in its outcome.

    Raises AgentFailure if a tunnel has no handshake although traffic passed.
    """
    trial, outcome = attempt.trial, attempt.outcome
    after = read_after_traffic(attempt, driven.traffic_s, driven.began_at)
    carried = after.carried(attempt)
    if reading.value is not None:
        outcome.measurements.update(throughput_bps=None, value=float(reading.value))
    if quantity is not None:
        outcome.measurements["quantity"] = quantity.model_dump(mode="json")
    outcome.measurements.update(
        {"duration_s": trial.traffic.duration_s, **reading.measurements},
        handshake_age_s=after.stored_age_s,
        handshakes_in_traffic=after.rekeys,
        shares=shares.shares(carried),
    )
    known = {**reading.evidence, **(reading.evidence_after(after) if reading.evidence_after else {})}
    if reading.value is not None:  # tools that count bytes are checked against their tunnels' counters instead
        known.setdefault("unused", attempt.unused_tunnels())
    evidence = evidence_of(attempt, after, carried, **known)
    outcome.take(attempt.judged(evidence))


def evidence_of(
    attempt: Attempt, after: AfterTraffic, carried: Mapping[str, list[dict[str, int]]] | None = None, **known: object
) -> Evidence:
    """Return the evidence about an attempt.

    ``carried``: as from `AfterTraffic.carried`, None for tools whose loads count what tunnels carry; ``known``: what
    its tool knows, by the fields of `Evidence`.
    """
    fields: dict[str, object] = {
        "streams": (),
        "probes": attempt.outcome.probes,
        "duration_s": attempt.trial.traffic.duration_s,
        "handshake_age_s": after.handshake_age_s,
        "rekeyed": after.rekeyed,
        "kernel_log": after.complaints,
        "clock_skew_s": attempt.outcome.probes["clock_skew_s"],
        "control": attempt.conditions.control,
        "carried": carried or {},
    }
    return Evidence(**{**fields, **known})  # type: ignore[arg-type]
