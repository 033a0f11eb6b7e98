# SPDX-License-Identifier: Apache-2.0
"""Parsing of the reports that the iperf3 processes of a pair printed. Pure.

The receiver counts: the server what the client sends (forward), the client what the server sends (reverse). Both count
with --bidir, which calls the second direction *_bidir_reverse.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from orchestrator.measure.streams import BadReport, Stream
from orchestrator.tools.iperf3.pairs import Pair
from orchestrator.tools.iperf3.traffic import Iperf3Traffic

_WHOLE = 0.9  # of a second: less than that at the end is no second
_LONGEST_S = 3600.0  # of an interval; a longer one is damage


def read_pair(pair: Pair, traffic: Iperf3Traffic, processes: Mapping[str, Mapping[str, Any]]) -> list[Stream]:
    """Return the result of a pair in each direction, from the processes that the agents returned. Raises BadReport."""
    names = {"client": f"client-{pair.name}", "server": f"server-{pair.name}"}
    for name in names.values():
        if name not in processes:
            raise BadReport(f"The agents returned no result of iperf3 {name}.")
    reports = {end: _report(name, processes[name]) for end, name in names.items()}
    directions = ("forward", "reverse") if traffic.direction == "both" else (traffic.direction,)
    return [_stream(pair, traffic, direction, names, reports) for direction in directions]


def versions(processes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the versions of iperf3 that made the reports, as they call themselves."""
    found = set()
    for process in processes.values():
        try:
            said = json.loads(process["out"])["start"]["version"]
        except (ValueError, KeyError, TypeError):
            continue
        found.add(str(said))
    return sorted(found)


def _stream(
    pair: Pair, traffic: Iperf3Traffic, direction: str, names: Mapping[str, str], reports: Mapping[str, dict[str, Any]]
) -> Stream:
    sender, receiver = ("client", "server") if direction == "forward" else ("server", "client")
    second = "_bidir_reverse" if traffic.direction == "both" and direction == "reverse" else ""
    got, sent = _Part(names[receiver], reports[receiver]), _Part(names[sender], reports[sender])
    section, sum_sent = f"sum_received{second}", f"sum_sent{second}"
    seconds, received = got.number(section, "seconds"), got.number(section, "bytes")
    # A tunnel that carries nothing is broken. A connection that shares tunnels may get nothing for a while.
    if seconds <= 0 or (received <= 0 and pair.tunnel is not None):
        raise BadReport(f"iperf3 {names[receiver]} counted {received:.0f} bytes in {seconds:g} s.")
    tcp = traffic.protocol == "tcp"
    packets = 0 if tcp else int(got.number(section, "packets"))
    # A late datagram was first counted as lost and is subtracted when it arrives; if those events are on different
    # sides of the warm-up's end, the number of lost datagrams can be negative.
    lost = 0 if tcp else int(got.number(section, "lost_packets", least=-packets))
    return Stream(
        tunnel=pair.tunnel,
        throughput_bps=received * 8 / seconds,
        duration_s=seconds,
        received_bytes=int(received),
        retransmits=int(sent.number(sum_sent, "retransmits")) if tcp else 0,
        sent_bytes=int(sent.number(sum_sent, "bytes")),
        rates_bps=_rates(reports[receiver], f"sum{second}"),
        where=pair.where,
        direction=direction,
        packets=packets,
        lost=max(0, lost),
        jitter_s=None if tcp else got.number(section, "jitter_ms") / 1e3,
        warm_up_bytes=_warm_up_bytes(reports[receiver], f"sum{second}"),
        ran_s=_ran_s(reports["client"]),
    )


def _report(name: str, process: Mapping[str, Any]) -> dict[str, Any]:
    if process["status"] is None:
        raise BadReport(f"iperf3 {name} did not end in time and was stopped.")
    try:
        value = json.loads(process["out"])
    except (ValueError, RecursionError):
        said = (process["err"] or process["out"]).strip()[-200:] or "nothing"
        raise BadReport(f"iperf3 {name} (status {process['status']}) gave no report; it printed {said!r}.") from None
    if not isinstance(value, dict):
        raise BadReport(f"iperf3 {name} printed something that is not a report.")
    if value.get("error"):
        raise BadReport(f"iperf3 {name} says: {value['error']}.")
    if process["status"] != 0:
        raise BadReport(f"iperf3 {name} ended with status {process['status']}: {process['err'].strip()[-200:]}")
    return value


class _Part:
    """A report with the name of the process that printed it."""

    def __init__(self, name: str, report: Mapping[str, Any]) -> None:
        self._name, self._report = name, report

    def number(self, section: str, key: str, least: float = 0) -> float:
        """Return a number from the report's end section. Raises BadReport if there is none."""
        end = self._report.get("end")
        part = end.get(section) if isinstance(end, dict) else None
        value = part.get(key) if isinstance(part, dict) else None
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value < 1e18:
            raise BadReport(f"The report of iperf3 {self._name} has no end.{section}.{key}.")
        return float(value)


def _rates(report: Mapping[str, Any], section: str) -> tuple[float, ...]:
    """Return the receiver's rate in each second after the warm-up; empty if the report has none.

    An interval is about a second long; a process that waits for a CPU ends it late, and then its bytes are those of
    several seconds. A last second that is not over has no rate.
    """
    bits: list[float] = []
    covered: list[float] = []
    begin = 0.0
    for part in _intervals(report, section):
        seconds, rate = part.get("seconds"), part.get("bits_per_second")
        if part.get("omitted") or not isinstance(seconds, int | float) or not isinstance(rate, int | float):
            continue
        if not 0 <= seconds < _LONGEST_S:
            continue
        end = begin + seconds
        for second in range(int(begin), math.ceil(end)):
            if second == len(bits):
                bits.append(0.0)
                covered.append(0.0)
            here = min(end, second + 1) - max(begin, second)
            bits[second] += rate * here
            covered[second] += here
        begin = end
    return tuple(number / part for number, part in zip(bits, covered, strict=True) if part > _WHOLE)


def _warm_up_bytes(report: Mapping[str, Any], section: str) -> int:
    """Return what the receiver counted in the warm-up, whose intervals are called omitted."""
    counted = [part.get("bytes") for part in _intervals(report, section) if part.get("omitted")]
    return sum(int(number) for number in counted if isinstance(number, int | float) and 0 <= number < 1e18)


def _ran_s(report: Mapping[str, Any]) -> float:
    """Return the duration of all intervals together, those of the warm-up included."""
    lengths = [part.get("seconds") for part in _intervals(report, "sum")]
    return sum(float(length) for length in lengths if isinstance(length, int | float) and 0 <= length < 1e9)


def _intervals(report: Mapping[str, Any], section: str) -> list[Mapping[str, Any]]:
    intervals = report.get("intervals")
    found = [one.get(section) for one in intervals if isinstance(one, dict)] if isinstance(intervals, list) else []
    return [part for part in found if isinstance(part, dict)]
