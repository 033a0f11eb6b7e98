# SPDX-License-Identifier: Apache-2.0
"""One execution of a trial on a prepared testbed: tunnels up, handshakes, the traffic of its tool, tunnels down.

Requests to several hosts are sent to all of them at once. The hosts begin the traffic, and the sampling around it, at
one agreed time.
"""

import time
from collections.abc import Callable

from orchestrator.agent.host_messages import WatchKernelLogRequest
from orchestrator.errors import TestbedError
from orchestrator.kernel.variants import Variant
from orchestrator.measure.attempt import Attempt, Conditions, Outcome, Phases
from orchestrator.measure.mtu import prepare_mtu, restore_mtu
from orchestrator.measure.shaping import shape_link, unshape_link
from orchestrator.measure.streams import BadReport
from orchestrator.measure.tunnels import remove_tunnels, shake_hands
from orchestrator.plan import Trial
from orchestrator.spec import tool_of
from orchestrator.testbed.protocol import OpenTestbed
from orchestrator.testbed.remote import AgentFailure, request_all


def run_attempt(
    testbed: OpenTestbed,
    trial: Trial,
    variant: Variant | None,
    on_traffic: Callable[[], None],
    conditions: Conditions | None = None,
    on_bounds: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Execute a trial once, and return the outcome.

    Failures of a host are not raised; the outcome's reasons describe them.
    """
    outcome = Outcome()
    began = time.monotonic()
    phases = Phases()
    try:
        _run(Attempt(testbed, trial, conditions or Conditions(), outcome, phases, on_traffic, on_bounds, variant))
    except (AgentFailure, BadReport) as error:
        outcome.status = "failed"
        outcome.reasons.append(str(error))
    except TestbedError as error:  # a host, or the whole lab, does not answer
        outcome.status, outcome.host_lost = "failed", True
        outcome.reasons.append(str(error))
    total = time.monotonic() - began
    planned = trial.traffic.warm_up_s + trial.traffic.duration_s
    traffic_s = planned if outcome.traffic_s is None else outcome.traffic_s
    # In virtual time the traffic took more wall time, by the same factor as the measured window.
    traffic_s *= (outcome.probes.get("virtual_time") or {}).get("dilation") or 1.0
    if conditions is not None and conditions.control is not None and outcome.probes:
        outcome.probes["control"] = dict(conditions.control)
    outcome.measurements["phases_s"] = phases.seconds
    outcome.measurements["overhead_s"] = round(total - traffic_s, 4)
    if outcome.status != "ok":
        outcome.measurements.setdefault("throughput_bps", None)
    return outcome


def _run(attempt: Attempt) -> None:
    testbed, trial, outcome = attempt.testbed, attempt.trial, attempt.outcome
    tunnels, tool = trial.levels.tunnels, tool_of(trial.traffic)
    try:
        request_all(testbed.agents, {host: WatchKernelLogRequest() for host in attempt.hosts})
        if not attempt.baseline:
            assert attempt.variant is not None
            outcome.variant_build = attempt.system.load(testbed, attempt.variant)
            attempt.phases.done("variant")
        prepare_mtu(attempt)
        attempt.system.create(testbed, attempt.net, tunnels, attempt.variant)
        attempt.phases.done("tunnels")
        shake_hands(testbed, trial.topology, tunnels, tool.largest_packet(trial.levels))
        attempt.phases.done("handshakes")
        shape_link(attempt)
        tool.run(attempt)
    except (AgentFailure, BadReport):
        raise
    except (KeyboardInterrupt, TestbedError):
        outcome.host_lost = True  # the connection broke off: nothing more can be asked of this host
        raise
    finally:
        _clean_up(attempt)
        attempt.phases.done("clean-up")


def _clean_up(attempt: Attempt) -> None:
    """Remove the link's shape and the trial's devices.

    Whatever cannot be removed affects the rest of the block, so the host then counts as lost. Plain forwarding has no
    devices, and its routes are replaced by the next trial's.
    """
    outcome = attempt.outcome
    if outcome.host_lost:
        return
    what = "what the tool left"
    try:
        tool_of(attempt.trial.traffic).clean_up(attempt)
        what = "the shape of the link"
        unshape_link(attempt)
        what = "the tunnels"
        if attempt.tunnelled:
            remove_tunnels(attempt.testbed, attempt.trial.levels.tunnels)
        what = "the raised MTU of the links"
        restore_mtu(attempt)
    except TestbedError as error:
        outcome.host_lost = True
        outcome.reasons.append(f"{what} could not be removed: {error}")
        if outcome.status == "ok":
            outcome.status = "invalid"
