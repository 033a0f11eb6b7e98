# SPDX-License-Identifier: Apache-2.0
"""`orch kernel`: the WireGuard modules and the kernels that they are built for."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator import cache
from orchestrator.spec.variants import UPSTREAM

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Build the WireGuard modules, list the variants, and write the source that patches apply to.",
)


@app.command()
def build(
    target: Annotated[
        str, typer.Option("--for", metavar="KERNEL", help="lab, debug, or a kernel from kernel/releases.yaml.")
    ] = "lab",
    only: Annotated[str | None, typer.Option("--build", help="Only this build: upstream or multitunnel.")] = None,
) -> None:
    """Build all builds of wireguard.ko for a kernel, and print their paths and build ids."""
    from orchestrator.cli.run import open_display
    from orchestrator.kernel.builds import build_named, shipped_builds
    from orchestrator.kernel.lab import KERNELS
    from orchestrator.kernel.modules import lab_module
    from orchestrator.kernel.releases import release_module

    for build in [build_named(only)] if only else shipped_builds().values():
        with open_display("uml") as display:
            here = target in KERNELS
            product = lab_module(build, display, target) if here else release_module(target, build, display)
        facts = product.description["facts"]
        print(f"{build.name} for {facts['release']}: build id {facts['build_id']}\n  {product.path / 'wireguard.ko'}")


@app.command()
def source(
    folder: Annotated[Path, typer.Argument(help="The folder to create.")],
    of: Annotated[str, typer.Option("--build", help="Whose source: upstream or multitunnel.")] = UPSTREAM,
) -> None:
    """Write the source of the WireGuard module to a new folder, to make a patch of your own from."""
    from orchestrator.cli.run import open_display
    from orchestrator.kernel.builds import build_named
    from orchestrator.kernel.modules import write_source

    build = build_named(of)
    with open_display("uml") as display:
        version = write_source(build, folder, display)
    print(f"{folder} has drivers/net/wireguard of the kernel source {version} ({build.name}).")
    print("To make a patch: change a copy, and compare the two beside each other, as in `diff -ruN a b >my.patch`.")


@app.command("list")
def list_modules() -> None:
    """List the variants, and the modules that are built for each kernel."""
    from rich.table import Table

    from orchestrator.cli.consoles import output
    from orchestrator.kernel.builds import shipped_builds
    from orchestrator.kernel.lab import KERNELS
    from orchestrator.kernel.modules import cached_lab_module
    from orchestrator.kernel.releases import cached_release_module, load_releases
    from orchestrator.kernel.variants import load_variants

    console = output()
    variants = Table(box=None)
    for column in ("variant", "build", "settings", "what it is"):
        variants.add_column(column, overflow="fold")
    for variant in load_variants().values():
        napi = {"napi": "threaded" if variant.threaded else "softirq"} if variant.build else {}
        settings = {**napi, **variant.settings}
        shown = ", ".join(f"{name} {value}" for name, value in settings.items())
        variants.add_row(variant.name, variant.build or variant.system, shown, variant.description)
    console.print(variants)
    console.print()
    modules = Table(box=None)
    for column in ("kernel", "build", "release", "build id"):
        modules.add_column(column, overflow="fold")

    def row(kernel: str, name: str, product: cache.Product | None) -> None:
        facts = product.description["facts"] if product else {}
        modules.add_row(kernel, name, facts.get("release", "not built"), facts.get("build_id", ""))

    builds = shipped_builds()
    for kernel in KERNELS:
        for name, build in builds.items():
            row(kernel, name, cached_lab_module(build, kernel))
    for release in load_releases().values():
        for name, build in builds.items():
            row(release.name, name, cached_release_module(release, build))
    console.print(modules)
