# SPDX-License-Identifier: Apache-2.0
"""Lines of a known_hosts file, in OpenSSH's format. See sshd(8), SSH_KNOWN_HOSTS FILE FORMAT."""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

REVOKED = "@revoked"
_MARKERS = ("", REVOKED, "@cert-authority")
_MARK = "\ufeff"  # the byte order mark, which some editors write at the beginning of a file
_SPACES = " \t"  # the only characters that separate words for OpenSSH


@dataclass(frozen=True, slots=True)
class Key:
    """A public key: its type, such as ssh-ed25519, and the key itself in base64."""

    kind: str
    data: str

    @property
    def fingerprint(self) -> str:
        """The type and fingerprint, as OpenSSH prints them."""
        digest = base64.b64encode(hashlib.sha256(base64.b64decode(self.data)).digest()).decode().rstrip("=")
        return f"{self.kind} SHA256:{digest}"


@dataclass(frozen=True, slots=True)
class KnownHost:
    """A line about a host. ``number``: the line's, from 1; ``marker``: empty, REVOKED or @cert-authority; ``key``: None
    if OpenSSH skips the line; ``wrong``: why it does."""

    number: int
    marker: str
    names: str
    key: Key | None
    wrong: str = ""


def entries(lines: Iterable[str], name: str) -> list[KnownHost]:
    """Return the lines about a host: those whose names, patterns or hash match ``name``."""
    found = []
    for number, line in enumerate(lines, 1):
        words = _words(line.removeprefix(_MARK) if number == 1 else line)
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0) if words[0].startswith("@") else ""
        if not words or not _on(words[0], name):
            continue
        key = _key(words[1:3]) if marker in _MARKERS else None
        wrong = "" if key else f"this is not a host key of {name}"
        if number == 1 and line.startswith(_MARK):
            key, wrong = None, "the file begins with a byte order mark, for which OpenSSH skips this line"
        found.append(KnownHost(number, marker, words[0], key, wrong))
    return found


def without(lines: Sequence[str], name: str) -> list[str]:
    """Return the lines without the plain keys of a host: lines about this host alone are removed, and lines that also
    name other hosts no longer name it.

    Comments, marked lines and lines about other hosts are unchanged.
    """
    kept = []
    for line in lines:
        names, *rest = re.split(f"[{_SPACES}]+", line.strip(_SPACES), maxsplit=1)
        if names.startswith(("#", "@")) or not _on(names, name):
            kept.append(line)
            continue
        others = [other for other in names.split(",") if other != name]
        if not others or not rest or names.startswith("|"):
            continue
        exception = [f"!{name}"] if _on(",".join(others), name) else []  # a pattern among them also matches the host
        kept.append(f"{','.join([*others, *exception])} {rest[0]}")
    return kept


def _words(line: str) -> list[str]:
    """Return the words of a line, without a carriage return at its end."""
    return [word for word in re.split(f"[{_SPACES}]+", line.removesuffix("\r")) if word]


def _key(words: Sequence[str]) -> Key | None:
    """Return the key given by a type and base64 text; None if it is not valid.

    The binary key must begin with the length and the name of its type, see RFC 4253, 6.6.
    """
    try:
        kind, data = words
        blob = base64.b64decode(data, validate=True)
    except ValueError:
        return None
    begin = len(kind).to_bytes(4, "big") + kind.encode()
    return Key(kind, data) if blob.startswith(begin) and len(blob) > len(begin) else None


def _on(names: str, name: str) -> bool:
    if names.startswith("|1|"):
        try:
            salt, digest = (base64.b64decode(part) for part in names.split("|")[2:4])
        except ValueError:
            return False
        return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)
    matches = False
    for pattern in names.split(","):
        negated, pattern = pattern.startswith("!"), pattern.removeprefix("!").lower()
        expression = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern)
        if re.fullmatch(expression, name):
            if negated:
                return False
            matches = True
    return matches
