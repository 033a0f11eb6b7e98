# SPDX-License-Identifier: Apache-2.0
"""Count the code that is repeated between the files of providers, and between those of tools.

    .venv/bin/python benchmarks/repetition.py [commit]

The files are those of the checkout, or of a commit. A run of lines or statements is repeated if another of the files
has the same one; each line or statement of such a run counts once in each file. Lines are compared without indentation,
and without comments, docstrings, imports and empty lines. Statements are compared as Python parses them, so that line
breaks make no difference: without imports and docstrings, and without what only declares, which is heads of functions
and classes, and fields without a value. Of a compound statement its first line is compared, then the statements in it.
"""

import ast
import io
import subprocess
import sys
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = {
    "providers": ("orchestrator/testbed/", "orchestrator/spec/testbed.py"),
    "tools": ("orchestrator/tools/", "orchestrator/spec/tools.py", "orchestrator/spec/traffic.py"),
}
# The files of tools in commits that have no folder for tools yet.
EARLIER_TOOLS = tuple(
    f"orchestrator/run/{name}.py"
    for name in ("goodput", "iperf3", "iperf3_report", "losses", "packet_rate", "pktgen", "rate_search")
)
MEASURES = (("lines", 6), ("lines", 4), ("statements", 3))  # and the fewest that are a run


def lines(text: str) -> list[str]:
    """Return the lines of a module that are compared."""
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom) or _is_text(node):
            left_out.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    found = (line.strip() for number, line in enumerate(text.splitlines(), 1) if number not in left_out)
    return [line.partition("  # ")[0] for line in found if line and not line.startswith("#")]


def statements(tree: ast.AST) -> Iterator[str]:
    """Yield the statements of a module that are compared."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.stmt) and not _only_declares(node):
            text = ast.unparse(node)
            yield text.partition("\n")[0] if hasattr(node, "body") else text
        if isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from statements(node)


def _only_declares(node: ast.stmt) -> bool:
    declares = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return isinstance(node, declares) or _is_text(node) or (isinstance(node, ast.AnnAssign) and node.value is None)


def _is_text(node: ast.AST) -> bool:
    """Return whether a statement is a docstring or an ellipsis."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def repeated(files: Mapping[str, Sequence[str]], least: int) -> dict[str, list[Sequence[str]]]:
    """Return for each file its runs of at least ``least`` lines or statements that another file has too."""
    having = defaultdict(set)
    for name, told in files.items():
        for at in range(len(told) - least + 1):
            having[tuple(told[at : at + least])].add(name)
    found: dict[str, list[Sequence[str]]] = {}
    for name, told in files.items():
        begins = [at for at in range(len(told) - least + 1) if len(having[tuple(told[at : at + least])]) > 1]
        inside = sorted({at + i for at in begins for i in range(least)})
        starts = [at for at in inside if at - 1 not in inside]
        ends = [at + 1 for at in inside if at + 1 not in inside]
        found[name] = [told[start:end] for start, end in zip(starts, ends, strict=True)]
    return found


def count(texts: Mapping[str, str]) -> dict[str, int]:
    """Return how many lines and statements of modules are repeated, by what was counted, such as "lines 4"."""
    told = {
        "lines": {name: lines(text) for name, text in texts.items()},
        "statements": {name: list(statements(ast.parse(text))) for name, text in texts.items()},
    }
    return {
        f"{kind} {least}": sum(len(run) for runs in repeated(told[kind], least).values() for run in runs)
        for kind, least in MEASURES
    }


def modules(commit: str | None = None) -> dict[str, dict[str, str]]:
    """Return the text of each module of providers and of tools, in the checkout or in a commit."""
    if commit is None:
        paths = sorted((ROOT / "orchestrator").rglob("*.py"))
        texts = {str(path.relative_to(ROOT)): path.read_text() for path in paths}
    else:
        packed = subprocess.run(["git", "archive", commit, "orchestrator"], cwd=ROOT, capture_output=True, check=True)
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            members = [(one.name, archive.extractfile(one)) for one in archive if one.name.endswith(".py")]
            texts = {name: file.read().decode() for name, file in members if file is not None}
    wanted = dict(PARTS)
    if not any(name.startswith(PARTS["tools"][0]) for name in texts):
        wanted["tools"] = EARLIER_TOOLS + PARTS["tools"][1:]
    return {
        part: {name: text for name, text in texts.items() if name.startswith(below)} for part, below in wanted.items()
    }


if __name__ == "__main__":
    for part, texts in modules(*sys.argv[1:2]).items():
        print(f"{part}: {len(texts)} files, {sum(len(lines(text)) for text in texts.values())} lines")
        for what, number in count(texts).items():
            print(f"  repeated {what} or more: {number}")
