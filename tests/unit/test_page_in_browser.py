# SPDX-License-Identifier: Apache-2.0
"""report.html in a real browser: narrow and wide, light and dark, by pointer and by keyboard, and accessible to
everyone."""

import itertools
import json
import os
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from orchestrator.analysis import figures
from orchestrator.analysis.claims import verify
from orchestrator.analysis.dataset import load
from orchestrator.analysis.headline import headline
from orchestrator.analysis.page import render
from orchestrator.paths import RESULTS
from tests.unit.browser import Browser, browser, find_browser
from tests.unit.synthetic_run import write_run

WIDTHS = (1280, 390)
LOOKS = [(width, dark) for width in WIDTHS for dark in (False, True)]
FIGURES = (
    figures.throughput_tunnels,
    figures.one_tunnel_a_core,
    figures.per_core_load,
    figures.speed_ups,
    figures.published,
)
NASTY = "</script><script>window.harmed = 1</script><img src=x onerror='window.harmed = 1'>"

pytestmark = pytest.mark.skipif(
    find_browser() is None and os.environ.get("CI") != "true",
    reason="needs Debian's chromium, which `orch test` installs where it can",
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def make(path: Path, folder: Path) -> Path:
    """Return report.html of a run, with its figures, which are drawn without notebooks."""
    run = load(path)
    (folder / "figures").mkdir(exist_ok=True)
    for figure in FIGURES:
        drawing = figure(run)
        (folder / "figures" / f"{drawing.name}.svg").write_bytes(drawing.rendered("svg"))
        (folder / "figures" / f"{drawing.name}.txt").write_text(drawing.caption)
    report = folder / "report.html"
    report.write_text(render(run, folder / "figures", verify(run)), encoding="utf-8")
    return report


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(RESULTS / "example", tmp_path_factory.mktemp("example"))


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run in which much went wrong, with many variants, whose texts look like markup."""
    folder = tmp_path_factory.mktemp("troubled")
    fates = itertools.cycle([["ok"], ["invalid", "ok"], ["failed", "failed"], [], ["invalid"], ["ok"]])
    names = ["vanilla", "threaded", "inline", "inline-transmit", "a-name-that-is-rather-long", "other"]
    path = write_run(
        folder, variants=names, cores=(1, 4, 8), tunnels=(1, 0), rounds=3, fate=lambda trial: next(fates), emulated=True
    )
    meta = json.loads((path / "run.json").read_text()) | {"description": NASTY, "state": "interrupted"}
    (path / "run.json").write_text(json.dumps(meta))
    return make(path, folder)


def complaints(events: list[dict[str, Any]]) -> list[Any]:
    """Return a browser's errors, violations of the page's policy, and loaded files."""
    found = [event for event in events if event.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown")]
    asked = [event for event in events if event.get("method") == "Network.requestWillBeSent"]
    urls = [event["params"]["request"]["url"] for event in asked]
    return found + [url for url in urls if not url.startswith("file:") or not url.endswith("/report.html")]


def faults(page: Browser) -> list[str]:
    """Return the faults that axe-core calls serious or critical. Figures are excluded, since they are hidden from
    screen readers too, and checking each takes seconds."""
    page.evaluate("document.querySelectorAll('svg').forEach(figure => figure.replaceChildren())")
    page.evaluate(files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({resultTypes: ['violations']}).then(found => found.violations)")
    return [
        f"{fault['id']}: {fault['help']}: {fault['nodes'][0]['html'][:200]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(("width", "dark"), LOOKS)
@pytest.mark.parametrize("which", ["example", "troubled"])
def test_a_page_fits_loads_nothing_and_serves_everyone(
    page: Browser, which: str, width: int, dark: bool, request: pytest.FixtureRequest
) -> None:
    page.open(request.getfixturevalue(which), width=width, dark=dark)
    too_wide = (
        "[...document.querySelectorAll('main *, header *')].filter(e => e.getBoundingClientRect().right > WIDTH + 0.5"
    )
    too_wide += " && !e.closest('.wide, pre, svg')).map(e => e.outerHTML.slice(0, 200))"
    assert page.evaluate(too_wide.replace("WIDTH", str(width))) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper.removeprefix("rgb(").removesuffix(")").split(","))) < 380) == dark
    if (dark == (width < 1000)) == (which == "example"):  # each width, look and page takes a second
        assert faults(page) == []
    assert page.evaluate("window.harmed === undefined")
    assert complaints(page.events) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_who_won_and_by_how_much_is_seen_without_scrolling(page: Browser, example: Path, width: int) -> None:
    page.open(example, width=width, height=900)
    answer = page.evaluate("document.querySelector('.answer').innerText")
    (vanilla, *_) = headline(load(RESULTS / "example")).leads
    for words in ("inline won", f"{vanilla.median:.2f} times", "vanilla", "interval", "n = 6 pairs"):
        assert words in answer
    assert page.evaluate("document.querySelector('.bars').getBoundingClientRect().bottom") < 900


def test_the_numbers_are_under_the_pointer(page: Browser, example: Path) -> None:
    shutil.copy(example, copy := example.with_name("copy.html"))
    text = copy.read_text(encoding="utf-8")
    page.open(example, width=1280)
    page.evaluate("document.querySelector('#f2-throughput-tunnels .paper').scrollIntoView({block: 'center'})")
    assert page.evaluate("document.querySelectorAll('svg title').length") == 0  # else two boxes show the same
    marks = """[...document.querySelectorAll('#f2-throughput-tunnels [id*="numbers-"] use')]"""
    tips = set()
    for index in range(0, page.evaluate(f"{marks}.length"), 6):
        place = page.evaluate(
            f"(() => {{ const r = {marks}[{index}].getBoundingClientRect(); "
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        page.point(*place)
        tips.add(page.evaluate("document.querySelector('#f2-throughput-tunnels .tip').innerText"))
    assert len([tip for tip in tips if "Gbit/s" in tip]) >= 3  # of points
    assert any("limit: " in tip for tip in tips)  # letters, which name a cell's limit
    for tip in tips:
        assert f"<title>{tip}</title>" in text  # it belongs to the mark
    page.point(5, 5)
    assert page.evaluate("document.querySelector('#f2-throughput-tunnels .tip').innerText") == ""


def test_a_figure_zooms_is_dragged_and_is_reached_with_the_keyboard(page: Browser, example: Path) -> None:
    page.open(example, width=390)
    box = "document.querySelector('#f5-speed-ups .paper')"
    view = f"{box}.querySelector('svg').getAttribute('viewBox')"
    page.evaluate(f"{box}.focus()")
    page.evaluate(f"{box}.scrollIntoView({{block: 'center'}})")
    whole = page.evaluate(view)
    page.press("ArrowRight")
    first = page.evaluate(f"{box}.querySelector('.tip').innerText")
    page.press("ArrowRight")
    assert "times vanilla" in first
    assert page.evaluate(f"{box}.querySelector('.tip').innerText") != first
    tip = page.evaluate(
        f"(() => {{ const r = {box}.querySelector('.tip').getBoundingClientRect(); return [r.left, r.right] }})()"
    )
    assert 0 <= tip[0] < tip[1] <= 390
    page.press("+")
    zoomed = page.evaluate(view)
    assert float(zoomed.split()[2]) < float(whole.split()[2])
    place = page.evaluate(
        f"(() => {{ const r = {box}.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] }})()"
    )
    page.point(*place)
    page.point(*place, kind="mousePressed", button="left", clickCount=1)
    page.point(place[0] + 40, place[1] + 20)
    page.point(place[0] + 40, place[1] + 20, kind="mouseReleased", button="left", clickCount=1)
    assert page.evaluate(view) != zoomed
    page.evaluate("document.querySelector('#f5-speed-ups button:last-child').click()")
    assert [float(number) for number in page.evaluate(view).split()] == pytest.approx(
        [float(number) for number in whole.split()], abs=0.01
    )


def test_a_button_copies_a_command_without_its_explanation_or_selects_it(page: Browser, example: Path) -> None:
    page.open(example, width=390)
    buttons = "document.querySelectorAll('#again ~ .command button')"
    assert page.evaluate(f"{buttons}.length") == 3
    for index, first in enumerate(("./orch run exp/scaling.yaml", "./orch rerun", "./orch report")):
        page.evaluate(f"{buttons}[{index}].click()")
        done = f"new Promise(done => setTimeout(() => done({buttons}[{index}].textContent), 300))"
        assert page.evaluate(done) in ("Copied", "Selected")
        text = page.evaluate(f"{buttons}[{index}].parentNode.querySelector('pre').innerText")
        assert text.startswith(first)
        assert "#" not in text


def test_a_flame_graph_keeps_its_size_on_a_narrow_page(page: Browser, tmp_path: Path) -> None:
    path = write_run(tmp_path, cores=(2,), tunnels=(1,), rounds=1, profiled=True)
    page.open(make(path, tmp_path), width=390)
    page.evaluate("document.querySelectorAll('details').forEach(one => (one.open = true))")
    assert page.evaluate("document.querySelector('.flame svg').getBoundingClientRect().width") > 900
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
