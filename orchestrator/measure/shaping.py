# SPDX-License-Identifier: Apache-2.0
"""Shaping of the link between the gateways while a trial's traffic runs."""

from typing import Any

from orchestrator.measure import layout
from orchestrator.measure.attempt import Attempt
from orchestrator.spec import GATEWAYS
from orchestrator.spec.links import shape_of
from orchestrator.testbed.remote import request_all


def shape_link(attempt: Attempt) -> None:
    """Delay, drop, reorder and rate-limit what both gateways send over the link, as the trial's cell requests."""
    shape = shape_of(attempt.trial.levels)
    if shape is not None:
        _ask(attempt, "shape_links", shape.to_json())


def unshape_link(attempt: Attempt) -> None:
    """Remove the link's shape. Raises TestbedError if it cannot be removed."""
    if shape_of(attempt.trial.levels) is not None:
        _ask(attempt, "unshape_links", {})


def _ask(attempt: Attempt, operation: str, shape: dict[str, Any]) -> None:
    wanted = {role: {"device": layout.device_of("wan"), **shape} for role in GATEWAYS}
    roles = attempt.placement.split(wanted)
    request_all(attempt.testbed.agents, operation, {host: {"roles": here} for host, here in roles.items()})
