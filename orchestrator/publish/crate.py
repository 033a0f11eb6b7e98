# SPDX-License-Identifier: Apache-2.0
"""The description in an exported run: RO-Crate 1.1 with the profile Process Run Crate 0.5, and a README for people.

Sources: https://w3id.org/ro/crate/1.1 and https://w3id.org/ro/wfrun/process/0.5. The description does not depend on
when, where or by whom a run is exported.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from orchestrator.store.clock import virtual_time

METADATA = "ro-crate-metadata.json"
README = "README.md"
SPEC = "spec.yaml"
LICENSE = "LICENSE"
_CRATE = "https://w3id.org/ro/crate/1.1"
_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_SPDX = "https://spdx.org/licenses/Apache-2.0"
_PAPER = "https://iris.polito.it/handle/11583/2992127"
_PAPER_TITLE = "Achieving Linear CPU Scaling in WireGuard with an Efficient Multi-tunnel Architecture"
_FORMATS = {
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".parquet": "application/vnd.apache.parquet",
    ".ipynb": "application/x-ipynb+json",
    ".yaml": "application/yaml",
    ".md": "text/markdown",
    ".html": "text/html",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    "": "text/plain",
}
_WHAT = {
    "run.json": "The spec, the plan and its seed, versions, the source, and the environment of every host",
    "journal.jsonl": "What happened, in order",
    "stopping.json": "How many rounds each cell has, and why",
    "trials.parquet": "One row per trial: the accepted attempt, else the last",
    "attempts.parquet": "Every attempt, with the reason if it does not count",
    "claims.json": "The verdict on each claim",
    "report.html": "The report: figures, what was measured, where, and what did not work",
    "trials": "Each attempt: its measurements and probes (attempt.json), and what the tools printed",
    "figures": "The figures",
    "inputs": "The files that the spec names: variants, patches, notebooks, claims, files of a command",
    "notebooks": "The executed notebooks: every figure with the code that drew it",
    SPEC: "The experiment's spec, as it was read",
    README: "What this is, and how to read it",
    LICENSE: "The text of the licence",
    "SHA256SUMS": "A checksum of every file but this one and the metadata; `sha256sum -c SHA256SUMS` compares",
}


def _ids(names: Iterable[str]) -> Any:
    """Return references to entities, as JSON-LD has them: a single one as a value, several as a list."""
    found = [{"@id": name} for name in names]
    return found[0] if len(found) == 1 else found


def _time(stored: str | None) -> str:
    """Return a time in the form that the profile requires, with an offset from UTC."""
    return str(stored).replace("Z", "+00:00")


def _title(run: Mapping[str, Any]) -> str:
    return f"{run.get('experiment')}, run {run.get('run_id')}"


def _description(run: Mapping[str, Any], doubts: Sequence[str]) -> str:
    testbed = run.get("testbed") or {}
    parts = [
        f"A run of the experiment {run.get('experiment')} of orch, which reproduces the paper “{_PAPER_TITLE}”: "
        f"{str(run.get('description') or 'no description').rstrip('.')}.",
        f"Measured on the testbed {testbed.get('name')} ({testbed.get('provider')}; {testbed.get('label')}).",
    ]
    if found := virtual_time(run):
        parts += found.notes
    if testbed.get("emulated"):
        parts.append("Its hosts were emulated: this shows that something works, and not how fast.")
    if run.get("state") != "finished":
        parts.append(f"The run did not come to its end (it is {run.get('state')}); trials are missing.")
    return " ".join([*parts, *doubts])


def _rights(run: Mapping[str, Any]) -> str:
    kernels = (run.get("environment") or {}).get("testbed") or {}
    source = ((kernels.get("kernel") or {}) if isinstance(kernels.get("kernel"), Mapping) else {}).get("source_version")
    named = f" (linux {source})" if source else ""
    return (
        "The measurements, figures and texts are under the licence of orch, Apache-2.0. The WireGuard modules that "
        f"were measured, and the kernel{named}, are GPL-2.0 and are not in here: orch's source has the folder kernel/, "
        "with our changes and how they are built."
    )


def command(run: Mapping[str, Any]) -> str:
    """Return the shell command that begins such a run, for a reader."""
    words = ["orch", "run", SPEC]
    words += ["--tier", str(run["tier"])] if run.get("tier") else []
    words += [word for value in run.get("overrides") or () for word in ("--set", str(value))]
    return shlex.join(words)


def readme(run: Mapping[str, Any], names: Iterable[str], doubts: Sequence[str]) -> str:
    """Return the README of the archive. ``names``: the files in it; ``doubts``: sentences about what is not known."""
    commit = (run.get("source") or {}).get("commit")
    made_by = f"The run was made by its commit {commit}.\n" if commit else ""
    parts = {name.split("/", 1)[0] for name in names}
    listed = "\n".join(f"- `{part}`: {what}" for part, what in _WHAT.items() if part in parts)
    return f"""# {_title(run)}

{_description(run, doubts)}

Open `report.html` in a browser. orch, the software that measured this run, has no public repository and no DOI yet; the
paper is at {_PAPER}.
{made_by}With orch, these commands read the archive as it is, and need no testbed:

    orch report ARCHIVE.zip      redraw the figures and the report
    orch verify ARCHIVE.zip      give the verdicts on the claims

