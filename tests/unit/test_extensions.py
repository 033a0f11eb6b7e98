# SPDX-License-Identifier: Apache-2.0
"""Extensions: built-in ones, those that other packages offer, and those that a file names by path."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.errors import UserError
from orchestrator.extensions import OURS, Registry

CLOCKS = Registry("clocks", "CLOCK", {"sun": "sundial_of_ours"}, base=f"{__name__}:Clock")
CLOCK = f"""\
from {__name__} import Clock


class Sundial(Clock):
    def tell(self):
        return {{}}


CLOCK = Sundial()
"""


class Clock:
    """The class of which each clock is an instance."""

    def faults(self) -> Iterator[str]:
        """Yield what it lacks."""
        if type(self).tell is Clock.tell:
            yield "it has no method tell"

    def tell(self) -> object:
        """Return the time."""
        raise NotImplementedError


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder on the module path, such as the one into which packages are installed."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def install(site: Path, distribution: str, version: str, entry_points: str) -> None:
    folder = site / f"{distribution}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (folder / "entry_points.txt").write_text(f"[orch.clocks]\n{entry_points}\n")


def test_what_this_program_has_is_found_by_its_name(site: Path) -> None:
    (site / "sundial_of_ours.py").write_text(CLOCK.format("'noon'"))
    found = CLOCKS.find("sun")
    assert found is not None
    assert (found.origin, found.foreign) == (OURS, False)
    assert CLOCKS.load(found).tell() == "noon"
    assert CLOCKS.find("moon") is None


@pytest.mark.parametrize("target", ["hourglass.inner:SAND", "waterglass.inner"])
def test_what_a_package_offers_is_found_with_its_version_and_all_of_its_package_is_in_the_hash(
    site: Path, target: str
) -> None:
    package = site / target.partition(".")[0]
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text(CLOCK.format("'dusk'") + "SAND = CLOCK\n")
    install(site, "hourglass_clocks", "2.1", f"sand = {target}\nsun = {target}")
    assert CLOCKS.names == ("sun", "sand")
    found, sun = CLOCKS.find("sand"), CLOCKS.find("sun")
    assert found is not None
    assert sun is not None
    assert sun.origin == OURS  # others cannot replace a built-in one
    assert CLOCKS.load(found).tell() == "dusk"
    told = found.to_json()
    assert told | {"hash": ""} == {"from": "hourglass_clocks 2.1", "hash": ""}
    (package / "other.py").write_text("# part of it\n")
    assert found.to_json()["hash"] != told["hash"]


def test_a_name_that_two_packages_offer_is_refused(site: Path) -> None:
    install(site, "first_clocks", "1", "water = first:CLOCK")
    install(site, "second_clocks", "1", "water = second:CLOCK")
    with pytest.raises(UserError, match="first_clocks 1 and second_clocks 1 both have water among their clocks"):
        CLOCKS.find("water")


def test_a_path_is_relative_to_the_file_that_names_it_and_is_loaded_anew_when_it_changes(tmp_path: Path) -> None:
    (tmp_path / "egg-timer.py").write_text(CLOCK.format("3"))
    first = CLOCKS.find("./egg-timer.py", tmp_path)
    assert first is not None
    assert (first.name, first.origin, first.foreign) == ("egg-timer", "./egg-timer.py", True)
    assert CLOCKS.load(first).tell() == 3
    assert CLOCKS.load(first) is CLOCKS.load(first)
    before = first.digest
    (tmp_path / "egg-timer.py").write_text(CLOCK.format("5"))
    assert CLOCKS.load(first).tell() == 5
    assert first.digest != before


def test_a_folder_may_have_modules_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "tower"
    folder.mkdir()
    (folder / "bell.py").write_text("STRIKES = 12\n")
    (folder / "__init__.py").write_text("from .bell import STRIKES\n" + CLOCK.format("STRIKES"))
    found = CLOCKS.find("tower/", tmp_path)
    assert found is not None
    assert CLOCKS.load(found).tell() == 12
    before = found.digest
    (folder / "bell.py").write_text("STRIKES = 11\n")
    assert found.digest != before
    assert CLOCKS.load(found).tell() == 11


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "is not a module: there is no file .*bad.py. Name a file"),
        ("CLOCK = (\n", r"cannot be loaded: SyntaxError: .*bad.py, line 1"),
        ("import no_such_module_anywhere\n", "cannot be loaded: ModuleNotFoundError: .*no_such_module_anywhere"),
        ("1 / 0\n", "cannot be loaded: ZeroDivisionError"),
        ("WATCH = 1\n", "its module has no CLOCK"),
        ("raise SystemExit(3)\n", "cannot be loaded: SystemExit: 3"),
        ("CLOCK = 1\n", "its CLOCK is not an instance of a subclass of Clock in"),
        (CLOCK.replace("Sundial()", "Sundial").format(3), r"is a class, not an instance \(CLOCK = Sundial\(\)\)"),
        (CLOCK.replace("tell(self)", "show(self)").format(3), r"of the clocks: it has no method tell\. docs/extending"),
    ],
)
def test_a_module_that_is_none_of_its_kind_is_a_sentence(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "bad.py").write_text(text)

    def load() -> None:
        found = CLOCKS.find("./bad.py", tmp_path)
        assert found is not None
        CLOCKS.load(found)

    with pytest.raises(UserError, match=said):
        load()


def test_an_entry_point_whose_module_is_gone_is_a_sentence(site: Path) -> None:
    install(site, "ghost_clocks", "1", "ghost = ghost_of_a_clock:CLOCK")
    found = CLOCKS.find("ghost")
    assert found is not None
    with pytest.raises(UserError, match="ghost, one of the clocks of ghost_clocks 1, cannot be loaded: ModuleNotFound"):
        CLOCKS.load(found)
    with pytest.raises(UserError, match=r"there is no module ghost_of_a_clock\. Install it again"):
        found.to_json()
