# SPDX-License-Identifier: Apache-2.0
"""The agent: standard-library Python that runs on every host of a testbed. It is sent there when it is needed.

`orchestrator.agent.agent` is where it begins and says what it is asked and answers.
"""

import json
from pathlib import Path

# Its files, each after those that it imports.
_PARTS = (
    "host",
    "messages",
    "host_messages",
    "survey_messages",
    "network_messages",
    "packet_messages",
    "traffic_messages",
    "echo",
    "ethtool",
    "netlink",
    "cpus",
    "control",
    "lease",
    "load",
    "rtnetlink",
    "interfaces",
    "sysctls",
    "snapshot",
    "connection",
    "way",
    "nics",
    "settings",
    "module",
    "roles",
    "shaping",
    "routes",
    "ipsec",
    "tunnels",
    "roaming",
    "complaints",
    "hardware",
    "probes",
    "generators",
    "polls",
    "processes",
    "attached",
    "profile",
    "pktgen",
    "hops",
    "traffic",
    "survey",
    "interrupts",
    "restarting",
    "tuning",
    "agent",
)

# What a host's Python is started with: it reads the agent's files, so many bytes and no more, from standard input, and
# becomes the agent. Its command line has the name orch-agent.
_BEGIN = """\
# orch-agent
import json, os, sys, types
text = b""
while len(text) < {size}:
    more = os.read(0, {size} - len(text))
    if not more:
        raise SystemExit(1)
    text += more
for name, source in json.loads(text):
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = []
    exec(compile(source, name, "exec"), module.__dict__)
module.main()
"""


def program() -> tuple[tuple[str, ...], bytes]:
    """How the agent is started on a host: the command, and what goes to its standard input before requests do."""
    files = [(f"{__name__}.{part}", Path(__file__).with_name(f"{part}.py").read_text()) for part in _PARTS]
    packages = [("orchestrator", ""), (__name__, "")]
    text = json.dumps([*packages, *files]).encode()
    return ("python3", "-I", "-S", "-c", _BEGIN.format(size=len(text))), text
