# SPDX-License-Identifier: Apache-2.0
"""Building the lab kernel: User-Mode Linux from the pinned source, our patches and our configuration.

There are two kernels: all measurements use ``lab``; ``debug`` checks locks and memory, and is slow.

The product ``lab-kernel`` (``debug-kernel``) has

    linux            the kernel, an ordinary program, stripped
    modules/         modules of this kernel other than wireguard (pktgen)
    config           its full configuration
    upstream/        drivers/net/wireguard of this source, as upstream has it
    selftests/       tools/testing/selftests/wireguard of this source, as upstream has it
    headers/         what an external module build needs, on any x86-64 computer with a compiler
"""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator import cache
from orchestrator.commands import run_logged
from orchestrator.errors import TestbedError
from orchestrator.hashing import hash_files
from orchestrator.kernel.source import KernelSource, obtain_source, pin
from orchestrator.learned import learn, learned
from orchestrator.paths import KERNEL, cache_home
from orchestrator.progress import Progress

LAB = KERNEL / "lab"
ARCHITECTURE = "ARCH=um"
# For each kernel: its product, and the files of its configuration; later files take precedence.
KERNELS = {
    "lab": ("lab-kernel", (LAB / "kernel.config",)),
    "debug": ("debug-kernel", (LAB / "kernel.config", LAB / "debug.config")),
}
_FILES = 1050  # files to compile, until a build on this computer has counted them
# Most of the tarball is not needed for ARCH=um and is not unpacked; Kconfig reads every Kconfig file, so these are.
_OTHER_ARCHITECTURES = (
    *("alpha", "arc", "arm", "arm64", "csky", "hexagon", "loongarch", "m68k", "microblaze", "mips", "nios2"),
    *("openrisc", "parisc", "powerpc", "riscv", "s390", "sh", "sparc", "xtensa"),
)
_OTHER_DRIVERS = (
    *(
        "accel",
        "acpi",
        "ata",
        "bluetooth",
        "bus",
        "clk",
        "clocksource",
        "comedi",
        "cpufreq",
        "crypto",
        "devfreq",
        "dma",
    ),
    *("edac", "firmware", "fpga", "gpio", "gpu", "hid", "hwmon", "hwtracing", "i2c", "i3c", "iio", "infiniband"),
    *("input", "interconnect", "iommu", "irqchip", "isdn", "leds", "mailbox", "md", "media", "memory", "message"),
    *("mfd", "misc", "mmc", "mtd", "net/can", "net/dsa", "net/ethernet", "net/phy", "net/usb", "net/wireless", "nvme"),
    *("nvmem", "perf", "phy", "pinctrl", "platform", "pmdomain", "power", "regulator", "remoteproc", "reset", "rtc"),
    *("s390", "scsi", "soc", "soundwire", "spi", "staging", "target", "thermal", "thunderbolt", "ufs", "usb", "vfio"),
    *("video", "watchdog"),
)
_OTHER_FILE_SYSTEMS = (
    *("9p", "afs", "bcachefs", "btrfs", "ceph", "f2fs", "fuse", "gfs2", "jffs2", "nfs", "nfsd", "nilfs2", "ntfs3"),
    *("ocfs2", "smb", "ubifs", "udf", "xfs"),
)
_UNREAD = (
    *(f"*/arch/{name}/*.[chS]" for name in _OTHER_ARCHITECTURES),
    "*/arch/*/*.dts*",
    *(f"*/drivers/{name}/*.[ch]" for name in _OTHER_DRIVERS),
    *(f"*/fs/{name}/*.[ch]" for name in _OTHER_FILE_SYSTEMS),
    *("*/tools/perf/*", "*/tools/testing/[!s]*", "*/tools/testing/selftests/[!w]*", "*/samples/*.[ch]", "*/rust/*.rs"),
    *(f"*/Documentation/*.{suffix}" for suffix in ("rst", "txt", "yaml", "svg")),
    "*/sound/*.[ch]",
)


def patches(series: Path) -> list[Path]:
    """Return the patches that a series file lists, in order. Lines that start with # are comments."""
    folder = series.parent / "patches"
    lines = (line.split("#")[0].strip() for line in series.read_text(encoding="utf-8").splitlines())
    return [folder / line for line in lines if line]


def _inputs(kernel: str) -> dict[str, Any]:
    """Return the inputs of a lab kernel's build, other than the source."""
    files = [LAB / "series", *patches(LAB / "series")]
    return {"config": hash_files(KERNELS[kernel][1], LAB), "patches": hash_files(files, LAB)}


def cached_lab_kernel(kernel: str = "lab") -> cache.Product | None:
    """Return a cached lab kernel that was built with this checkout's configuration and patches, or None. A kernel of
    the pinned source is preferred."""
    wanted, mine, kind = pin(), _inputs(kernel), KERNELS[kernel][0]
    found = [
        product
        for product in cache.products()
        if product.kind == kind and all(product.description["inputs"].get(k) == v for k, v in mine.items())
    ]
    found.sort(key=lambda product: product.description["inputs"]["source_sha256"] != wanted.sha256)
    return found[0] if found else None


def lab_kernel(progress: Progress, kernel: str = "lab") -> cache.Product:
    """Return a lab kernel, from the cache or built now, which takes minutes."""
    kind, fragments = KERNELS[kernel]
    if product := cached_lab_kernel(kernel):
        return product
    source = obtain_source(progress)
    processors = len(os.sched_getaffinity(0))
    return cache.obtain(
        kind,
        {"source_sha256": source.sha256, **_inputs(kernel)},
        lambda folder: _build(source, fragments, folder, progress),
        progress,
        title=f"Building the {kind.replace('-', ' ')} (Linux {source.version})",
        estimate_s=900 / processors + 30,
    )


