# SPDX-License-Identifier: Apache-2.0
"""The agent: standard-library Python that runs on every host of a testbed, and is sent there when needed.

Its entry point is `orchestrator.agent.agent`, which describes its requests and answers.
"""

import json
from pathlib import Path

# The agent's files, each after those that it imports.
_PARTS = (
    "host",
    "messages",
    "host_messages",
    "survey_messages",
    "network_messages",
    "mtu_messages",
    "packet_messages",
    "traffic_messages",
    "echo",
    "ethtool",
    "netlink",
    "cpus",
    "control",
    "processes",
    "lease",
    "load",
    "rtnetlink",
    "interfaces",
    "sysctls",
    "snapshot",
    "connection",
    "far_ends",
    "way",
    "nics",
    "settings",
    "roles",
    "shaping",
    "mtu",
    "routes",
    "ipsec",
    "tunnels",
    "removal",
    "module",
    "roaming",
    "complaints",
    "hardware",
    "probes",
    "generators",
    "polls",
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

# The program with which a host's Python starts: it skips what comes before a NUL character in its standard input, a
# password that was not asked for, then reads the agent's files, exactly this many bytes, and becomes the agent. Its
# command line contains the name orch-agent.
_BEGIN = """\
# orch-agent
import json, os, sys, types
while os.read(0, 1) not in (b"\\0", b""):
    pass
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
    """Return the command that starts the agent on a host, and the data for its standard input before any request: it
    begins with a NUL character, and what comes before that is ignored."""
    files = [(f"{__name__}.{part}", Path(__file__).with_name(f"{part}.py").read_text()) for part in _PARTS]
    packages = [("orchestrator", ""), (__name__, "")]
    text = json.dumps([*packages, *files]).encode()
    return ("python3", "-I", "-S", "-c", _BEGIN.format(size=len(text))), b"\0" + text
