# SPDX-License-Identifier: Apache-2.0
"""The testbed providers by name, and their schemas."""

from pathlib import Path
from typing import Any

from orchestrator.extensions import Extension, Registry
from orchestrator.spec.testbed import Pool, Testbed

# Each is a folder that defines a Provider (orchestrator.testbed.provider).
PROVIDERS = Registry(
    "providers",
    "PROVIDER",
    {name: f"orchestrator.testbed.{name}" for name in ("uml", "qemu", "ssh")},
    base="orchestrator.testbed.provider:Provider",
)
POOL = "pool"  # not a provider: each of its testbeds has one
_POOL_SUMMARY = "several testbeds that share a run"


def schema_of(name: str, folder: Path) -> tuple[type[Testbed | Pool], Extension | None] | None:
    """Return the model of a file with ``provider: name``, and the origin of its provider; None if there is no such
    provider.

    ``folder``: the file's, to which a path is relative. Raises UserError if the provider cannot be loaded.
    """
    if name == POOL:
        return Pool, None
    extension = PROVIDERS.find(name, folder)
    return None if extension is None else (PROVIDERS.load(extension).schema, extension)


def summaries() -> dict[str, str]:
    """Return a short description of each provider by name, including the pool. Raises UserError if one cannot be
    loaded.
    """
    return {name: provider_named(name).summary for name in PROVIDERS.names} | {POOL: _POOL_SUMMARY}


def provider_named(name: str) -> Any:
    """Return the provider with a name, an `orchestrator.testbed.provider.Provider`. Raises UserError if it cannot be
    loaded."""
    extension = PROVIDERS.find(name)
    assert extension is not None
    return PROVIDERS.load(extension)
