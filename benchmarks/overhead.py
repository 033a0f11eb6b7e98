# SPDX-License-Identifier: Apache-2.0
"""How long a trial takes beyond its warm-up and duration: by the agent, and beside it by one ansible-playbook run.

Both do the same trial on the same lab machine (one tunnel, gateway to gateway, 1 s warm-up and 1 s), in turn, so that
the ratio holds whatever else the computer does. Run it on an idle computer: python benchmarks/overhead.py [PAIRS]
"""

import resource
import statistics
import sys
import time
from pathlib import Path

from orchestrator.cli.display import LineDisplay
from orchestrator.kernel.variants import load_variants
from orchestrator.paths import CHECKOUT
from orchestrator.plan import Levels, Traffic, Trial
from orchestrator.progress import Silent
from orchestrator.provision.playbook import Target, run_playbook
from orchestrator.run import layout
from orchestrator.run.attempt import run_attempt
from orchestrator.spec import load_testbed
from orchestrator.testbed import usable_cores
from orchestrator.testbed.protocol import State
from orchestrator.testbed.uml.provider import UmlTestbed

TRAFFIC_S = 2.0


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    cores = min(2, usable_cores())
    vanilla = load_variants()["vanilla"]
    traffic = Traffic(tool="iperf3", protocol="tcp", streams=1, warm_up_s=1.0, duration_s=1.0)
    trial = Trial(
        trial_id="0" * 16,
        kind="measure",
        block=1,
        round=1,
        order=1,
        levels=Levels(variant="vanilla", cores=cores, tunnels=1),
        repetition=1,
        traffic=traffic,
        topology=layout.GATEWAY_TO_GATEWAY,
    )
    by_agent, by_playbook = [], []
    with UmlTestbed(load_testbed("lab"), LineDisplay("uml")) as testbed:
        testbed.prepare(State(cores))
        testbed.agent("gateway-a").request("links", **layout.links_request(layout.GATEWAY_TO_GATEWAY, 1))
        lab = testbed.lab
        target = Target(testbed.hosts[0][0], "root", lab.ssh_options())
        playbook = Path("..") / "benchmarks" / "overhead-trial"
        assert (CHECKOUT / "benchmarks" / "overhead-trial.yml").is_file()
        for pair in range(1, pairs + 1):
            outcome = run_attempt(testbed, trial, vanilla, lambda: None)
            if outcome.status != "ok":
                sys.exit(f"the trial by the agent was {outcome.status}: {'; '.join(outcome.reasons)}")
            by_agent.append(outcome.measurements["overhead_s"])
            began = time.monotonic()
            run_playbook(str(playbook), [target], {}, Silent())
            by_playbook.append(time.monotonic() - began - TRAFFIC_S)
            print(f"pair {pair}: agent {by_agent[-1]:.2f} s, ansible-playbook {by_playbook[-1]:.2f} s", flush=True)
    ratios = [playbook_s / agent_s for agent_s, playbook_s in zip(by_agent, by_playbook, strict=True)]
    for name, values in (("agent", by_agent), ("ansible-playbook", by_playbook), ("ratio", ratios)):
        unit = "" if name == "ratio" else " s"
        median = statistics.median(values)
        print(f"{name}: median {median:.2f}{unit}, from {min(values):.2f} to {max(values):.2f}, n = {len(values)}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{cores} cores; peak memory of the controller {peak:.0f} MiB")


if __name__ == "__main__":
    main()
