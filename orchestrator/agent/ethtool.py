# SPDX-License-Identifier: Apache-2.0
"""Settings of network interfaces, by ethtool(8): what it prints, read; and how each is set."""

import re

from orchestrator.agent.host import AgentError, call

# The letters of `ethtool -N ... rx-flow-hash`, and the line that `-n` prints for each.
HASH_FIELDS = (
    ("m", "L2DA"),
    ("v", "VLAN tag"),
    ("t", "L3 proto"),
    ("s", "IP SA"),
    ("d", "IP DA"),
    ("f", "L4 bytes 0 & 1"),
    ("n", "L4 bytes 2 & 3"),
)
# Settings that ethtool shows as "name: value" lines of one option, and sets with another: their line, and their word.
VALUES = {
    "channels": ("-l", "-L", "Combined", "combined"),
    "ring-rx": ("-g", "-G", "RX", "rx"),
    "ring-tx": ("-g", "-G", "TX", "tx"),
    "coalesce-rx-usecs": ("-c", "-C", "rx-usecs", "rx-usecs"),
    "coalesce-tx-usecs": ("-c", "-C", "tx-usecs", "tx-usecs"),
    "adaptive-rx": ("-c", "-C", "Adaptive RX", "adaptive-rx"),
    "adaptive-tx": ("-c", "-C", "TX", "adaptive-tx"),
}


def values_of(text):
    """(most, now) from what -l, -g and -c print: two parts of "name: value" lines, or one, then without a most."""
    parts = [{}]  # type: list[dict[str, str]]
    for line in text.splitlines():
        if line.startswith(("Pre-set maximums", "Current hardware settings")):
            parts.append({})
            continue
        for name, value in re.findall(r"([A-Za-z][A-Za-z0-9 -]*?):\s*(\S+)(?=\s|$)", line):
            parts[-1][name.strip()] = value
    return (parts[1], parts[2]) if len(parts) == 3 else ({}, parts[-1])


def hash_of(text):
    """The letters of the fields that -n prints for a kind of flow; empty where the hash is not configured."""
    return "".join(letter for letter, line in HASH_FIELDS if re.search(r"^\s*%s" % re.escape(line), text, re.MULTILINE))


def features_of(text):
    """{feature: on or off} of those that can be changed, from what -k prints."""
    found = re.findall(r"^\s*([a-z0-9-]+): (on|off)( \[[a-z ]*fixed[a-z ]*\])?", text, re.MULTILINE)
    return {name: value for name, value, fixed in found if not fixed}


def asked(*arguments):
    """What ethtool prints; None where the interface has no such thing."""
    try:
        return call(["ethtool", *arguments])
    except (AgentError, OSError):
        return None


def nic_value(nic, what):
    """A setting of an interface, as text; AgentError where it has none."""
    if what.startswith("hash-"):
        text = asked("-n", nic, "rx-flow-hash", what[5:])
        found = None if text is None else hash_of(text)
    elif what.startswith("feature-"):
        found = features_of(asked("-k", nic) or "").get(what[8:])
    elif what in VALUES:
        show, _, line, _ = VALUES[what]
        found = values_of(asked(show, nic) or "")[1].get(line)
        found = None if found == "n/a" else found
    else:
        found = None
    if found is None:
        raise AgentError("the interface %s has no setting %s." % (nic, what))
    return found


def set_nic_value(nic, what, value):
    if what.startswith("hash-"):
        call(["ethtool", "-N", nic, "rx-flow-hash", what[5:], value])
    elif what.startswith("feature-"):
        call(["ethtool", "-K", nic, what[8:], value])
    else:
        _, option, _, word = VALUES[what]
        call(["ethtool", option, nic, word, value])


def most_of(nic, what):
    """(now, most) of a number that an interface has; None where it has none."""
    show, _, line, _ = VALUES[what]
    most, now = values_of(asked(show, nic) or "")
    if not (now.get(line, "").isdigit() and most.get(line, "").isdigit()):
        return None
    return int(now[line]), int(most[line])
