# SPDX-License-Identifier: Apache-2.0
"""The cost of sampling in the lab: what is done with samples, divided by what is done without, side by side.

A probe on a gateway turns the samples of /proc/cpu_samples on and off, in windows of 60 ms in the order
on, off, off, on, so that a drift cancels. A group of four windows gives a ratio, and a trial the median of its groups.
What is counted in a window is one of three:

- traffic: the bytes that the interfaces of the gateway received, while iperf3 sends as fast as it can;
- reads: how often the probe itself read 16 KiB of random numbers, beside hardly any traffic. A loop varies less than
  TCP does, and shows a cost of one percent;
- calls: how often it made a system call that takes no time. It goes between user space and the kernel all the time,
  which a sampler can disturb more than either: samples with timers of their own cost it 6 % every 4 ms.

A probe of the same kind that turns nothing on shows how far from 1 the ratios are where there is nothing to find. A
profile of a trial adds nothing within the measured window: names are looked up after it.

Run it on an idle computer with two cores or more: python benchmarks/profiling.py [TRIALS] [TESTBED ...] (8 trials of
each variant on lab and virtual-shared by default). The results are in docs/explain.md.
"""

import sys
import tempfile
from itertools import product
from pathlib import Path

import yaml
from measuring import measured_run

from orchestrator.agent.probes import VIRTUAL_TIME
from orchestrator.agent.profile import PERIOD_NS, SAMPLES, VIRTUAL_PERIOD_NS
from orchestrator.stats.intervals import summarize

# With 24 groups of windows of 0.1 s the ratios of trials lay up to 15 % apart where nothing was turned on.
WINDOW_S = 0.06
GROUPS_A_TRIAL = 60
COUNTED = ("reads", "calls", "traffic")
PROBE = f"""
import os, statistics, sys, time

period = {VIRTUAL_PERIOD_NS} if os.path.exists({VIRTUAL_TIME!r}) else {PERIOD_NS}

def write(text):
    with open({SAMPLES!r}, "w") as file:
        file.write(text)

def switch(on):
    write("0")
    if on and sys.argv[1] == "samples":
        write("%d 65536" % period)

def received():
    with open("/proc/net/dev") as lines:
        return sum(int(line.split(":")[1].split()[0]) for line in lines if ":" in line)

def traffic():
    before = received()
    time.sleep({WINDOW_S})
    return received() - before

random = os.open("/dev/urandom", os.O_RDONLY)

def repeated(act):
    end, count = time.monotonic() + {WINDOW_S}, 0
    while time.monotonic() < end:
        act()
        count += 1
    return count

def reads():
    return repeated(lambda: os.read(random, 16384))

def calls():
    return repeated(os.getppid)

def rate(on):
    switch(on)
    time.sleep(0.02)
    began = time.monotonic()
    return globals()[sys.argv[2]]() / (time.monotonic() - began)

ratios = []
try:
    for _ in range({GROUPS_A_TRIAL}):
        rates = [rate(on) for on in (True, False, False, True)]
        ratios.append((rates[0] + rates[3]) / (rates[1] + rates[2]))
finally:
    switch(False)
print("ratio %.4f" % statistics.median(ratios))
"""


READ = {"read": {"regex": "ratio ([0-9.]+)"}, "unit": "on over off"}


def spec(trials: int, arm: str, counted: str) -> dict:
    """Return a spec whose probe has samples on and off by turns, or with the arm ``nothing`` has them off.

    ``counted``: one of COUNTED.
    """
    duration_s = (WINDOW_S + 0.03) * 4 * GROUPS_A_TRIAL + 1
    variants = ["vanilla", "inline"] if counted == "traffic" else ["vanilla"]
    traffic = {"warm_up": "1s", "duration": f"{duration_s:.0f}s"}
    return {
        "experiment": "profiling",
        "factors": {"variant": variants, "cores": [2], "tunnels": [2]},
        "traffic": traffic if counted == "traffic" else {**traffic, "bitrate": "5 Mbit/s"},
        "probes": {"sampling": {"at": "gateway-b", "command": ["python3", "-c", PROBE, arm, counted], **READ}},
        "repetitions": trials,
        "busy": "mark",
    }


def ratios_of(testbed: str, folder: Path, trials: int, arm: str, counted: str) -> dict[str, list[float]]:
    """Return {variant: ratios} of a run with that arm; see `spec`."""
    path = folder / f"{arm}-{counted}.yaml"
    path.write_text(yaml.safe_dump(spec(trials, arm, counted)))
    run = measured_run(str(path), testbed, folder / f"{testbed}-{arm}-{counted}")
    probed = run.probed
    return {variant: list(rows["value"]) for variant, rows in probed[probed.kind == "measure"].groupby("variant")}


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    testbeds = sys.argv[2:] or ["lab", "virtual-shared"]
    with tempfile.TemporaryDirectory() as name:
        for testbed, counted, arm in product(testbeds, COUNTED, ("samples", "nothing")):
            for variant, values in ratios_of(testbed, Path(name), trials, arm, counted).items():
                shown = summarize(values)
                low, high = shown.interval.low, shown.interval.high
                about = f"{testbed}, {counted}, {variant}, {arm} on over off"
                print(f"{about}: {shown.median:.4f} ({low:.4f} to {high:.4f}), n = {len(values)}", flush=True)


if __name__ == "__main__":
    main()