def _build(source: KernelSource, fragments: Sequence[Path], folder: Path, progress: Progress) -> Mapping[str, Any]:
    log = folder / "build.log"
    kept = cache_home() / "logs" / f"{folder.parent.name}.log"
    tree, out = folder / "source", folder / "build"
    tree.mkdir()
    progress.detail("unpacking the source")
    exclude = [f"--exclude={pattern}" for pattern in _UNREAD]
    unpack = ["tar", "--extract", "--strip-components=1", *exclude, "--wildcards"]
    unpack += ["-C", str(tree), "-f", str(source.tarball)]
    run_logged(unpack, log, what="Unpacking the kernel source", keep_log=kept)
    upstream = folder / "upstream"
    shutil.copytree(tree / "drivers/net/wireguard", upstream)
    shutil.copytree(tree / "tools/testing/selftests/wireguard", folder / "selftests", symlinks=True)
    apply_series(LAB / "series", tree, log, kept, source.version)
    # Static programs among the headers also run with the C library of another system.
    make = ["make", "-C", str(tree), ARCHITECTURE, f"O={out}", "HOSTLDFLAGS=-static"]
    environment = {"KBUILD_BUILD_USER": "orch", "KBUILD_BUILD_HOST": "lab"}
    progress.detail("configuring")
    wanted = folder / "wanted.config"
    wanted.write_text("".join(fragment.read_text(encoding="utf-8") for fragment in fragments))
    configure = [*make, "allnoconfig", f"KCONFIG_ALLCONFIG={wanted}"]
    run_logged(configure, log, what="Configuring the lab kernel", environment=environment, keep_log=kept)
    _check_configuration(wanted, out / ".config")
    wanted.unlink()
    objects, expected = 0, learned(files := f"{folder.parent.name}-files", _FILES) or _FILES

    def count(line: str) -> None:
        nonlocal objects
        if line.startswith("  CC"):
            objects += 1
            if objects % 25 == 0:
                told = f"{objects} of about {expected:.0f} files compiled, now {line.split()[-1]}"
                progress.detail(told, objects / expected)

    jobs = f"-j{len(os.sched_getaffinity(0))}"
    began = time.monotonic()
    build = [*make, jobs, "all", "modules"]
    run_logged(build, log, what="Building the lab kernel", environment=environment, on_line=count, keep_log=kept)
    learn(files, objects)
    progress.detail("collecting the kernel and its headers")
    subprocess.run(["strip", "-o", folder / "linux", out / "linux"], check=True)
    shutil.copy(out / ".config", folder / "config")
    (folder / "modules").mkdir()
    for module in out.rglob("*.ko"):
        if module.name != "wireguard.ko":
            subprocess.run(["strip", "--strip-debug", "-o", folder / "modules" / module.name, module], check=True)
    _collect_headers(tree, out, folder / "headers")
    release = (out / "include/config/kernel.release").read_text().strip()
    compiler = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    shutil.rmtree(tree)
    shutil.rmtree(out)
    log.unlink()
    return {
        "release": release,
        "source_version": source.version,
        "pinned": source.pinned,
        "compiler": compiler,
        "compile_s": round(time.monotonic() - began),
    }


def apply_series(series: Path, tree: Path, log: Path, kept: Path | None, version: str) -> None:
    """Apply the patches of a series to a source tree. Raises TestbedError, naming the patch, if one does not apply."""
    for patch in patches(series):
        run_logged(
            ["patch", "-p1", "--forward", "--batch", "--no-backup-if-mismatch", "-i", patch],
            log,
            what=f"Applying {patch.name} to the kernel source {version}",
            cwd=tree,
            keep_log=kept,
        )


def _check_configuration(wanted: Path, got: Path) -> None:
    """Raise TestbedError if an option that we set is missing: Kconfig silently drops options with unmet
    dependencies."""
    options = dict(line.split("=", 1) for line in wanted.read_text().splitlines() if line.startswith("CONFIG_"))
    lines = set(got.read_text().splitlines())
    missing = [name for name, value in options.items() if value != "n" and f"{name}={value}" not in lines]
    if missing:
        raise TestbedError(
            f"The kernel source does not take these options of {LAB.name}/*.config: {', '.join(missing[:8])}"
            f"{' and more' if len(missing) > 8 else ''}. The lab was not written for this kernel series."
        )


def _collect_headers(tree: Path, out: Path, headers: Path) -> None:
    """Collect the files of the source and of the build that `make M=` needs, in one relocatable tree."""
    headers.mkdir()
    picks = r"""
        echo Makefile
        find arch/um arch/x86 \( -name 'Makefile*' -o -name Kbuild -o -name '*.h' \) -print
        find include scripts \( -type f -o -type l \) -print
    """
    built = r"""
        echo .config; echo Module.symvers
        find include scripts arch -type f ! -name '*.o' ! -name '*.a' ! -name '.*.cmd' -print
    """
    for where, script in ((tree, picks), (out, built)):
        command = f'set -e; {{ {script}\n}} | tar --create --files-from=- | tar --extract -C "$1"'
        subprocess.run(["sh", "-c", command, "sh", headers], cwd=where, check=True, stdin=subprocess.DEVNULL)
