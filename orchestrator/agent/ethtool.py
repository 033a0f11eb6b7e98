# SPDX-License-Identifier: Apache-2.0
"""Settings of network interfaces by ethtool(8): parsing its output, and setting values."""

import os
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
# Settings shown by ethtool as "name: value" lines of one option, and set by another: both options, line, and word.
VALUES = {
    "channels": ("-l", "-L", "Combined", "combined"),
    "ring-rx": ("-g", "-G", "RX", "rx"),
    "ring-tx": ("-g", "-G", "TX", "tx"),
    "coalesce-rx-usecs": ("-c", "-C", "rx-usecs", "rx-usecs"),
    "coalesce-tx-usecs": ("-c", "-C", "tx-usecs", "tx-usecs"),
    "adaptive-rx": ("-c", "-C", "Adaptive RX", "adaptive-rx"),
    "adaptive-tx": ("-c", "-C", "Adaptive TX", "adaptive-tx"),
}
# Features whose name for -K differs from the one that -k shows. ethtool(8)
SHORT_NAMES = {
    "rx-checksumming": "rx",
    "tx-checksumming": "tx",
    "scatter-gather": "sg",
    "tcp-segmentation-offload": "tso",
    "udp-fragmentation-offload": "ufo",
    "generic-segmentation-offload": "gso",
    "generic-receive-offload": "gro",
    "large-receive-offload": "lro",
    "rx-vlan-offload": "rxvlan",
    "tx-vlan-offload": "txvlan",
    "ntuple-filters": "ntuple",
    "receive-hashing": "rxhash",
}
LONG_NAMES = {short: name for name, short in SHORT_NAMES.items()}
NOT_THERE = "n/a"
CHANNELS = {"combined": "Combined", "rx": "RX", "tx": "TX"}  # words of -L, and lines that -l prints


def values_of(text):
    """Return (most, now) from what -l, -g and -c print: two parts of "name: value" lines, or one, then without a most.

    A line may have two values, the second under the last word of its name: "CQE mode RX: off TX: on" has CQE mode RX
    and CQE mode TX.
    """
    parts = [{}]  # type: list[dict[str, str]]
    for line in text.splitlines():
        if line.startswith(("Pre-set maximums", "Current hardware settings")):
            parts.append({})
            continue
        common = ""
        for name, value in re.findall(r"([A-Za-z][A-Za-z0-9 -]*?):\s*(\S+)(?=\s|$)", line):
            parts[-1][common + name] = value
            common = common or name.rpartition(" ")[0] + " "
    return (parts[1], parts[2]) if len(parts) == 3 else ({}, parts[-1])


def hash_of(text):
    """Return the letters of the fields that -n prints for a kind of flow; empty if the hash is not configured."""
    return "".join(letter for letter, line in HASH_FIELDS if re.search(r"^\s*%s" % re.escape(line), text, re.MULTILINE))


def features_of(text):
    """Return {feature: on or off} of the features that can be changed, from what -k prints."""
    found = re.findall(r"^\s*([A-Za-z0-9_.-]+): (on|off)( \[[^]]*fixed[^]]*\])?", text, re.MULTILINE)
    return {name: value for name, value, fixed in found if not fixed}


def groups_of(text):
    """Return {feature: [changeable features that -k shows below it]}.

    Switching such a group switches each of them, even one that differed from the others; so they are set and restored
    one by one.
    """
    changeable = features_of(text)
    groups = {}  # type: dict[str, list[str]]
    above = ""
    for line in text.splitlines():
        name = line.partition(":")[0]
        if not name.startswith(("\t", " ")):
            above = name
        elif name.strip() in changeable:
            groups.setdefault(above, []).append(name.strip())
    return groups


def settings_named(nic, name):
    """Return the settings of an interface that a name stands for: itself, or the features of that name.

    A feature's name is that of -k or of -K, such as gro; a group's name stands for the features that it switches.
    """
    if name in VALUES:
        return [name]
    text = asked("-k", nic) or ""
    long = LONG_NAMES.get(name, name)
    found = groups_of(text).get(long, [long] if long in features_of(text) else [])
    if not found:
        shown = re.search(r"^\s*%s: (\w+)" % re.escape(long), text, re.MULTILINE)
        why = "has %s %s, and it cannot be changed" % (long, shown.group(1)) if shown else "has no %s" % long
        raise AgentError("the interface %s %s." % (nic, why))
    return ["feature-" + one for one in found]


