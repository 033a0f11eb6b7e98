# SPDX-License-Identifier: Apache-2.0
"""Build wireguard.ko for the lab kernel, and write its source.

See `orchestrator.kernel.builds` for what a build is.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator import cache
from orchestrator.commands import run_logged
from orchestrator.errors import UserError
from orchestrator.kernel.builds import Build
from orchestrator.kernel.elf import build_id
from orchestrator.kernel.lab import ARCHITECTURE, apply_series, cached_lab_kernel, lab_kernel
from orchestrator.kernel.source import obtain_source
from orchestrator.paths import cache_home
from orchestrator.progress import Progress

_MODULE = "drivers/net/wireguard"  # in the kernel source
# With this header, the module sees only the CPUs of its own group as online, if the lab kernel has groups (cpu_groups=
# on its command line); otherwise it has no effect.
FLAGS = "KCFLAGS=-include asm/cpu-groups.h"


def _inputs(kernel: cache.Product, build: Build) -> dict[str, Any]:
    return {"kernel": kernel.key, "build": build.name, "own": build.digest, "flags": FLAGS}


def cached_lab_module(build: Build, kernel_name: str = "lab") -> cache.Product | None:
    """Return the cached wireguard.ko of a build, or None if it or its kernel has not been built."""
    kernel = cached_lab_kernel(kernel_name)
    return cache.find("wireguard-module", cache.key_of(_inputs(kernel, build))) if kernel else None


def lab_module(build: Build, progress: Progress, kernel_name: str = "lab") -> cache.Product:
    """Return wireguard.ko of a build for a lab kernel, from the cache or built now. The facts in its product.json
    include the build id."""
    kernel = lab_kernel(progress, kernel_name)
    if product := cache.find("wireguard-module", cache.key_of(_inputs(kernel, build))):
        return product
    return cache.obtain(
        "wireguard-module",
        _inputs(kernel, build),
        lambda folder: _build(kernel, build, folder),
        progress,
        title=f"Building the wireguard module ({build.name}{', debug' * (kernel_name == 'debug')})",
        estimate_s=12,
    )


def write_source(build: Build, folder: Path, progress: Progress) -> str:
    """Write the source of a build's module into a new folder, where the kernel source has it (drivers/net/wireguard),
    and return the version of the kernel source.

    Nothing is compiled: the source comes from the built lab kernel or from the kernel source. Raises UserError if the
    folder exists, and TestbedError if there is no source.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise UserError(f"{folder} already exists. Name a new folder.") from error
    try:
        with tempfile.TemporaryDirectory(prefix="orch-source-") as name:
            log = Path(name) / "log"
            kernel = cached_lab_kernel()
            if kernel is not None:
                version = str(kernel.description["facts"]["source_version"])
                shutil.copytree(kernel.path / "upstream", folder / _MODULE)
            else:
                source = obtain_source(progress)
                version = source.version
                unpack = ["tar", "--extract", "--strip-components=1", "--wildcards", "-C", str(folder)]
                unpack += ["-f", str(source.tarball), f"*/{_MODULE}"]
                run_logged(unpack, log, what="Unpacking the kernel source")
            _patch(build, folder, log, None, version)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # a partial folder would block another attempt
        raise
    return version


def _patch(build: Build, tree: Path, log: Path, kept: Path | None, version: str) -> None:
    """Turn upstream's source of the module in a tree into that of a build. ``version``: of the kernel source."""
    if not build.patched:
        return
    own = log.parent / "own"
    build.write(own)
    if (own / "src").is_dir():
        shutil.copytree(own / "src", tree / _MODULE, dirs_exist_ok=True)
    apply_series(own / "series", tree, log, kept, version)
    shutil.rmtree(own)


def _build(kernel: cache.Product, build: Build, folder: Path) -> Mapping[str, Any]:
    log = folder / "build.log"
    kept = cache_home() / "logs" / f"wireguard-{build.name}.log"
    tree = folder / "source"
    module = tree / _MODULE
    shutil.copytree(kernel.path / "upstream", module)
    _patch(build, tree, log, kept, kernel.description["facts"]["source_version"])
    arguments = ["make", "-C", str(kernel.path / "headers"), ARCHITECTURE, FLAGS, f"M={module}", "CONFIG_WIREGUARD=m"]
    jobs = f"-j{len(os.sched_getaffinity(0))}"
    what = f"Building the wireguard module ({build.name})"
    run_logged([*arguments, jobs, "modules"], log, what=what, keep_log=kept)
    target = folder / "wireguard.ko"
    subprocess.run(["strip", "--strip-debug", "-o", target, module / "wireguard.ko"], check=True)
    shutil.rmtree(tree)
    log.unlink()
    return {"build_id": build_id(target), "release": kernel.description["facts"]["release"], "build": build.name}
