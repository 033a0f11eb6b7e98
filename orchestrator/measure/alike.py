# SPDX-License-Identifier: Apache-2.0
"""Sentences and names that differ only in their numbers, as hundreds of tunnels produce: a few of them stand for
all."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

SHOWN = 3  # of sentences alike, or of names
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def condensed(breaches: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return breaches of limits, (limit, sentence), in which at most `SHOWN` differ only in their numbers.

    The last of these says how many more there are. The raw output of the attempt has the numbers of all of them.
    """
    kinds = [(name, sentence, (name, _NUMBER.sub("0", sentence))) for name, sentence in breaches]
    totals, seen = Counter(kind for _, _, kind in kinds), Counter[tuple[str, str]]()
    found = []
    for name, sentence, kind in kinds:
        seen[kind] += 1
        if seen[kind] > SHOWN:
            continue
        more = totals[kind] - SHOWN if seen[kind] == SHOWN else 0
        found.append((name, f"{sentence} (and {more} more like this)" if more else sentence))
    return found


def named(names: Sequence[object]) -> str:
    """Return names in a sentence: all of them, or the first `SHOWN` and how many more there are."""
    shown = names if len(names) <= SHOWN + 1 else names[:SHOWN]
    return ", ".join(map(str, shown)) + (f" and {len(names) - len(shown)} more" if len(shown) < len(names) else "")
