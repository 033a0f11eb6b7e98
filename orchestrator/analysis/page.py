# SPDX-License-Identifier: Apache-2.0
"""The report's page: one file for a browser, with what was measured, where and how, and what failed."""

import base64
import contextlib
import functools
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup

from orchestrator.analysis import page_words
from orchestrator.analysis.baselines import baselines_of
from orchestrator.analysis.cells import cells, efficiencies, ratios
from orchestrator.analysis.claims import asks_for_claims, own_claims_file
from orchestrator.analysis.claims.verdicts import NOT_TESTABLE
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import value_round
from orchestrator.analysis.figures.captions import context_notes, count, realtime_note
from orchestrator.analysis.figures.numbers import colour_on_page, for_page
from orchestrator.analysis.figures.parts import NOTHING
from orchestrator.analysis.figures.style import look
from orchestrator.analysis.headline import Headline, headline
from orchestrator.analysis.latency import latency_cells, timed_beside_traffic, too_few_answers
from orchestrator.analysis.limits import costs, limits
from orchestrator.analysis.limits.costs import COUNTED, not_readable
from orchestrator.analysis.limits.explain import WAITING
from orchestrator.analysis.limits.rankings import core_in_words, reversals
from orchestrator.analysis.noise_floor import noise_floor
from orchestrator.analysis.packets import GOALS, packet_cells
from orchestrator.analysis.profiles.files import FOLDER, file_stem
from orchestrator.analysis.profiles.flame import flame_graph
from orchestrator.analysis.profiles.remarks import stage_remarks
from orchestrator.analysis.quality import quality_notes
from orchestrator.analysis.standings import Standing, standings
from orchestrator.analysis.virtual import controls, summary
from orchestrator.errors import UserError
from orchestrator.listing import ending_in
from orchestrator.paths import cache_home
from orchestrator.spec.factors import factor_of
from orchestrator.store.clock import links_note
from orchestrator.store.reading import read_stopping

if TYPE_CHECKING:
    import pandas as pd

    from orchestrator.analysis.claims import ClaimVerdict

_TEMPLATE = Path(__file__).with_name("page.html.j2")
_BROAD = 300.0  # points; a wider figure takes the page's width
# Defaults for entries of run.json that older versions and other programs did not write.
_MAY_BE_ABSENT = (
    *("run_id", "description", "tier", "started_at", "state", "versions", "source", "overrides", "spec_text"),
)

_OF_A_TESTBED = ("name", "label", "provider", "emulated", "hosts")


def render(
    run: Run, figures: Path, verdicts: Sequence["ClaimVerdict"], prepared: Callable[..., str] | None = None
) -> str:
    """Return the page, with the figures of a folder (NAME.svg, and its caption NAME.txt) in it.

    ``prepared``: from `prepare`, if the caller has it. The page loads no other files, and a browser runs no script in
    it but its own: everything from a run is inserted as text.
    """
    context = context_notes(run)
    paths = sorted(ending_in(figures, ".svg"), key=lambda path: path.stem)
    labels = _labels([path.stem for path in paths])
    drawn = [_figure(path, context, labels.get(path.stem, "")) for path in paths]
    return (prepared or prepare(run, verdicts))(
        figures=[figure for figure in drawn if not figure["notes"].startswith(NOTHING)],
        empty=[figure for figure in drawn if figure["notes"].startswith(NOTHING)],
        context=context,
    )


