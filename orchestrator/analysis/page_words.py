# SPDX-License-Identifier: Apache-2.0
"""Descriptions of a run and formats of numbers for the report's page."""

import functools
import math
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures.captions import count
from orchestrator.analysis.quantity import Quantity
from orchestrator.analysis.readable import number
from orchestrator.analysis.standings import listed
from orchestrator.paths import CHECKOUT, EXPERIMENTS, KERNEL, as_argument
from orchestrator.spec import Cell
from orchestrator.spec.catalog import is_file_name
from orchestrator.spec.factors import factor_of, ordered
from orchestrator.spec.variants import OWN, UPSTREAM, Described, read_variants
from orchestrator.store.clock import duration

if TYPE_CHECKING:
    import pandas as pd


def levels_of(row: Mapping[Any, Any], paths: Iterable[str]) -> list[str]:
    """Return the levels of further factors in a table's row, as its columns show them; "-" for one that it lacks."""
    cell = Cell.of(dict(row))
    return [factor_of(path).show(cell[path]) if path in cell else "-" for path in paths]


def settings_of(row: Mapping[Any, Any]) -> list[str]:
    """Return what distinguishes a table's row beside variant, cores and tunnels, in words: packets of 64 B; bitrate
    100 Mbit/s."""
    return Cell.of(dict(row)).words()[3:]


def compared(run: Run) -> str:
    """Return a sentence on what was compared."""
    planned = run.planned
    if planned.empty:
        return "The plan has no trial."
    cores, tunnels = (_numbers(planned[f"{of}s"], of) for of in ("core", "tunnel"))
    rounds = count(int(planned["round"].nunique()), "round")
    several = len(run.variants) > 1
    what = f"{listed(run.variants)} {'were compared' if several else 'was measured'}"
    where = {
        "site-to-site": "between a client and a server behind two gateways",
        "gateway-to-gateway": "between two gateways",
    }
    quantity = "packet rate" if run.counts_packets else _in_words(run.quantity)
    way = where.get(run.topology, run.topology)
    return (
        f"{count(len(run.variants), 'variant')} of {_systems(run)}: {what}, by the {quantity} {way}, with "
        f"{cores} and {tunnels}, in {rounds}{' in which they alternate' if several else ''}."
    )


def _numbers(levels: "pd.Series", of: str) -> str:
    """Return the different levels of a number of things, such as "1, 2 and 4 cores"."""
    numbers = listed([str(n) for n in sorted({int(n) for n in levels})])
    return f"{numbers} {of}{'s' * (numbers != '1')}"


def _in_words(quantity: Quantity) -> str:
    if quantity.is_throughput:
        return quantity.label.lower()
    return f"{quantity.label} in {quantity.unit} ({quantity.direction})"


def _systems(run: Run) -> str:
    """Return the systems of a run's variants, in words."""
    described = run.meta.get("variants") or {}
    found = [_system(described.get(name) or {}) for name in run.variants]
    return listed(list(dict.fromkeys(found))) or "WireGuard"


def _system(variant: Mapping[str, Any]) -> str:
    """Return the system that makes a variant's tunnels, as recorded in the run."""
    return str(variant.get("system_label") or variant.get("system") or "WireGuard")


def described(name: str, variant: Mapping[str, Any] | None) -> str:
    """Return a variant's description, module and settings, as recorded in the run.

    Runs from before descriptions were stored get that of the shipped variant of this name with the same settings.
    """
    if not variant:
        return "not described in this run"
    told = variant.get("description") or _shipped(name, variant)
    if not told:
        return _built(variant)
    return told if variant.get("build") == UPSTREAM else f"{told} ({_built(variant)})"


def _shipped(name: str, variant: Mapping[str, Any]) -> str:
    """Return the description of the shipped variant of a name; empty if there is none, or if its settings differ."""
    known = _shipped_variants().get(name)
    if known is None or known.build != variant.get("build"):
        return ""
    settings = {"threaded": variant.get("threaded"), **(variant.get("settings") or {})}
    settings |= {"cpus": "own"} if variant.get("pinned") else {}
    texts = {key: str(value).lower() for key, value in settings.items()}
    return known.entry.description if texts == {"threaded": "false", **known.entry.settings} else ""


