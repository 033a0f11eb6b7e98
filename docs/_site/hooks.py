# SPDX-License-Identifier: Apache-2.0
"""Hooks of MkDocs: the reference pages, generated from the program whenever the website is built.

Commands come from Typer, the keys of specs and testbed files from the JSON Schemas that `orch schema` prints.
"""

import html
import inspect
from collections.abc import Iterator
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

from orchestrator.cli import app
from orchestrator.spec import experiment_schema, testbed_schema


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {
        "reference/commands.md": commands(),
        "reference/spec.md": keys("Keys of a spec", "orch schema", experiment_schema()),
        "reference/testbed.md": keys("Keys of a testbed file", "orch schema testbed", testbed_schema()),
    }
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def commands() -> str:
    """Return the Markdown reference of all commands, in the order of `orch --help`."""
    parts = ["# Commands\n\n`orch COMMAND --help` prints the same text.\n"]
    for name in app.COMMANDS:
        command = app.load(name)
        context = typer.Context(command, info_name=f"orch {name}")
        parts.append(get_docs_for_click(obj=command, ctx=context, name=f"orch {name}", indent=1))
    return "\n".join(parts)


def keys(title: str, command: str, root: dict[str, Any]) -> str:
    """Return the Markdown reference of a JSON Schema: a table of keys for each of its objects."""
    parts = [f"# {title}\n\n`{command}` prints the JSON Schema from which this page is generated.\n"]
    if "properties" in root:
        parts.append(table(root))
    for name, definition in sorted(root["$defs"].items()):
        if "properties" in definition:
            parts.append(f"## {name}\n\n{text(definition)}\n\n{table(definition)}")
    return "\n".join(parts)


def table(definition: dict[str, Any]) -> str:
    """Return a Markdown table of an object's keys."""
    required = definition.get("required", [])
    rows = ["| Key | Value | Default | Meaning |", "|---|---|---|---|"]
    for key, value in definition["properties"].items():
        default = value.get("default")
        plain = default not in (None, "", [], {}) and not isinstance(default, dict)
        shown = "required" if key in required else code(default) if plain else ""
        rows.append(f"| `{key}` | {', '.join(dict.fromkeys(kinds(value)))} | {shown} | {text(value)} |")
    return "\n".join(rows) + "\n"


def kinds(value: dict[str, Any]) -> Iterator[str]:
    """Yield what a key's value may be."""
    for one in value.get("anyOf", value.get("oneOf", [])):
        yield from kinds(one)
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        yield f"[{name}](#{name.lower()})"
    elif "const" in value:
        yield code(value["const"])
    elif "enum" in value:
        yield from map(code, value["enum"])
    elif value.get("type") == "array":
        items = ", ".join(dict.fromkeys(kinds(value.get("items", {}))))
        yield f"list of {items}" if items else "list"
    elif "type" in value and value["type"] != "null":
        yield {"object": "mapping", "boolean": "true or false"}.get(value["type"], value["type"])


def text(value: dict[str, Any]) -> str:
    """Return a description as one line that is safe in a table."""
    said = inspect.cleandoc(value.get("description", "")).replace("``", "`")
    return html.escape(" ".join(said.split()), quote=False).replace("|", "\\|")


def code(value: Any) -> str:
    """Return a value as code."""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
