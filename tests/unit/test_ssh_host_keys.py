# SPDX-License-Identifier: Apache-2.0
"""Pinned host keys: which lines count, messages, and changes; with a real SSH server on loopback."""

import re
import subprocess
from pathlib import Path

import pytest

from orchestrator.errors import UserError
from orchestrator.testbed.login import LoginRefused
from orchestrator.testbed.ssh.keys import fetch_keys, pin
from orchestrator.testbed.ssh.known_hosts import entries
from orchestrator.testbed.ssh.route import known_hosts_file, routes
from tests.unit import sshd
from tests.unit.ssh_site import Site, bed


def enrolled(site: Site, text: str | None = None) -> str:
    """Return the state of the host's key if the pinned ones are ``text``, in which ME stands for its own line, without
    its end."""
    if text is not None:
        own = site.server.host_line("bed.left").strip()
        known_hosts_file().write_text(re.sub(r"(?<![\w+/])ME(?![\w+/=])", lambda _: own, text))  # keys may have it too
    (found,) = fetch_keys(routes(bed()))
    return found.state


FORMS = {
    "new": "# ME\nother.left ssh-ed25519 AAAA\nbed.left2 ME\nbed.*,!bed.left ME\n",
    "pinned": "# old\n\nother.left ssh-ed25519 AAAA\n  ME root@left, its own key\n",
    "revoked": "ME\n@revoked ME a comment\n",
}


@pytest.mark.parametrize("state", FORMS)
def test_lines_of_pinned_keys_are_read_as_openssh_reads_them(site: Site, state: str) -> None:
    site.key("id_ed25519")
    assert enrolled(site, FORMS[state]) == state
    assert site.by_us(bed())[0] is (state == "pinned")


def test_the_lines_on_a_host_are_those_that_ssh_keygen_finds(tmp_path: Path) -> None:
    key = Path(f"{sshd.make_key(tmp_path / 'key')}.pub").read_text().strip()
    names = [
        "bed.left",
        "bed.right,bed.left",
        "BED.LEFT",
        "bed.*",
        "bed.*,!bed.left",
        "b?d.left",
        "bed.lef",
        "*",
        "x,*.y",
    ]
    names += ["!bed.left,bed.left", "bed.left2", "bed,left", "[bed.left]:22", "bed[.]left"]
    file = tmp_path / "known"
    hashed = tmp_path / "hashed"
    hashed.write_text(f"bed.left {key}\nbed.other {key}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", hashed], check=True, capture_output=True)
    marked = [f"@revoked bed.left {key}", f"@cert-authority bed.* {key} of the rack", f"# bed.left {key}", ""]
    lines = [*(f"{name} {key}" for name in names), *marked, *hashed.read_text().splitlines()]
    file.write_text("".join(f"{line}\n" for line in lines))
    found = subprocess.run(["ssh-keygen", "-F", "bed.left", "-f", file], capture_output=True, text=True, check=True)
    theirs = [int(number) for number in re.findall(r"found: line (\d+)", found.stdout)]
    ours = entries(lines, "bed.left")
    assert [entry.number for entry in ours] == theirs
    assert all(entry.key is not None for entry in ours)


@pytest.mark.parametrize(
    "line", ["bed.left ssh-ed25519 AAAA", "bed.left ssh-ed25519", "bed.left x !", "@marked bed.left ssh-ed25519 AAAA"]
)
def test_a_pinned_key_that_is_none_is_told_with_its_line(site: Site, line: str) -> None:
    site.key("id_ed25519")
    with pytest.raises(UserError, match=r"known_hosts, line 2: this is not a host key of bed.left"):
        enrolled(site, f"# first\n{line}\n")
    with pytest.raises(LoginRefused, match="known_hosts, line 2: this is not a host key"):
        site.login(bed()).run("true")


MARK = "\ufeff"
OTHERS = "\u000b\u000c\r\u001c\u0085\u2028"  # where str.splitlines also ends a line


@pytest.mark.parametrize("end", ["\n", *OTHERS])
def test_lines_end_where_openssh_ends_them(site: Site, end: str) -> None:
    site.key("id_ed25519")
    own = site.server.host_line("bed.left").strip()
    known_hosts_file().write_bytes(f"# of the rack{end}{own}\r\n".encode())
    (found,) = fetch_keys(routes(bed()))
    assert found.state == ("pinned" if end == "\n" else "new")
    assert site.by_us(bed())[0] is (found.state == "pinned")


@pytest.mark.parametrize("space", ["\u00a0", "\u2003", "\u000b"])
def test_words_are_parted_where_openssh_parts_them(site: Site, space: str) -> None:
    site.key("id_ed25519")
    assert enrolled(site, f"{space}ME\n") == "new"
    assert not site.by_us(bed())[0]
    assert enrolled(site, "\t ME\n".replace(" ", "  ")) == "pinned"


@pytest.mark.parametrize("line", ["ME", "@revoked ME"])
def test_a_byte_order_mark_before_a_pinned_key_is_told(site: Site, line: str) -> None:
    site.key("id_ed25519")
    with pytest.raises(UserError, match=r"known_hosts, line 1: the file begins with a byte order mark, for which"):
        enrolled(site, f"{MARK}{line}\n")
    with pytest.raises(LoginRefused, match="line 1: the file begins with a byte order mark"):
        site.login(bed()).run("true")
    assert enrolled(site, f"{MARK}# of the rack\nME\n") == "pinned"
    assert site.by_us(bed())[0]


def test_pinned_keys_in_utf_16_are_told(site: Site) -> None:
    known_hosts_file().write_text(site.server.host_line("bed.left"), encoding="utf-16")
    with pytest.raises(UserError, match=r"known_hosts is in UTF-16, which OpenSSH does not read\."):
        fetch_keys(routes(bed()))


def test_a_revoked_key_is_neither_pinned_nor_accepted(site: Site) -> None:
    site.key("id_ed25519")
    assert enrolled(site, "@revoked ME\n") == "revoked"
    with pytest.raises(UserError, match=r"is marked as revoked in .*Nothing was pinned"):
        pin(fetch_keys(routes(bed())), ["left"])
    with pytest.raises(LoginRefused, match=r"its host key \(ssh-ed25519 SHA256:.*\) is marked as revoked in"):
        site.login(bed()).run("true")


def test_pinning_changes_the_lines_of_the_host_alone(site: Site) -> None:
    changed = Path(f"{sshd.make_key(site.folder / 'changed')}.pub").read_text().strip()
    kept = f"# of the rack\nbed.right ssh-ed25519 AAAA\n@revoked * {changed}\n"
    assert enrolled(site, f"{kept}bed.left,bed.third {changed} old\nbed.l* {changed}\n") == "changed"
    found = fetch_keys(routes(bed()))
    with pytest.raises(UserError, match=r"has changed: left had .* and shows .*--replace left"):
        pin(found)
    pin(found, ["left"])
    mine = site.server.host_line("bed.left")
    assert known_hosts_file().read_text() == f"{kept}bed.third {changed} old\nbed.l*,!bed.left {changed}\n{mine}"
    assert enrolled(site) == "pinned"


def test_a_place_for_pinned_keys_that_cannot_be_written_is_told(site: Site) -> None:
    site.monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    with pytest.raises(UserError, match="cannot be written to /dev/null/orch/known_hosts: Not a directory"):
        pin(fetch_keys(routes(bed())))
