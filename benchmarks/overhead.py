# SPDX-License-Identifier: Apache-2.0
"""Overhead of a trial beyond its warm-up and duration: with the agent, compared with one ansible-playbook run.

Both do the same trial on the same lab machine (one tunnel, gateway to gateway, 1 s warm-up and 1 s) in turn, so that
the ratio is valid whatever other load the computer has. Then the growth with the number of tunnels is measured with the
agent alone, one trial after the other as in a run. The goal is 0.3 s for one tunnel there: beside ansible-playbook, a
trial takes a little longer. Run it on an idle computer: python benchmarks/overhead.py [PAIRS]
"""

import resource
import statistics
import sys
import time
from pathlib import Path

from orchestrator.cli.display import LineDisplay
from orchestrator.kernel.variants import load_variants
from orchestrator.measure import layout
from orchestrator.measure.roles import make_links
from orchestrator.measure.run_attempt import run_attempt
from orchestrator.paths import CHECKOUT
from orchestrator.plan import Trial
from orchestrator.progress import Silent
from orchestrator.provision.playbook import Target, run_playbook
from orchestrator.spec import Cell, load_testbed
from orchestrator.testbed import usable_cores
from orchestrator.testbed.protocol import State
from orchestrator.testbed.uml.provider import OpenUmlTestbed
from orchestrator.tools.iperf3.traffic import Iperf3Traffic

TRAFFIC_S = 2.0
TUNNELS = (1, 4, 16)
GOAL_S = 0.3


def trial_with(tunnels: int, cores: int) -> Trial:
    """Return the trial that is timed."""
    return Trial(
        trial_id="0" * 16,
        kind="measure",
        block=1,
        round=1,
        order=1,
        levels=Cell(variant="vanilla", cores=cores, tunnels=tunnels),
        repetition=1,
        traffic=Iperf3Traffic(warm_up="1s", duration="1s"),
        topology=layout.GATEWAY_TO_GATEWAY,
    )


def by_agent(testbed: OpenUmlTestbed, trial: Trial) -> float:
    """Return the overhead of a trial with the agent, in seconds."""
    outcome = run_attempt(testbed, trial, load_variants()["vanilla"], lambda: None)
    if outcome.status == "failed":
        sys.exit(f"the trial by the agent failed: {'; '.join(outcome.reasons)}")
    return float(outcome.measurements["overhead_s"])


def spread(values: list[float], unit: str = " s") -> str:
    """Return the median and the range of values as text."""
    median = statistics.median(values)
    return f"median {median:.2f}{unit}, from {min(values):.2f} to {max(values):.2f}, n = {len(values)}"


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    cores = min(2, usable_cores())
    agent, playbook = [], []
    with OpenUmlTestbed(load_testbed("lab"), LineDisplay("uml")) as testbed:
        testbed.prepare(State(cores))
        make_links(testbed, layout.Net(layout.GATEWAY_TO_GATEWAY), max(TUNNELS))
        target = Target(testbed.hosts[0][0], "root", testbed.lab.ssh_options())
        name = Path("..") / "benchmarks" / "overhead-trial"
        assert (CHECKOUT / "benchmarks" / "overhead-trial.yml").is_file()
        for pair in range(1, pairs + 1):
            agent.append(by_agent(testbed, trial_with(1, cores)))
            began = time.monotonic()
            run_playbook(str(name), [target], {}, Silent())
            playbook.append(time.monotonic() - began - TRAFFIC_S)
            print(f"pair {pair}: agent {agent[-1]:.2f} s, ansible-playbook {playbook[-1]:.2f} s", flush=True)
        print(f"agent: {spread(agent)}")
        print(f"ansible-playbook: {spread(playbook)}")
        print(f"ratio: {spread([slow / fast for slow, fast in zip(playbook, agent, strict=True)], '')}")
        medians: list[float] = []
        for tunnels in TUNNELS:
            values = [by_agent(testbed, trial_with(tunnels, cores)) for _ in range(pairs)]
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
            medians.append(statistics.median(values))
            growth = medians[-1] / medians[-2] if medians[1:] else 1.0
            print(f"{tunnels:3} tunnels: {spread(values)}, grows {growth:.2f}, peak memory {peak:.0f} MB", flush=True)
    met = medians[0] <= GOAL_S
    print(f"{cores} cores. Goal for one tunnel, {GOAL_S:g} s: {'met' if met else 'not met'}.")


if __name__ == "__main__":
    main()
