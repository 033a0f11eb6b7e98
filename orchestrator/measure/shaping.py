# SPDX-License-Identifier: Apache-2.0
"""Shaping of the link between the gateways while a trial's traffic runs."""

from orchestrator.agent import network_messages as messages
from orchestrator.measure import layout
from orchestrator.measure.attempt import Attempt
from orchestrator.measure.roles import ask_roles
from orchestrator.spec import GATEWAYS
from orchestrator.spec.links import Shape, shape_of


def shape_link(attempt: Attempt) -> None:
    """Delay, drop, reorder and rate-limit what both gateways send over the link, as the trial's cell requests."""
    shape = shape_of(attempt.trial.levels)
    if shape is not None:
        ask_roles(attempt.testbed, dict.fromkeys(GATEWAYS, wanted_of(shape)), messages.ShapeLinksRequest)


def unshape_link(attempt: Attempt) -> None:
    """Remove the link's shape. Raises TestbedError if it cannot be removed."""
    if shape_of(attempt.trial.levels) is not None:
        wanted: messages.Device = {"device": layout.device_of("wan")}
        ask_roles(attempt.testbed, dict.fromkeys(GATEWAYS, wanted), messages.UnshapeLinksRequest)


def wanted_of(shape: Shape) -> messages.LinkShape:
    """Return a shape of the link between the gateways as the agent takes it."""
    return {
        "device": layout.device_of("wan"),
        "delay_s": shape.delay_s,
        "loss": shape.loss,
        "reorder": shape.reorder,
        "rate_bps": shape.rate_bps,
        "queue": shape.queue,
    }