def prepare(run: Run, verdicts: Sequence["ClaimVerdict"]) -> Callable[..., str]:
    """Return a function that renders the page, given its figures; the page's data on the run do not depend on them."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FileSystemLoader(_TEMPLATE.parent),
        bytecode_cache=_compiled(),
    )
    quantity = run.quantity
    environment.filters |= page_words.FILTERS
    environment.filters |= page_words.filters_of(run)
    template = environment.get_template(_TEMPLATE.name)
    meta = {**dict.fromkeys(_MAY_BE_ABSENT), **run.meta}
    script = _TEMPLATE.with_name("page.js").read_text(encoding="utf-8")
    found = standings(run)
    first = headline(run, found)
    prices = costs(run)
    return functools.partial(
        template.render,
        run=run,
        q=quantity,
        meta=meta,
        plan=meta.get("plan") or {},
        testbed={**dict.fromkeys(_OF_A_TESTBED), **run.testbed},
        style=Markup(_TEMPLATE.with_name("page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        headline=first,
        bars=_bars(run, first),
        places=_places(found),
        colours={name: colour_on_page(colour) for name, (colour, _, _) in look(run.variants).items()},
        verdicts=verdicts,
        not_testable=NOT_TESTABLE,
        asks_for_claims=asks_for_claims(run),
        own_claims=own_claims_file(run),
        judged=Counter(verdict.verdict for verdict in verdicts),
        compared=page_words.compared(run),
        further=[factor_of(path).label for path in run.further_factors],
        described={name: page_words.described(name, (meta.get("variants") or {}).get(name)) for name in run.variants},
        traffic=page_words.traffic_in_words(meta),
        counted_by=page_words.counted_by(meta),
        again=page_words.commands_again(meta, run.path),
        counts=run.counts(),
        took=page_words.took(meta),
        cells=[] if run.counts_packets else cells(run).to_dict("records"),
        packets=packet_cells(run).to_dict("records") if run.counts_packets else [],
        goals={name: what for name, (_, _, what) in GOALS.items()},
        limited=_limited(run, prices),
        reversed=[one.sentence for one in reversals(run)],
        busy_core=core_in_words(run),
        waiting=WAITING if any(load.counts_waiting for load in run.loads) else "",
        counted=[name for name in COUNTED if prices[name].notna().any()],
        not_readable=not_readable(prices),
        profiles=[
            {"cell": str(one.key), "file": f"{FOLDER}/{file_stem(one)}", "svg": Markup(flame_graph(one))}
            for one in run.profiles
        ],
        stage_remarks=list(stage_remarks(run).values()),
        round_trips=_round_trips(run),
        too_few_answers=too_few_answers(run),
        floors=noise_floor(run).to_dict("records"),
        steadiness=quality_notes(run),
        round_by_round=value_round.TITLE,
        ratios=ratios(run).to_dict("records"),
        efficiencies=efficiencies(run).to_dict("records"),
        baselines=[
            {
                "cores": cell.cores,
                "pairs": ", ".join([f"{count(cell.tunnels, 'pair')} of addresses", *cell.words()[3:]]),
                quantity.of("median"): value,
            }
            for cell, value in sorted(baselines_of(run).items())
        ],
        not_ok=run.attempts[run.attempts["status"] != "ok"].to_dict("records"),
        marked=run.trials[(run.trials["status"] == "ok") & (run.trials["marks"].fillna("") != "")].to_dict("records"),
        sessions=meta.get("sessions") or [],
        given_up=meta.get("given_up") or [],
        stopping=_stopping(read_stopping(run.path)),
        limits=(meta.get("spec") or {}).get("limits") or {},
        realtime=realtime_note(run.trials),
        crypto=page_words.crypto(run.trials),
        computer=(meta.get("environment") or {}).get("computer") or {},
        time=run.virtual_time,
        time_notes=run.virtual_time.notes[1:] if run.virtual_time else [],
        links_note=links_note(run.testbed),
        bent=summary(run),
        controls=controls(run).to_dict("records") if run.virtual_time else [],
        dilated=_dilated(run),
        host=(meta.get("environment") or {}).get("testbed") or {},
    )


class _Compiled(FileSystemBytecodeCache):
    """A cache of compiled templates in a folder. If it cannot be used, nothing is cached."""

    def load_bytecode(self, bucket: Bucket) -> None:
        with contextlib.suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        with contextlib.suppress(OSError):
            Path(self.directory).mkdir(parents=True, exist_ok=True)
            super().dump_bytecode(bucket)


def _compiled() -> _Compiled | None:
    """Return the cache of compiled templates, or None if there is no home directory."""
    try:
        return _Compiled(str(cache_home() / "templates"))
    except UserError:
        return None


def _limited(run: Run, prices: "pd.DataFrame") -> list[dict[Any, Any]]:
    """Return the rows of `limits`, each with its cost (from ``prices``, see `costs`), the rate per busy core in the
    page's unit (``shown``), and whether roles share CPUs (``shared``)."""
    shared = prices["gateway_cores"].isna()
    costs_of = {name: prices[name] for name in ("bps_a_busy_core", *COUNTED)}
    shown = [load.shown(price) for load, price in zip(run.loads, prices["bps_a_busy_core"], strict=True)]
    table = limits(run).assign(**costs_of, shown=shown, shared=shared)
    return table.to_dict("records")


