# SPDX-License-Identifier: Apache-2.0
"""Keys of specs that cannot be factors, each with the reason."""

import re

_OF_CELLS = re.compile(r"(?:.*\.)?(?:factors|exclude\[\d+\]|include\[\d+\])\.(?P<key>.+)", re.DOTALL)
_PROCEDURE = "It says how the whole experiment is carried out, which is the same for all cells."
_ONE_RUN = "A run has one; run the spec with each, and compare the runs with `orch compare`."
_BESIDE = "Probes are the same in all cells. Run the spec with each, and compare the runs with `orch compare`."
_WHOLE_PATH = "Its keys can, each by its whole path, as in traffic.streams: [1, 8]."
# The reasons by path, or by its beginning.
_REASONS = {
    **dict.fromkeys(("testbed", "topology", "kernel", "hosts", "provider"), _ONE_RUN),
    **dict.fromkeys(("probes", "trace", "traffic.latency", "sample_every"), _BESIDE),
    **dict.fromkeys(
        (
            *("experiment", "description", "seed", "factors", "exclude", "include", "repetitions"),
            *("noise_floor", "retries", "on_failure", "busy", "limits", "notebooks", "claims", "default_tier", "tiers"),
        ),
        _PROCEDURE,
    ),
    "traffic.tool": "Each tool measures its own quantity. Write a spec for each.",
    "traffic.search.goals": "Each search finds the rates of all its goals. List them under traffic.search.",
    "traffic.command": (
        "It is a list of arguments. A tool of your own has keys that can be factors (docs/extending.md), and may start "
        "the same programs."
    ),
    "variants": "It is a file. The factor is variant.",
    **dict.fromkeys(("traffic", "traffic.search", "tunnel", "settings", "nics"), _WHOLE_PATH),
    "links.wan": "",  # may be misspelt
    "links": "Of the links, only the one between the gateways can be shaped: links.wan.delay, loss, reorder or rate.",
}


def why_fixed(key: str) -> str:
    """Return why a key of a spec, given by its path, cannot be a factor; empty if it can be one, or is not known."""
    parts = key.split(".")
    beginnings = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    found = next((_REASONS[one] for one in beginnings if one in _REASONS), "")
    return found if found != _WHOLE_PATH or key in _REASONS else ""


def refused_factor(where: str) -> str:
    """Return a sentence on a key of a cell that cannot be a factor; empty for other keys. ``where``: the place in the
    spec, such as factors.seed, or tiers.full.exclude[0].traffic.tool."""
    found = _OF_CELLS.fullmatch(where)
    why = why_fixed(found["key"]) if found else ""
    return f"{found['key']} cannot be a factor. {why}" if found and why else ""
