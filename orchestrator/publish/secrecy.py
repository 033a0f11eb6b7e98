# SPDX-License-Identifier: Apache-2.0
"""Finding what must not leave this computer with a run: keys, tokens, and paths that name a person.

A finding has a file, a line and a kind, never the secret itself. Text and binary files are searched alike: a key in
the middle of a PDF is just as public.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# 32 bytes in base64, not as part of a longer piece, and not the checksum of an HTML integrity attribute. In a JSON
# string, a key may follow an escaped line break. A public key looks the same, but a run does not need one either.
_START = rb"(?:(?<![A-Za-z0-9+/])(?<!sha256-)|(?<=\\[nrt]))"
_KEY = re.compile(_START + rb"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=(?![A-Za-z0-9+/=])")
# The text before the last line of a long piece of base64 that was broken into lines: that line is not a key.
_BROKEN_LINE = re.compile(rb"[A-Za-z0-9+/]{48}(?:\\[nr]|[\r\n]|\s)+$")
_QUOTE = rb"[\"'\\]*"
_IS = _QUOTE + rb"\s*[:=]\s*" + _QUOTE


@dataclass(frozen=True, slots=True)
class SecretFound:
    """A secret or path that was found. ``line``: its number, from 1; ``what``: its kind."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


@dataclass(frozen=True, slots=True)
class _Rule:
    """A pattern of a kind of secret. ``needles``: in lower case; for speed, files without any of them are not
    searched."""

    what: str
    needles: tuple[bytes, ...]
    pattern: re.Pattern[bytes]


def _rule(what: str, needles: str, pattern: bytes) -> _Rule:
    return _Rule(what, tuple(needle.encode() for needle in needles.split()), re.compile(pattern))


_RULES = (
    # OpenSSH's own form begins, in base64, with openssh-key-v1.
    _rule("a private key", "private b3blbnnzac1rzxktdjea", rb"-----BEGIN [A-Z ]*PRIVATE KEY|b3BlbnNzaC1rZXktdjEA"),
    _rule(
        "a private or pre-shared key",
        "private preshared pre-shared",
        rb"(?i)(?:private|pre-?shared)[-_ ]?key" + _IS + rb"[A-Za-z0-9+/]{20,}",
    ),
    _rule(
        "a token",
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- hf_ pypi- akia asia xox sk- eyj",
        rb"(?<![A-Za-z0-9_])(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{36,}|glpat-[A-Za-z0-9_-]{20,}|"
        rb"hf_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{40,}|A[KS]IA[A-Z0-9]{16}(?![A-Z0-9])|xox[abprs]-[A-Za-z0-9-]{20,}|"
        rb"sk-[A-Za-z0-9_-]{32,}|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+)",
    ),
    _rule("credentials", "authorization", rb"(?i)authorization" + _IS + rb"(?:bearer|basic)\s+[^\s\"'\\]{8,}"),
    _rule("an address with a password", "://", rb"(?<=[A-Za-z0-9])://[^\s/:@\"'<>\\]+:[^\s/@\"'<>\\]+@"),
    _rule(
        "a password or token",
        "passw passphrase secret token api_key api-key apikey",
        # It must have a digit and a letter, so that names in a script are not mistaken for a password.
        rb"(?i)(?:passw(?:or)?d|passphrase|secret|token|api[-_]?key)"
        + _IS
        + rb"(?=[A-Za-z+/_.-]*[0-9])(?=[0-9+/_.-]*[A-Za-z])[A-Za-z0-9+/_.-]{12,}(?![A-Za-z0-9+/_.(-])",
    ),
)
_HOME = _rule(
    "a path in a person's home folder", "/home/ /users/", rb"(?<![A-Za-z0-9_.~-])/(?:home|Users)/[A-Za-z0-9_.-]+"
)


def search(file: str, data: bytes) -> Iterator[SecretFound]:
    """Yield the secrets in a file's content."""
    if b"=" in data:
        for match in _KEY.finditer(data):
            if not _BROKEN_LINE.search(data, max(0, match.start() - 64), match.start()):
                yield _finding(file, data, match.start(), "what may be a WireGuard key")
    lower = data.lower()
    for rule in _RULES:
        yield from _by_rule(rule, file, data, lower)


def search_paths(file: str, data: bytes, folders: Iterable[str] = ()) -> Iterator[SecretFound]:
    """Yield the paths in a file's content that name a person, or are below one of ``folders`` of this computer."""
    yield from _by_rule(_HOME, file, data, data.lower())
    for folder in folders:
        for match in re.finditer(re.escape(folder.encode()) + rb"(?![A-Za-z0-9_.-])", data):
            yield _finding(file, data, match.start(), "a path of this computer")


def _by_rule(rule: _Rule, file: str, data: bytes, lower: bytes) -> Iterator[SecretFound]:
    if any(needle in lower for needle in rule.needles):
        for match in rule.pattern.finditer(data):
            yield _finding(file, data, match.start(), rule.what)


def _finding(file: str, data: bytes, place: int, what: str) -> SecretFound:
    return SecretFound(file, data.count(b"\n", 0, place) + 1, what)