def _round_trips(run: Run) -> list[dict[Any, Any]]:
    """Return the rows of `latency_cells` by cores and tunnels; the list is empty if no round trips were timed."""
    if not run.counts_packets and not timed_beside_traffic(run):
        return []
    return latency_cells(run).sort_values(["cores", "tunnels"], kind="stable").to_dict("records")


def _bars(run: Run, first: Headline) -> list[dict[str, Any]]:
    """Return the rows of the headline's place with ``width``, ``left`` and ``across``, in percent of the longest."""
    if first.standing is None:
        return []
    rows = first.standing.rows
    columns = [run.quantity.of(name) for name in ("median", "low", "high")]
    longest = max(row[columns[-1]] for row in rows) or 1.0
    shares = ((row, *(row[key] / longest * 100 for key in columns)) for row in rows)
    return [
        {**row, "width": f"{median:.1f}", "left": f"{low:.1f}", "across": f"{high - low:.1f}"}
        for row, median, low, high in shares
    ]


def _places(found: Sequence[Standing]) -> dict[str, Any]:
    """Return ``columns``, the core counts, ``rows``, the standings for each number of tunnels, None if there is none,
    and ``gaps``, whether there is such a place."""
    columns = sorted({standing.key.cores for standing in found})
    by_place = {standing.key.place: standing for standing in found}
    rows = [
        {
            "name": ", ".join([str(place.tunnels), *place.words()[3:]]),
            "standings": [by_place.get(place.replaced(cores=cores)) for cores in columns],
        }
        for place in sorted({standing.key.place.replaced(cores=0) for standing in found})
    ]
    return {"columns": columns, "rows": rows, "gaps": len(found) < len(columns) * len(rows)}


def _stopping(cells: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per block: its rounds, and the cells whose interval is not narrow. Empty for a fixed number of
    rounds."""
    blocks: dict[int, dict[str, Any]] = {}
    for cell in cells:
        if cell.get("goal") is not None:
            row = blocks.setdefault(cell["block"], {"block": cell["block"], "rounds": cell["rounds"], "wide": []})
            if cell.get("reason") not in ("narrow", "reference"):
                row["wide"].append(cell)
    return list(blocks.values())


def _labels(names: Sequence[str]) -> dict[str, str]:
    """Return the labels of figures in the docs and the claims, by name: F1 for f1-throughput; F5a and F5b if two have
    the number 5. Other figures have none."""
    found = {name: match[1] for name in names if (match := re.match(r"f(\d+)-", name))}
    alike = {label: [name for name in found if found[name] == label] for label in found.values()}
    return {
        name: f"F{label}" + (ascii_lowercase[alike[label].index(name)] if len(alike[label]) > 1 else "")
        for name, label in found.items()
    }


def _figure(path: Path, context: Sequence[str], label: str) -> dict[str, Any]:
    """Return a figure as the template expects it. Its caption is without the sentences of ``context``, which are on the
    page once."""
    caption = path.with_suffix(".txt")
    text = caption.read_text(encoding="utf-8").strip() if caption.is_file() else path.stem
    title, _, notes = text.partition(". ")
    for sentence in context:
        notes = notes.replace(f" {sentence}", "", 1).removeprefix(sentence).strip()
    svg, width = for_page(path.read_bytes(), path.stem)
    title = f"{label}: {title}" if label else title
    name = {"name": path.stem, "title": f"{title.rstrip('.')}.", "notes": notes}
    return {**name, "svg": Markup(svg), "broad": width > _BROAD}


def _dilated(run: Run) -> "Sequence[Mapping[Any, Any]]":
    """Return the attempts of a run in virtual time with what they recorded of it; empty in real time."""
    if run.virtual_time is None:
        return []
    return run.attempts.sort_values(["order", "attempt"]).to_dict("records")
