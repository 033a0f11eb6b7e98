# SPDX-License-Identifier: Apache-2.0
"""Tool command on a real lab machine: a script and netperf, which the spec brings, their numbers, and what is said when
they fail."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from orchestrator.debian import mirror, private_apt
from orchestrator.errors import TestbedError
from orchestrator.kernel.variants import load_variants
from orchestrator.measure import layout
from orchestrator.measure.attempt import Conditions, Outcome
from orchestrator.measure.roles import make_links
from orchestrator.measure.run_attempt import run_attempt
from orchestrator.paths import CHECKOUT
from orchestrator.plan import NO_VARIANT, Trial
from orchestrator.progress import Silent
from orchestrator.spec import LIMIT_NAMES, Cell, Limits, load_testbed
from orchestrator.testbed.protocol import State
from orchestrator.testbed.uml.image import SUITES
from orchestrator.testbed.uml.provider import OpenUmlTestbed
from orchestrator.tools.command.traffic import CommandTraffic

pytestmark = pytest.mark.lab

TUNNELS = 2
HELD = {"rekey", "kernel_log", "counters"}  # these must hold however busy this computer is
SCRIPT = b"""
import json, socket, sys, time
if sys.argv[1] == "serve":
    connection, _ = socket.create_server((sys.argv[2], int(sys.argv[3]))).accept()
    while data := connection.recv(64):
        connection.sendall(data)
else:
    end, count = socket.create_connection((sys.argv[1], int(sys.argv[2]))), 0
    until = time.monotonic() + float(sys.argv[3])
    while time.monotonic() < until:
        end.sendall(b"x" * 64)
        end.recv(64, socket.MSG_WAITALL)
        count += 1
    print(json.dumps({"rounds": count, "from": end.getsockname()[0]}))
"""
COMMAND: dict[str, Any] = {
    "files": ["rounds.py"],
    "server": ("python3", "{files}/rounds.py", "serve", "{address}", "{port}"),
    "client": ("python3", "{files}/rounds.py", "{address}", "{port}", "{duration}"),
    "read": {"json": "rounds"},
    "quantity": {"name": "rounds", "unit": "rounds", "better": "higher"},
}


@pytest.fixture(scope="module")
def testbed() -> Iterator[OpenUmlTestbed]:
    with OpenUmlTestbed(load_testbed("lab"), Silent()) as entered:
        entered.prepare(State(1))
        yield entered


@pytest.fixture(scope="module")
def netperf(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The programs of Debian's package netperf, which need only the C library."""
    folder = tmp_path_factory.mktemp("netperf")
    with private_apt(SUITES[:1]) as apt:
        try:
            apt.update()
            found = apt.versions("netperf")
            package = apt.download("netperf", found[0].version, folder) if found else None
        except TestbedError as error:
            pytest.skip(f"needs the package netperf: {error}")
    if package is None:
        pytest.skip(f"needs the package netperf, which {mirror()} does not have for {SUITES[0]}")
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    return {name: (folder / "usr" / "bin" / name).read_bytes() for name in ("netperf", "netserver")}


def documented() -> dict[str, Any]:
    """The command of docs/traffic.md for netperf, with lists as tuples."""
    page = (CHECKOUT / "docs" / "traffic.md").read_text()
    (block,) = re.findall(r"With netperf:\n\n```yaml\n(.*?)```", page, re.DOTALL)
    return {key: tuple(value) if isinstance(value, list) else value for key, value in yaml.safe_load(block).items()}


def attempted(
    testbed: OpenUmlTestbed,
    variant: str = "inline",
    warm_up: str = "0s",
    files: Mapping[str, bytes] = {"rounds.py": SCRIPT},
    **changes: Any,
) -> Outcome:
    trial = Trial(
        trial_id="0" * 16,
        kind="baseline" if variant == NO_VARIANT else "measure",
        block=1,
        round=1,
        order=1,
        levels=Cell(variant=variant, cores=1, tunnels=TUNNELS),
        repetition=1,
        traffic=CommandTraffic.model_validate(
            {
                "tool": "command",
                "warm_up": warm_up,
                "duration": "1s",
                "command": {**COMMAND, "files": list(files), **changes},
            }
        ),
        topology=layout.SITE_TO_SITE,
    )
    report_only: Any = tuple(name for name in LIMIT_NAMES if name not in HELD)
    conditions = Conditions(Limits(report_only=report_only), files=files)
    make_links(testbed, layout.net_of(trial), TUNNELS)
    return run_attempt(testbed, trial, load_variants().get(variant), lambda: None, conditions)


@pytest.mark.parametrize("variant", ["inline", NO_VARIANT])
def test_a_script_that_binds_to_nothing_goes_through_each_tunnel(testbed: OpenUmlTestbed, variant: str) -> None:
    outcome = attempted(testbed, variant, warm_up="1s")
    assert outcome.status == "ok", outcome.reasons
    values = [one["value"] for one in outcome.measurements["values"]]
    assert len(values) == TUNNELS
    assert min(values) > 10
    assert outcome.measurements["value"] == sum(values)
    for tunnel in (1, 2):
        assert layout.sender_address(tunnel) in outcome.raw[f"client-{tunnel}.out"]
    if variant != NO_VARIANT:
        carried = outcome.probes["interfaces"]["gateway-b"]
        assert all(carried[f"wg{tunnel}"]["rx_packets"] > 10 for tunnel in (1, 2))


@pytest.mark.parametrize("variant", ["inline", NO_VARIANT])
def test_transactions_of_netperf_go_through_each_tunnel(
    testbed: OpenUmlTestbed, netperf: dict[str, bytes], variant: str
) -> None:
    command = documented()
    for end in ("client", "server"):
        program, *arguments = command[end]
        command[end] = (f"{{files}}/{program}", *map(str, arguments))
    outcome = attempted(testbed, variant, warm_up="1s", files=netperf, **command)
    assert outcome.status == "ok", outcome.reasons
    rates = [one["value"] for one in outcome.measurements["values"]]
    assert len(rates) == TUNNELS
    assert min(rates) > 10
    assert outcome.measurements["value"] == pytest.approx(sum(rates))
    assert outcome.measurements["quantity"]["unit"] == "transactions/s"
    if variant != NO_VARIANT:
        carried = outcome.probes["interfaces"]["gateway-b"]
        for tunnel, rate in enumerate(rates, start=1):
            assert carried[f"wg{tunnel}"]["rx_packets"] > rate / 2  # one request a transaction, for a second


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"client": ("no-such-program",)}, "no-such-program cannot be started: there is no such program"),
        (
            {"client": ("sh", "-c", "echo lost >&2; exit 3"), "deadline": "1s"},
            'client of tunnel 1 ended with status 3: "lost"',
        ),
        ({"client": ("sleep", "60"), "deadline": "1s"}, "did not end within 1 s"),
        ({"client": ("echo", "nothing"), "deadline": "1s"}, "not a JSON document"),
        ({"server": ("sh", "-c", "echo busy >&2; exit 4")}, "busy"),
        ({"server": (), "client": ("echo", '{{"rounds": 1}}')}, "nothing came through tunnel 1, 2"),
    ],
)
def test_what_fails_is_said_in_the_programs_own_words(
    testbed: OpenUmlTestbed, changes: dict[str, Any], says: str
) -> None:
    outcome = attempted(testbed, **changes)
    assert outcome.status != "ok"
    assert says in " ".join(outcome.reasons)