def asked(*arguments):
    """Return what ethtool prints; None if the interface does not support it."""
    try:
        return call(["ethtool", *arguments])
    except (AgentError, OSError):
        return None


def is_netns_local(nic):
    """Return True if the kernel (before Linux 6.12) keeps a NIC in its network namespace, such as a port of a switch.

    Virtual interfaces are not looked at: a host may have many of them.
    """
    text = asked("-k", nic) if os.path.exists("/sys/class/net/%s/device" % nic) else None
    return bool(re.search(r"^netns-local: on\b", text or "", re.MULTILINE))


def nic_value(nic, what):
    """Return a setting of an interface, as text. Raises AgentError if it has none."""
    if what.startswith("hash-"):
        text = asked("-n", nic, "rx-flow-hash", what[5:])
        found = None if text is None else hash_of(text)
    elif what.startswith("feature-"):
        found = features_of(asked("-k", nic) or "").get(what[8:])
    elif what == "channels":
        found = channels_text(values_of(asked("-l", nic) or ""))
    elif what in VALUES:
        show, _, line, _ = VALUES[what]
        found = values_of(asked(show, nic) or "")[1].get(line)
        found = None if found == NOT_THERE else found
    else:
        found = None
    if found is None:
        raise AgentError("the interface %s has no setting %s." % (nic, what))
    return found


def value_or_none(nic, what):
    """Return a setting of an interface, as text; None if it has none."""
    try:
        return nic_value(nic, what)
    except AgentError:
        return None


def set_nic_value(nic, what, value):
    if what.startswith("hash-"):
        call(["ethtool", "-N", nic, "rx-flow-hash", what[5:], value])
    elif what.startswith("feature-"):
        call(["ethtool", "-K", nic, SHORT_NAMES.get(what[8:], what[8:]), value])
    elif what == "channels":
        call(["ethtool", "-L", nic, *channel_words(values_of(asked("-l", nic) or ""), value)])
    else:
        _, option, _, word = VALUES[what]
        call(["ethtool", option, nic, word, value])


def number_of(values, name):
    """Return a number among values; 0 if there is none."""
    text = values.get(name, "")
    return int(text) if text.isdigit() else 0


def channel_kinds(most):
    """Return the words of -L that set a NIC's queues: combined if it has such queues, else rx and tx."""
    kinds = [kind for kind, line in CHANNELS.items() if number_of(most, line)]
    return kinds[:1] if "combined" in kinds else kinds


def lone_channels(values):
    """Return {rx or tx: how many} of the separate queues of a NIC that can have combined ones."""
    most, now = values
    kinds = ("rx", "tx") if channel_kinds(most) == ["combined"] else ()
    return {kind: number_of(now, CHANNELS[kind]) for kind in kinds if number_of(now, CHANNELS[kind])}


def channels_text(values):
    """Return the number of queues of a NIC; None without.

    If a kind has fewer than the others, although it could have as many, it is that of each kind, as `ethtool -L` takes
    them.
    """
    most, now = values
    lone = lone_channels(values)
    kinds = CHANNELS if lone else channel_kinds(most)
    counts = {kind: number_of(now, CHANNELS[kind]) for kind in kinds}
    highest = max(counts.values(), default=0)
    if not lone and all(count == min(highest, number_of(most, CHANNELS[kind])) for kind, count in counts.items()):
        return str(highest) if counts else None
    return " ".join("%s %d" % (kind, count) for kind, count in counts.items())


def channel_words(values, text):
    """Return the arguments of `ethtool -L` for a text from `channels_text`. ``values``: the NIC's present values.

    Each kind has at most its maximum. NICs refuse combined queues in addition to separate ones, so a number alone
    removes the latter.
    """
    if " " in text:
        return text.split()
    most = {kind: number_of(values[0], CHANNELS[kind]) for kind in channel_kinds(values[0])}
    counts = {kind: min(int(text), limit) for kind, limit in most.items()} or {"combined": int(text)}
    counts.update(dict.fromkeys(lone_channels(values), 0))
    return [word for kind, count in counts.items() for word in (kind, str(count))]


def most_of(nic, what):
    """Return (now, most) of a number that an interface has, or None; for several kinds of queues, the larger."""
    show, _, line, _ = VALUES[what]
    most, now = values_of(asked(show, nic) or "")
    lines = [CHANNELS[kind] for kind in channel_kinds(most)] if what == "channels" else [line]
    if not lines or not all(number_of(most, one) and now.get(one, "").isdigit() for one in lines):
        return None
    return max(number_of(now, one) for one in lines), max(number_of(most, one) for one in lines)
