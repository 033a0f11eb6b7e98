# SPDX-License-Identifier: Apache-2.0
"""An ACPI table with which QEMU's processors have frequencies and idle states, as firmware of real ones declares them.

The kernel's own drivers (acpi-cpufreq, acpi_idle) then have something to drive: a write to change the frequency, and a
read to go idle, both of a port that does nothing, the scratch register of a second serial port.
ACPI specification 6.5, 8.4 (processor objects) and 20.2 (how they are encoded).
"""

import struct
from collections.abc import Iterable
from pathlib import Path

SCRATCH_PORT = 0x2FF
SERIAL = ("-chardev", "null,id=scratch", "-device", "isa-serial,chardev=scratch,index=1")
FREQUENCIES_MHZ = (2000, 1500, 1000)
DEEP_LATENCY_US = 150
_SYSTEM_IO, _FIXED_HARDWARE = 0x01, 0x7F


def _length(content: bytes) -> bytes:
    """A PkgLength and what it is the length of, itself among it."""
    if len(content) + 1 < 0x40:
        return bytes([len(content) + 1]) + content
    total = len(content) + 2
    assert total < 0x1000
    return bytes([0x40 | (total & 0xF), total >> 4]) + content


def _number(value: int) -> bytes:
    if value < 2:
        return bytes([value])
    return b"\x0a" + bytes([value]) if value < 0x100 else b"\x0c" + struct.pack("<I", value)


def _package(*elements: bytes) -> bytes:
    return b"\x12" + _length(bytes([len(elements)]) + b"".join(elements))


def _register(space: int, bits: int, address: int) -> bytes:
    """A resource template of one generic register that is accessed in bytes."""
    content = b"\x82\x0c\x00" + struct.pack("<BBBBQ", space, bits, 0, 1 if bits else 0, address) + b"\x79\x00"
    return b"\x11" + _length(_number(len(content)) + content)


def _name(name: str, value: bytes) -> bytes:
    return b"\x08" + name.encode() + value


def _processor(number: int) -> bytes:
    """The objects of a processor: \\_SB.CPUS.C000 and so on, as QEMU calls them."""
    port = _register(_SYSTEM_IO, 8, SCRATCH_PORT)
    frequencies = _package(
        *(
            _package(*map(_number, (mhz, mhz * 5, 10, 10, place + 1, place + 1)))
            for place, mhz in enumerate(FREQUENCIES_MHZ)
        )
    )
    shallow = _package(_register(_FIXED_HARDWARE, 0, 0), _number(1), _number(1), _number(1000))
    deep = _package(port, _number(2), _number(DEEP_LATENCY_US), _number(100))
    objects = [
        _name("_PPC", _number(0)),
        _name("_PCT", _package(port, port)),
        _name("_PSS", frequencies),
        _name("_CST", _package(_number(2), shallow, deep)),
    ]
    scope = b"\\\x2f\x03_SB_CPUS" + f"C{number:03X}".encode()
    return b"\x10" + _length(scope + b"".join(objects))


def write_table(file: Path, processors: Iterable[int]) -> list[str]:
    """Write the table; options of QEMU with which a machine of these processors has it."""
    content = b"".join(map(_processor, processors))
    head = b"SSDT" + struct.pack("<IBB", 36 + len(content), 2, 0) + b"ORCH  POWER   " + struct.pack("<I", 1)
    table = bytearray(head + b"ORCH" + struct.pack("<I", 1) + content)
    table[9] = -sum(table) % 0x100
    file.write_bytes(table)
    return ["-acpitable", f"file={file}", *SERIAL]
