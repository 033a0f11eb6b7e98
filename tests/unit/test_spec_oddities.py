# SPDX-License-Identifier: Apache-2.0
"""Things that YAML allows and a spec does not: tags and anchors anywhere, huge numbers, invisible characters."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import UserError
from orchestrator.spec import SpecError, check_file, load_experiment
from orchestrator.spec.document import parse, plain
from orchestrator.spec.problems import SourceText

GOOD = """experiment: small
factors: {variant: [vanilla], cores: [1], tunnels: [1]}
traffic: {duration: 3s}
"""


def mistakes(folder: Path, text: str) -> str:
    file = folder / "small.yaml"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(SpecError) as caught:
        check_file(file)
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "tag"),
    [
        ("factors: {", "factors: !grid {", "!grid"),
        ("factors: {", "factors: !!map {", "!!map"),
        ("[vanilla]", "!one [vanilla]", "!one"),
        ("[vanilla]", "!!seq [vanilla]", "!!seq"),
        ("{duration: 3s}", "!!omap {duration: 3s}", "!!omap"),
        ("cores: [1]", 'cores: [!!int "1"]', "!!int"),
        ("cores: [1]", "cores: [!!int 1]", "!!int"),
        ("duration: 3s", "duration: !!str 3s", "!!str"),
        ("experiment:", "!key experiment:", "!key"),
        ("experiment: small", "--- !spec\nexperiment: small", "!spec"),
    ],
)
def test_a_tag_is_a_mistake_wherever_it_stands(tmp_path: Path, old: str, new: str, tag: str) -> None:
    assert f"Tags such as {tag} are not supported" in mistakes(tmp_path, GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("experiment: small", "&a experiment: small\ndescription: *a"),
        ("experiment: small", "experiment: &a small\ndescription: *a"),
        ("factors: {", "factors: &f {"),
        ("experiment: small", "experiment: small\ndescription: &a seed\n*a : 5"),
    ],
)
def test_an_anchor_or_an_alias_is_a_mistake_also_of_a_key(tmp_path: Path, old: str, new: str) -> None:
    assert "Anchors and aliases are not supported" in mistakes(tmp_path, GOOD.replace(old, new, 1))


@pytest.mark.parametrize("number", ["9" * 30, "1" * 5000, "0x" + "f" * 6000, "1." + "3" * 3000])
def test_a_very_long_number_is_a_short_sentence(tmp_path: Path, number: str) -> None:
    said = mistakes(tmp_path, GOOD + f"seed: {number}\n")
    assert "None" not in said
    assert max(map(len, said.splitlines())) < 400
    with pytest.raises(SpecError):
        load_experiment(_good(tmp_path), overrides=[f"seed={number}"])


def _good(folder: Path) -> Path:
    (folder / "good.yaml").write_text(GOOD)
    return folder / "good.yaml"


@pytest.mark.parametrize(
    ("character", "name"), [("\xa0", "U+00A0 (NO-BREAK SPACE)"), ("\u200b", "U+200B (ZERO WIDTH SPACE)")]
)
def test_a_character_that_cannot_be_seen_is_named(tmp_path: Path, character: str, name: str) -> None:
    said = mistakes(tmp_path, GOOD.replace("traffic:", f"traffic{character}:"))
    assert f"Column 8 has an invisible character, {name}" in said
    assert "invisible character" not in mistakes(tmp_path, GOOD.replace("traffic:", "trafic:"))


BREAKING = {
    "a space that is none": (": small", ":\xa0small", "1:12: This is not YAML", r"Column 12 has .*U\+00A0"),
    "the end of a line": ("\ntraffic", "\ndescription: a\x85b\ntraffic", "3:15: This is", r"Column 15 .*U\+0085"),
    "one with a name": ("\ntraffic", "\ndescription: a\u2028b\ntraffic", "3:15: This is", r"\(LINE SEPARATOR\)"),
    "a tab": ("\ntraffic", "\n\ttraffic", "3:1: This is not YAML", "Use spaces instead of the tab"),
    "NUL": (": small", ": s\0mall", "1:14: This is not YAML", r"Remove it. Column 14 has .*U\+0000"),
    "a bell": (": small", ": s\x07mall", "1:14: This is not YAML", r"Remove it. Column 14 has .*U\+0007"),
}


@pytest.mark.parametrize("what", BREAKING)
def test_a_character_that_cannot_be_seen_and_breaks_the_syntax_is_named(tmp_path: Path, what: str) -> None:
    old, new, place, said = BREAKING[what]
    assert old in GOOD
    told = mistakes(tmp_path, GOOD.replace(old, new, 1))
    assert place in told
    assert re.search(said, told), told


def test_a_mark_of_the_order_of_bytes_is_no_suspect(tmp_path: Path) -> None:
    assert "invisible" not in mistakes(tmp_path, "\ufeff" + GOOD.replace(": small", ": [small"))


def test_half_a_character_is_no_text(tmp_path: Path) -> None:
    assert "has a surrogate (U+D800)" in mistakes(tmp_path, GOOD + 'description: "a\\ud800b"\n')
    assert "has a surrogate (U+DE00)" in mistakes(tmp_path, GOOD + 'description: "\\ude00\\ud83d"\n')


@given(st.text(max_size=20))
def test_what_json_writes_is_read_as_it_was(text: str) -> None:
    written = json.dumps({"description": text, text: 1})
    tree, problems = parse(SourceText("x", written))
    assert problems == []
    assert plain(tree) == {"description": text, text: 1}


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_told_with_what_to_do(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "small.yaml").write_bytes(GOOD.replace("small", "smäll").encode(encoding))
    with pytest.raises(UserError, match=r"UTF-16 text|not UTF-8 text \(byte 15\)") as caught:
        check_file(tmp_path / "small.yaml")
    assert "convert it" in str(caught.value)


@pytest.mark.parametrize("text", ["1", " 1", "", "yes", "a\nb", "a\u200bb"])
def test_a_text_that_looks_like_something_else_is_shown_in_quotes(tmp_path: Path, text: str) -> None:
    said = mistakes(tmp_path, GOOD + f"seed: {json.dumps(text)}\n")
    assert f"seed: {json.dumps(text)} is not valid" in said


@pytest.mark.parametrize("escape", ["\\U00110000", "\\UFFFFFFFF"])
def test_an_escape_of_no_character_is_a_sentence_at_its_place(tmp_path: Path, escape: str) -> None:
    said = mistakes(tmp_path, GOOD + f'description: "a \\U0001F600 {escape}"\n')
    assert f"{escape} is not a character" in said
    assert f":{len(GOOD.splitlines()) + 1}:28:" in said


def test_a_version_of_yaml_with_thousands_of_digits_is_a_sentence(tmp_path: Path) -> None:
    assert "line that begins with %YAML" in mistakes(tmp_path, f"%YAML {'1' * 5000}.1\n---\n{GOOD}")


@pytest.mark.parametrize(
    ("value", "says"), [("2026-13-45", "a date, which"), ("0x_", "a number, which"), ("<<", "merge")]
)
def test_what_only_looks_like_a_value_is_told_as_such(tmp_path: Path, value: str, says: str) -> None:
    said = mistakes(tmp_path, GOOD + f"description: {value}\n")
    assert says in said
    assert f'"{value}" in quotes' in said
    assert "None" not in said
    assert "tag:" not in said


def test_a_rule_without_effect_is_a_mistake_also_on_the_command_line(tmp_path: Path) -> None:
    good = _good(tmp_path)
    with pytest.raises(SpecError, match="matches no cell"):
        load_experiment(good, overrides=["exclude=[{variant: inline}]"])
    both = load_experiment(good, overrides=["factors.cores=[1, 2]", "exclude=[{cores: 2}]"])
    assert len(both.exclude) == 1
    (tmp_path / "rule.yaml").write_text(GOOD.replace("cores: [1]", "cores: [1, 2]") + "exclude: [{cores: 2}]\n")
    assert load_experiment(tmp_path / "rule.yaml", overrides=["factors.cores=[1]"])  # the file's rule is for its levels


@pytest.mark.parametrize(
    "override", ["seed=" + "1" * 5000, "description=a\x1b[31m\0\udce9", "traffic.duration=\u202e3s"]
)
def test_an_override_is_named_in_short_and_in_characters_that_can_be_seen(tmp_path: Path, override: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_experiment(_good(tmp_path), overrides=[override])
    for line in str(caught.value).splitlines():
        assert line.isprintable()
        assert len(line) < 400
    assert f"--set {override[:6]}" in str(caught.value)