@functools.cache
def _shipped_variants() -> dict[str, Described]:
    return {one.name: one for one in read_variants(KERNEL / "variants.yaml").described}


def _built(variant: Mapping[str, Any]) -> str:
    """Return a variant's module and settings."""
    if system := variant.get("system"):
        settings = variant.get("settings") or {}
        return str(variant.get("is") or ", ".join([system, *map(str, settings.values())]))
    unpatched = variant.get("build") == UPSTREAM
    whose = "own code" if str(variant.get("build")).startswith(OWN) else "our module"
    module = "unmodified WireGuard" if unpatched else f"{whose}, build {variant.get('build')}"
    polls = "NAPI polls in threads" if variant.get("threaded") else ""
    settings = ", ".join(f"{key} = {value}" for key, value in sorted((variant.get("settings") or {}).items()))
    pinned = "each tunnel's work pinned to a CPU" if variant.get("pinned") else ""
    return "; ".join(filter(None, (module, polls, settings, pinned)))


def traffic_in_words(meta: Mapping[str, Any]) -> str:
    """Return the traffic of a run's trials, in words. Levels of factors are joined by "or"."""
    trials = _planned(meta)
    first = next(trials, None)
    if first is None:
        return "not recorded"
    traffic, varied = first["traffic"], _levels_of_traffic(first, trials)

    def said(key: str, otherwise: str) -> str:
        return varied.get(f"traffic.{key}", otherwise)

    lasts = said("duration", f"{traffic['duration_s']:g} s")
    warm_up = said("warm_up", f"{traffic['warm_up_s']:g} s")
    times = f"{lasts} after {warm_up} of warm-up"
    if traffic.get("tool") == "pktgen":
        flows = said("flows", str(traffic.get("flows") or 1))
        return f"pktgen, {flows} UDP flow{'s' * (flows != '1')} in each tunnel, loads of {lasts}, warm-up {warm_up}"
    if command := traffic.get("command"):
        per = "in each tunnel" if command["each"] == "tunnel" else "for all tunnels"
        number = f", {command['combine']} of the tunnels" if command["each"] == "tunnel" else ""
        return f"`{shlex.join(command['client'])}` {per}{number}, {times}"
    if traffic.get("quantity"):
        common = ("tool", "quantity", "warm_up_s", "duration_s")
        keys = [f"{key} {said(key, str(value))}" for key, value in sorted(traffic.items()) if key not in common]
        return ", ".join([str(traffic["tool"]), *keys, times])
    protocol = said("protocol", str(traffic.get("protocol"))).upper().replace(" OR ", " or ")
    streams = said("streams", str(traffic.get("streams") or 1))
    what = f"{streams} stream{'s' * (streams != '1')} in each tunnel"
    if traffic.get("paths") == "ecmp":
        pairs = said("connections", str(traffic.get("connections") or "as many as tunnels"))
        what = f"connections: {pairs}, spread over the tunnels by multipath routes"
        what += f", of {streams} streams each" if streams != "1" else ""
    return f"{traffic.get('tool')}, {protocol}, {what}, {times}"


def counted_by(meta: Mapping[str, Any]) -> str:
    """Return what a run's throughput is, as the beginning of a sentence."""
    if any(trial["traffic"].get("counted_at") == "interfaces" for trial in _planned(meta)):
        return "What the tunnels counted where the traffic arrives"
    return "What the receivers counted"


