# SPDX-License-Identifier: Apache-2.0
"""The agent on a testbed host: sets up roles and tunnels, runs traffic, samples the host.

It needs Python 3.9 or later, iproute2, the programs that send and count (iperf3; for pktgen nftables), and no other
part of the orchestrator's package. The controller sends it over SSH to the host's Python and then talks to it in JSON,
one object per line: a request ``{"op": NAME, ...}`` on standard input, and on standard output an answer ``{"ok": true,
...}`` or ``{"ok": false, "error": SENTENCE}``. At the end of standard input, whatever caused it, the agent stops its
children, removes its namespaces and returns the interfaces that were in them.

Each role lives in a network namespace that has the role's name. Private keys are made here and never leave this host.
"""

import contextlib
import errno
import json
import os
import signal
import sys

from orchestrator.agent.control import control
from orchestrator.agent.cpus import confine, place
from orchestrator.agent.generators import generator
from orchestrator.agent.hops import hops, remove_sink, sink
from orchestrator.agent.host import RUNTIME, AgentError
from orchestrator.agent.host_messages import LeaveAnswer, LeaveRequest
from orchestrator.agent.interrupts import queue_interrupts
from orchestrator.agent.ipsec import associations, ipsec
from orchestrator.agent.lease import LEASE, break_lease, lease, note_request
from orchestrator.agent.load import busy
from orchestrator.agent.messages import decode
from orchestrator.agent.module import put_module_back, variant
from orchestrator.agent.mtu import forget_paths, narrow_links, widen_links
from orchestrator.agent.nics import lent_to, taken_nics
from orchestrator.agent.pktgen import GENERATOR, pktgen
from orchestrator.agent.probes import KERNEL_LOG, clock, kernel_log, pause, watch_kernel_log
from orchestrator.agent.processes import PROCESSES, end_left_processes, remove_left_folders
from orchestrator.agent.removal import finish_removal, remove_tunnels
from orchestrator.agent.restarting import restart
from orchestrator.agent.roles import LINKS, links, neighbours, remove_namespaces, unlink
from orchestrator.agent.routes import routes
from orchestrator.agent.settings import read_settings, role_settings, write_settings
from orchestrator.agent.shaping import shape_links, unshape_links
from orchestrator.agent.survey import hello, provisioned, survey
from orchestrator.agent.traffic import expect_quiet, hold, measure, serve
from orchestrator.agent.tuning import tunables
from orchestrator.agent.tunnels import handshake_times, handshakes, ip_tunnels, peers, tunnels


def leave(request: LeaveRequest) -> LeaveAnswer:
    """Restore the host: namespaces, interfaces and the wireguard module.

    ``leftovers`` also restores what a killed agent left behind. What could not be restored (``left``) is tried again
    the next time.
    """
    PROCESSES.stop()
    GENERATOR.leave()
    with contextlib.suppress(AgentError):
        finish_removal()
    done, left = [], []
    if "made" in LINKS or request.leftovers:
        roles = sorted(os.listdir(RUNTIME + "/sys")) if os.path.isdir(RUNTIME + "/sys") else []
        nics = sorted(taken_nics())
        if programs := end_left_processes():
            said = ", ".join("%s (%d)" % program for program in sorted(programs.items()))
            done.append("what a killed agent had started was ended: %s" % said)
        left = remove_namespaces()
        remove_left_folders()
        roles, nics = (
            [role for role in roles if role not in lent_to()],
            [nic for nic in nics if nic not in taken_nics()],
        )
        done += ["the namespaces %s were removed" % ", ".join(roles)] if roles else []
        done += ["the interfaces %s were given back" % ", ".join(nics)] if nics else []
        if put_module_back():
            done.append("the wireguard module was restored")
        LINKS.clear()
    if "held" in LEASE:
        LEASE["held"].truncate(0)  # still locked until the agent ends, but no longer naming a holder
    return {"done": done, "left": left}


OPERATIONS = {
    f.__name__: f
    for f in (
        clock,
        pause,
        control,
        hello,
        survey,
        busy,
        provisioned,
        lease,
        break_lease,
        confine,
        place,
        tunables,
        queue_interrupts,
        read_settings,
        write_settings,
        role_settings,
        variant,
        leave,
        restart,
        unlink,
        links,
        neighbours,
        shape_links,
        unshape_links,
        widen_links,
        narrow_links,
        forget_paths,
        tunnels,
        peers,
        routes,
        remove_tunnels,
        ip_tunnels,
        ipsec,
        associations,
        handshakes,
        handshake_times,
        generator,
        serve,
        expect_quiet,
        hold,
        measure,
        pktgen,
        sink,
        remove_sink,
        hops,
        watch_kernel_log,
        kernel_log,
    )
}


# Those that prepare a trial: they do not wait for what is left of the devices of the trial before.
BESIDE_A_REMOVAL = {
    f.__name__
    for f in (
        clock,
        watch_kernel_log,
        variant,
        tunnels,
        peers,
        ip_tunnels,
        ipsec,
        routes,
        handshakes,
        shape_links,
        unshape_links,
        widen_links,
        narrow_links,
        forget_paths,
        generator,
        serve,
        hold,
    )
}
REQUESTS = {name: function.__annotations__["request"] for name, function in OPERATIONS.items()}


def answer(message):
    """Carry out one request and return its answer.

    Raises EOFError at the end of standard input, and nothing else.
    """
    try:
        note_request()
        request = decode(message, REQUESTS)
        if request.operation not in BESIDE_A_REMOVAL:
            finish_removal()
        result = {"ok": True, **OPERATIONS[request.operation](request)}
    except EOFError:
        raise
    except AgentError as error:
        result = {"ok": False, "error": str(error)}
    except OSError as error:
        where = " of %s" % error.filename if error.filename else ""
        full = "the disk%s is full: free some space there" % where
        said = full if error.errno == errno.ENOSPC else str(error)
        result = {"ok": False, "error": "%s (in the agent's %r)." % (said, message.get("op"))}
    except Exception as error:
        result = {
            "ok": False,
            "error": "%s in the agent's %r: %s" % (type(error).__name__, message.get("op"), error),
        }
    return result


def main():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1))
    with contextlib.suppress(OSError):  # not allowed to read it: a request for it reports that
        KERNEL_LOG.watch()
    received = os.fdopen(os.dup(0), "r", encoding="utf-8")
    try:
        while True:
            line = received.readline()
            if not line:
                break
            sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
            sys.stdout.flush()
    except EOFError:
        pass
    finally:
        leave(LeaveRequest())
