# SPDX-License-Identifier: Apache-2.0
"""The spec's own probes during the measured window: commands in roles, and counts of the kernel's tracepoints.

A tracepoint is counted by its own instance of tracefs (Documentation/trace/ftrace.rst), whose small buffer is
overwritten; the kernel knows how many events went into it.
"""

import glob
import os

from orchestrator.agent.host import AgentError, read_text, set_and_check, write_text
from orchestrator.agent.polls import TRACING, mount_tracing

INSTANCES = TRACING + "/instances/orch-count-"


class Attached:
    """Commands and counts, from ``start`` to ``stop``.

    ``commands``, which ``traffic`` starts and ends, and ``tracepoints``: as in `AttachedProbes`.
    """

    def __init__(self, traffic, commands, tracepoints):
        self.traffic, self.commands, self.tracepoints = traffic, commands, tracepoints
        self.counted = {}  # type: dict[str, int]

    def __enter__(self):
        if not self.tracepoints:
            return self
        mount_tracing()
        remove_counts()
        try:
            for number, wanted in enumerate(self.tracepoints):
                prepare_count(INSTANCES + str(number), wanted)
        except AgentError:
            remove_counts()
            raise
        return self

    def __exit__(self, *exception):
        if self.tracepoints:
            remove_counts()

    def start(self):
        for command in self.commands:
            self.traffic.start(command["role"], command["name"], command["arguments"], group=True)
        for number, _ in enumerate(self.tracepoints):
            write_text(INSTANCES + str(number) + "/tracing_on", "1")

    def stop(self):
        """End the counts."""
        for number, _ in enumerate(self.tracepoints):
            write_text(INSTANCES + str(number) + "/tracing_on", "0")
        for number, wanted in enumerate(self.tracepoints):
            self.counted[wanted["name"]] = events_in(INSTANCES + str(number))

    def end(self):
        """Send SIGINT to commands that do not end by themselves."""
        self.traffic.interrupt([command["name"] for command in self.commands if not command["timed"]])


def prepare_count(instance, wanted):
    system, _, event = wanted["event"].partition(":")
    if not os.path.isdir("%s/events/%s/%s" % (TRACING, system, event)):
        raise AgentError("this kernel does not offer the tracepoint %s. Change the probe." % wanted["event"])
    os.mkdir(instance)
    set_and_check(instance + "/tracing_on", "0")
    write_text(instance + "/buffer_size_kb", "4")
    folder = "%s/events/%s/%s" % (instance, system, event)
    if wanted["filter"] is not None:
        try:
            write_text(folder + "/filter", wanted["filter"])
        except AgentError as error:
            raise AgentError(
                "the tracepoint %s takes no filter %s. Change the probe." % (wanted["event"], wanted["filter"])
            ) from error
    set_and_check(folder + "/enable", "1")


def events_in(instance):
    """Return how many events went into an instance's buffers, including those that were overwritten."""
    names = ("entries", "overrun", "dropped events")
    lines = [
        line.partition(":")
        for folder in glob.glob(instance + "/per_cpu/cpu[0-9]*")
        for line in read_text(folder + "/stats").splitlines()
    ]
    return sum(int(value) for name, _, value in lines if name in names)


def remove_counts():
    """Remove the instances of this program, also those that a killed agent left."""
    for instance in glob.glob(INSTANCES + "*"):
        write_text(instance + "/tracing_on", "0")
        os.rmdir(instance)