Two commands measure again: `orch rerun ARCHIVE.zip` repeats this run with its seed and compares the two, and
`{command(run)}` starts a new one.

{listed}

{_rights(run)}
"""


def _of_file(name: str, size: int) -> dict[str, Any]:
    kind = _FORMATS.get(PurePosixPath(name).suffix, "application/octet-stream")
    entity = {"@id": quote(name), "@type": "File", "name": PurePosixPath(name).name, "encodingFormat": kind}
    return {**entity, "contentSize": str(size), **({"description": _WHAT[name]} if name in _WHAT else {})}


def _data(sizes: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the data entities: each file, and each folder at the top; the raw data, which may be very many files, is
    only a folder."""
    entities: list[dict[str, Any]] = []
    folders: dict[str, list[str]] = {}
    for name, size in sizes.items():
        top, _, rest = name.partition("/")
        if not rest:
            entities.append(_of_file(name, size))
            continue
        inside = folders.setdefault(top, [])
        if top != "trials":
            inside.append(name)
            entities.append(_of_file(name, size))
    for top, inside in folders.items():
        folder: dict[str, Any] = {"@id": quote(top) + "/", "@type": "Dataset", "name": top}
        folder["description"] = _WHAT.get(top, "More files of the run")
        entities.append(folder | ({"hasPart": _ids(map(quote, inside))} if inside else {}))
    return entities


def _modules(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return an entity for each WireGuard build that was measured."""
    builds: dict[str, list[str]] = {}
    ids: dict[str, str] = {}
    for name, variant in sorted((run.get("variants") or {}).items()):
        builds.setdefault(str(variant.get("build")), []).append(name)
        ids[str(variant.get("build"))] = str(variant.get("build_id"))
    return [
        {
            "@id": f"#wireguard-{quote(build)}",
            "@type": "SoftwareApplication",
            "name": f"WireGuard kernel module, build {build}",
            "description": f"Measured as {', '.join(names)}; the version is the build id in the module.",
            "softwareVersion": ids[build],
            "operatingSystem": "Linux",
            "url": "https://www.wireguard.com/",
            "license": {"@id": "https://spdx.org/licenses/GPL-2.0-only"},
        }
        for build, names in builds.items()
    ]


def metadata(run: Mapping[str, Any], sizes: Mapping[str, int], doubts: Sequence[str]) -> dict[str, Any]:
    """Return the content of ro-crate-metadata.json. ``sizes``: the size of every other file in bytes, by its name in
    the archive."""
    source = run.get("source") or {}
    ended = _time(run.get("ended_at") or run.get("started_at"))
    status = "Completed" if run.get("state") == "finished" else "Failed"
    version = str((run.get("versions") or {}).get("orch"))
    data, modules = _data(sizes), _modules(run)
    there = [entity["@id"] for entity in data]
    action = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": _title(run),
        "description": command(run),
        "startTime": _time(run.get("started_at")),
        "endTime": ended,
        "actionStatus": f"http://schema.org/{status}ActionStatus",
        "instrument": {"@id": "#orch"},
        "object": {"@id": SPEC},
        "result": _ids(name for name in ("trials/", "trials.parquet", "figures/") if name in there),
    }
    root = {
        "@id": "./",
        "@type": "Dataset",
        "conformsTo": {"@id": _PROFILE},
        "name": _title(run),
        "description": _description(run, doubts),
        "datePublished": ended,
        "license": {"@id": _SPDX},
        "citation": {"@id": _PAPER},
        "keywords": "WireGuard, Linux, throughput, reproducibility",
        "hasPart": _ids(name for name in there if "/" not in name.rstrip("/")),
        "mentions": {"@id": "#run"},
    }
    program = {
        "@id": "#orch",
        "@type": "SoftwareApplication",
        "name": "orch",
        "description": "Runs the experiments of a WireGuard paper from a declarative spec and draws its figures again.",
        "softwareVersion": version,
        "softwareRequirements": _ids(module["@id"] for module in modules),
        "identifier": [
            f"{name}: {source[name]}" for name in ("commit", "tree_hash", "program_hash") if source.get(name)
        ],
        "license": {"@id": _SPDX},
    }
    graph = [
        {"@id": METADATA, "@type": "CreativeWork", "conformsTo": {"@id": _CRATE}, "about": {"@id": "./"}},
        root,
        *data,
        action,
        program,
        *modules,
        {"@id": _PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"},
        {"@id": _PAPER, "@type": "ScholarlyArticle", "name": _PAPER_TITLE, "datePublished": "2024"},
        {
            "@id": _SPDX,
            "@type": "CreativeWork",
            "name": "Apache License 2.0",
            "identifier": "Apache-2.0",
            "description": _rights(run),
        },
        {
            "@id": "https://spdx.org/licenses/GPL-2.0-only",
            "@type": "CreativeWork",
            "name": "GNU General Public License v2.0 only",
            "identifier": "GPL-2.0-only",
            "description": "The licence of the kernel and of its modules, which are not in this archive.",
        },
    ]
    return {"@context": [f"{_CRATE}/context", "https://w3id.org/ro/terms/workflow-run/context"], "@graph": graph}