def _planned(meta: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (trial for block in (meta.get("plan") or {}).get("blocks") or () for trial in block["trials"])


def _levels_of_traffic(first: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the levels of the traffic's keys that are factors in the trials of a run, by path, such as: 1 or 8."""
    paths = [path for path in first["levels"] if path.startswith("traffic.")]
    found: dict[str, dict[Any, None]] = {path: {first["levels"][path]: None} for path in paths}
    for trial in others if paths else ():
        for path in paths:
            found[path][trial["levels"].get(path, first["levels"][path])] = None
    return {
        path: " or ".join(factor_of(path).show(level) for level in sorted(levels, key=ordered))
        for path, levels in found.items()
    }


def commands_again(meta: Mapping[str, Any], path: Path) -> list[str]:
    """Return the commands that measure a run again and that draw it again. ``path``: the run's folder.

    A run in the checkout is named by its path there, any other as RUN, since the page may travel with its folder. A
    spec that is not one of the project's is not named: the run contains it, but not a testbed file beside it.
    """
    words = ["./orch", "run", f"exp/{meta.get('experiment')}.yaml"]
    words += ["--tier", str(meta["tier"])] if meta.get("tier") else []
    words += [word for override in meta.get("overrides") or () for word in ("--set", str(override))]
    testbed = (meta.get("arguments") or {}).get("testbed")
    words += ["--testbed", str(testbed)] if testbed else []
    beside = str((meta.get("spec") or {}).get("testbed") or "")
    on = f" --testbed {as_argument(beside)}" if not testbed and is_file_name(beside) else ""
    inside = path.resolve().is_relative_to(CHECKOUT)
    run = as_argument(path.resolve().relative_to(CHECKOUT)) if inside else "RUN"
    known = (EXPERIMENTS / f"{meta.get('experiment')}.yaml").is_file()
    return [
        *([shlex.join(words)] if known else []),
        f"./orch rerun {run}{on}    # the same spec and seed, then a comparison with this run",
        f"./orch report {run}    # these figures and this page, from what was stored",
    ]


def took(meta: Mapping[str, Any]) -> str:
    """Return the total duration of a run's completed sessions, in words; empty if unknown."""
    seconds = 0.0
    for session in meta.get("sessions") or [meta]:
        try:
            ended, started = (datetime.fromisoformat(session[name]) for name in ("ended_at", "started_at"))
        except (KeyError, TypeError, ValueError):
            continue  # killed, or still running
        seconds += (ended - started).total_seconds()
    if not seconds:
        return ""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def crypto(trials: "pd.DataFrame") -> list[str]:
    """Return the implementations of the ciphers that the trials recorded."""
    return sorted({str(value) for value in trials["crypto"].dropna()})


def kpps(packets_per_second: float | None) -> str:
    """Return a rate in thousands of packets per second."""
    return number(None if packets_per_second is None else packets_per_second / 1e3)


def percent(share: float | None) -> str:
    """Return a share in whole percent; a dash for a missing one."""
    return "-" if share is None or math.isnan(share) else f"{share * 100:.0f} %"


def share_in_percent(share: float | None) -> str:
    """Return a share in percent with three significant digits; a dash for a missing one."""
    return "-" if share is None or math.isnan(share) else f"{number(share * 100)} %"


def whole(number: float | None) -> str:
    """Return a number without decimals; a dash for a missing one."""
    return "-" if number is None or math.isnan(number) else f"{number:,.0f}"


def duration_in_words(seconds: float | None) -> str:
    """Return a duration with its unit; a dash for a missing one."""
    return "-" if seconds is None or math.isnan(seconds) else duration(seconds)


def limit(value: Any, seconds: bool) -> str:
    """Return the value of a limit, as specs have it: a time or a share in percent; other values as they are."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return duration(value) if seconds else f"{value * 100:.6g} %"


def recorded(value: Any) -> str:
    """Return a value that was recorded about a computer, as text."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {recorded(one)}" for name, one in sorted(value.items()))
    if isinstance(value, list | tuple):
        return ", ".join(map(recorded, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not readable here" if value is None else str(value)


def coded(text: str) -> Markup:
    """Return a text for HTML in which what is between backticks is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


# The filters of the page's template.
FILTERS = {
    **{"number": number, "count_of": count, "kpps": kpps, "percent": percent, "share": share_in_percent},
    **{"whole": whole, "duration": duration_in_words, "limit": limit, "recorded": recorded, "coded": coded},
    "settings": settings_of,
}


def filters_of(run: Run) -> dict[str, Callable[..., Any]]:
    """Return the filters that depend on the run: a value in the page's unit, and a row's levels of further
    factors."""
    scale, paths = run.quantity.scale, run.further_factors
    return {
        "value": lambda value: number(None if value is None else value / scale),
        "levels": functools.partial(levels_of, paths=paths),
    }
