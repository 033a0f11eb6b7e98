# SPDX-License-Identifier: Apache-2.0
"""`orch cache`: manage what was built for the lab."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from orchestrator import cache
from orchestrator.errors import UserError
from orchestrator.hashing import sha256_of
from orchestrator.locks import lock
from orchestrator.paths import cache_home

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Manage what was built for the lab.")


def _size(path: Path) -> int:
    """Return the disk space that a file or folder occupies, in bytes."""
    return sum(file.lstat().st_blocks * 512 for file in path.rglob("*"))


@app.command("list")
def list_products() -> None:
    """List the contents of the cache."""
    from rich.table import Table

    from orchestrator.cli.consoles import output

    found = cache.products()
    if not found:
        print(f"The cache {cache_home()} is empty. `orch run` and `orch lab up` fill it.")
        return
    console = output()
    console.print(str(cache_home()), soft_wrap=True)
    table = Table(box=None, padding=(0, 1, 0, 0))
    for column in ("kind", "key", "made", "took", "size"):
        table.add_column(column, justify="right" if column in ("took", "size") else "left", overflow="fold")
    for product in found:
        made, took = product.description["made_at"], product.description["seconds"]
        table.add_row(
            product.kind,
            product.key,
            made[:16].replace("T", " "),
            f"{took:.0f} s",
            f"{_size(product.path) / 2**20:.0f} MiB",
        )
    console.print(table)


@app.command()
def prune(
    everything: Annotated[bool, typer.Option("--all", help="Also remove what this checkout uses.")] = False,
) -> None:
    """Remove what this checkout no longer uses."""
    from orchestrator.testbed.qemu import disk as guests
    from orchestrator.testbed.uml import disk as lab

    used = [] if everything else [*lab.cached_products(), *guests.cached_products()]
    kept = {(product.kind, product.key) for product in used}
    freed = removed = 0
    for product in cache.products():
        if (product.kind, product.key) in kept or (product.kind == "kernel-source" and not everything):
            continue
        with lock(f"{product.kind}-{product.key}"):
            freed += _size(product.path)
            removed += 1
            shutil.rmtree(product.path)
    print(f"Removed {removed} product{'s' * (removed != 1)}, {freed / 2**20:.0f} MiB.")


@app.command()
def export(
    target: Annotated[Path, typer.Argument(help="The archive to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the archive if it exists.")] = False,
) -> None:
    """Write the built lab to one archive, so that another computer can run it without building."""
    from orchestrator.cli.run import open_display
    from orchestrator.testbed.uml.archive import LIMIT_BYTES, export_archive
    from orchestrator.testbed.uml.disk import bootable_products

    if target.is_dir() or not target.absolute().parent.is_dir():
        raise UserError(f"{target} is not the name of a file in an existing folder. Name one, such as lab.tar.xz.")
    if target.exists() and not force:
        raise UserError(f"{target} already exists. Name another file, or use --force to replace it.")
    products = bootable_products()
    with open_display("uml") as display:
        size = export_archive(products, target, display)
    print(f"{target}: {size / 2**20:.1f} MiB, {len(products)} products.")
    print(f"Its line for kernel/lab/prebuilt.sha256: {sha256_of(target)}  {target.name}")
    if size > LIMIT_BYTES:
        print(
            f"The archive is larger than {LIMIT_BYTES // 2**20} MiB, because the disk holds a Debian system of "
            f"{_size(products[-1].path) / 2**20:.0f} MiB before compression."
        )


@app.command("import")
def import_(
    source: Annotated[
        str,
        typer.Argument(
            help="An archive written by `orch cache export`: the path of a file, or an address "
            "(https://, http:// or file://)."
        ),
    ],
    sha256: Annotated[
        str | None,
        typer.Option(metavar="HEX", help="The archive's SHA-256. Default: the one in kernel/lab/prebuilt.sha256."),
    ] = None,
) -> None:
    """Import an archive into the cache.

    The SHA-256 of an archive at an address must be given or pinned in the checkout. That of a file is checked only if
    it is given: import no file that you would not run.
    """
    from orchestrator.cli.run import open_display
    from orchestrator.testbed.uml.archive import import_archive
    from orchestrator.testbed.uml.prebuilt import fetch, is_address, refuse_other, wanted_digests

    digests = {} if sha256 is None and not is_address(source) else wanted_digests(sha256)
    with tempfile.TemporaryDirectory(prefix="orch-import-") as name:
        if is_address(source):
            file = Path(name) / "archive"
            with open_display("uml") as display:
                matched = fetch(source, file, digests, display)
        else:
            file = Path(source)
            if not file.is_file():
                raise UserError(
                    f"{source} is not a file. Name an archive written by `orch cache export`, or its address "
                    "(https://, http:// or file://)."
                )
            matched = ""
            if digests:
                digest = sha256_of(file)
                refuse_other(source, digest, digests)
                matched = digests[digest]
        if matched:
            print(f"The SHA-256 of the archive is {matched}.")
        for product in import_archive(file):
            print(f"{product.kind} {product.key}")
