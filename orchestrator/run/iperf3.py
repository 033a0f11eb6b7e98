# SPDX-License-Identifier: Apache-2.0
"""The iperf3 driver: command lines for a trial, and the numbers in what iperf3 printed. Pure.

One server and one client process a tunnel: the threads of one process share a core in the lab, and iperf3 before 3.16
is single-threaded anywhere.
"""

import json
from collections.abc import Mapping
from typing import Any

from orchestrator.run.layout import receiver_address, sender_address
from orchestrator.run.streams import BadReport, Stream

FIRST_PORT = 5201


def servers(role: str, tunnels: int) -> list[dict[str, Any]]:
    """The agent's ``servers``, one a tunnel."""
    return [
        {
            "role": role,
            "name": f"server-{i}",
            "address": receiver_address(i),
            "port": FIRST_PORT,
            "arguments": [
                *("iperf3", "--server", "--one-off", "--json", "--bind", receiver_address(i)),
                *("--port", str(FIRST_PORT), "--idle-timeout", "30"),
            ],
        }
        for i in range(1, tunnels + 1)
    ]


def clients(role: str, tunnels: int, streams: int, warm_up_s: float, duration_s: float) -> list[dict[str, Any]]:
    """The agent's ``clients``: TCP from the sender to the receiver of each tunnel, ``streams`` connections each.

    iperf3 takes whole seconds only for the warm-up that it leaves out (--omit) and for the duration.
    """
    return [
        {
            "role": role,
            "name": f"client-{i}",
            "arguments": [
                *(
                    "iperf3",
                    "--client",
                    receiver_address(i),
                    "--bind",
                    sender_address(i),
                    "--port",
                    str(FIRST_PORT),
                ),
                *("--json", "--omit", str(round(warm_up_s)), "--time", str(round(duration_s))),
                *("--parallel", str(streams), "--connect-timeout", "5000"),
            ],
        }
        for i in range(1, tunnels + 1)
    ]


def _report(name: str, process: Mapping[str, Any]) -> dict[str, Any]:
    if process["status"] is None:
        raise BadReport(f"iperf3 {name} did not end in time and was stopped.")
    try:
        value = json.loads(process["out"])
    except ValueError:
        said = (process["err"] or process["out"]).strip()[-200:] or "nothing"
        raise BadReport(f"iperf3 {name} (status {process['status']}) gave no report; it printed {said!r}.") from None
    if not isinstance(value, dict):
        raise BadReport(f"iperf3 {name} printed something that is no report.")
    if value.get("error"):
        raise BadReport(f"iperf3 {name} says: {value['error']}.")
    if process["status"] != 0:
        raise BadReport(f"iperf3 {name} ended with status {process['status']}: {process['err'].strip()[-200:]}")
    return value


def _number(report: Mapping[str, Any], name: str, section: str, key: str) -> float:
    end = report.get("end")
    part = end.get(section) if isinstance(end, dict) else None
    value = part.get(key) if isinstance(part, dict) else None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1e18:
        raise BadReport(f"The report of iperf3 {name} has no end.{section}.{key}.")
    return float(value)


def read_stream(tunnel: int, processes: Mapping[str, Mapping[str, Any]]) -> Stream:
    """The result of one tunnel from the processes that the agent returned. Raises BadReport."""
    for name in (f"client-{tunnel}", f"server-{tunnel}"):
        if name not in processes:
            raise BadReport(f"iperf3 {name} left no trace.")
    client = _report(f"client-{tunnel}", processes[f"client-{tunnel}"])
    server = _report(f"server-{tunnel}", processes[f"server-{tunnel}"])
    name = f"server-{tunnel}"
    seconds = _number(server, name, "sum_received", "seconds")
    received = _number(server, name, "sum_received", "bytes")
    if seconds <= 0 or received <= 0:
        raise BadReport(f"iperf3 {name} counted {received:.0f} bytes in {seconds:g} s.")
    return Stream(
        tunnel=tunnel,
        throughput_bps=received * 8 / seconds,
        duration_s=seconds,
        received_bytes=int(received),
        retransmits=int(_number(client, f"client-{tunnel}", "sum_sent", "retransmits")),
        sent_bytes=int(_number(client, f"client-{tunnel}", "sum_sent", "bytes")),
        rates_bps=_rates(server),
    )


def _rates(server: Mapping[str, Any]) -> tuple[float, ...]:
    """What the receiver counted in each whole interval (1 s) after the warm-up; empty where the report has none."""
    intervals = server.get("intervals")
    rates = []
    for interval in intervals if isinstance(intervals, list) else ():
        part = interval.get("sum") if isinstance(interval, dict) else None
        if isinstance(part, dict) and not part.get("omitted"):
            seconds, rate = part.get("seconds"), part.get("bits_per_second")
            if isinstance(seconds, int | float) and isinstance(rate, int | float) and seconds > 0.9:
                rates.append(float(rate))
    return tuple(rates)
