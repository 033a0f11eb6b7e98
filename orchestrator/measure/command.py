# SPDX-License-Identifier: Apache-2.0
"""A quantity of the user's own: programs between the ends for a fixed time, and whether what they print counts.

A client that is told the warm-up leaves it out itself. Any other is run once before, for the warm-up, and what it
prints then is thrown away; its server begins anew.
"""

from collections.abc import Sequence

from orchestrator.measure import own_tools, shares
from orchestrator.measure.aftermath import look_back
from orchestrator.measure.driving import Driven, drive
from orchestrator.measure.judge import Evidence, judge
from orchestrator.measure.scene import Scene
from orchestrator.spec import GATEWAYS, Command


def measure_command(scene: Scene) -> None:
    """Run a trial's commands over tunnels that are ready; the outcome gets measurements, probes and a verdict.

    Raises BadReport where a program failed or printed no number, and TestbedError where a host does not answer.
    """
    trial, outcome = scene.trial, scene.outcome
    traffic, command = trial.traffic, trial.traffic.command
    assert command is not None
    warm_up_s = traffic.warm_up_s
    if warm_up_s and not command.warms_up_itself:
        warming = own_tools.runs(traffic, trial.levels.tunnels, warm_up_s)
        own_tools.read_runs(command, warming, _driven(scene, command, warming, 0.0, warm_up_s).processes)
        warm_up_s = 0.0
    wanted = own_tools.runs(traffic, trial.levels.tunnels, traffic.duration_s)
    driven = _driven(scene, command, wanted, warm_up_s, traffic.duration_s)
    values = own_tools.read_runs(command, wanted, driven.processes)
    after = look_back(scene, driven.traffic_s, driven.began_at)
    carried = after.carried(scene)
    outcome.measurements.update(
        throughput_bps=None,
        value=float(own_tools.combined(values, command.combine)),
        quantity=command.quantity.model_dump(mode="json"),
        values=[{"tunnel": run.tunnel, "value": value} for run, value in zip(wanted, values, strict=True)],
        combine=command.combine if len(values) > 1 else None,
        duration_s=traffic.duration_s,
        handshake_age_s=None if after.handshake_age_s is None else round(after.handshake_age_s, 3),
        handshakes_in_traffic=after.rekeys,
        shares=shares.shares(carried),
    )
    evidence = Evidence(
        streams=(),
        probes=outcome.probes,
        duration_s=traffic.duration_s,
        handshake_age_s=after.handshake_age_s,
        rekeyed=after.rekeyed,
        kernel_log=after.complaints,
        clock_skew_s=outcome.probes["clock_skew_s"],
        control=scene.conditions.control,
        carried=carried,
        unused=_unused(scene, command),
    )
    outcome.take(judge(evidence, scene.conditions.limits, load_marks=scene.conditions.load_marks))


def _driven(
    scene: Scene, command: Command, wanted: Sequence[own_tools.Run], warm_up_s: float, duration_s: float
) -> Driven:
    return drive(
        scene,
        own_tools.servers(scene.ends.receiver, command, wanted),
        lambda: own_tools.clients(scene.ends.sender, command, wanted),
        warm_up_s=warm_up_s,
        duration_s=duration_s,
        suffix=".out",
        grace_s=command.deadline_s,
        files=scene.conditions.files,
    )


def _unused(scene: Scene, command: Command) -> list[int]:
    """The tunnels through which nothing came to the far gateway, of those that have a client of their own."""
    if scene.baseline or command.each != "tunnel":
        return []
    numbers = range(1, scene.trial.levels.tunnels + 1)
    # A device that tunnels share counts for all of them; what the near gateway sent into each is known.
    gateway, counter = (GATEWAYS[0], "tx_packets") if scene.net.shared else (GATEWAYS[1], "rx_packets")
    counted = scene.outcome.probes["interfaces"].get(gateway, {})
    return [tunnel for tunnel in numbers if not counted.get(scene.net.device(tunnel, gateway), {}).get(counter)]
