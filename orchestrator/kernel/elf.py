# SPDX-License-Identifier: Apache-2.0
"""The build id of a kernel module, read from its ELF file.

Format: System V ABI, sections and notes; the note is the linker's .note.gnu.build-id.
"""

import struct
from pathlib import Path

from orchestrator.errors import TestbedError

_SHT_NOTE = 7
_NT_GNU_BUILD_ID = 3


def _note_build_id(data: bytes) -> str | None:
    offset = 0
    while offset + 12 <= len(data):
        name_size, size, kind = struct.unpack_from("<III", data, offset)
        start = offset + 12 + (name_size + 3) // 4 * 4
        if kind == _NT_GNU_BUILD_ID and data[offset + 12 : offset + 12 + name_size] == b"GNU\0":
            return data[start : start + size].hex()
        offset = start + (size + 3) // 4 * 4
    return None


def build_id(path: Path) -> str:
    """Return the build id of a 64-bit little-endian ELF file, in hexadecimal. Raises TestbedError if the file has
    none."""
    data = path.read_bytes()
    if data[:6] == b"\x7fELF\x02\x01":
        section_offset = struct.unpack_from("<Q", data, 0x28)[0]
        entry_size, count = struct.unpack_from("<HH", data, 0x3A)
        for index in range(count):
            header = struct.unpack_from("<IIQQQQ", data, section_offset + index * entry_size)
            kind, offset, size = header[1], header[4], header[5]
            found = _note_build_id(data[offset : offset + size]) if kind == _SHT_NOTE else None
            if found:
                return found
    raise TestbedError(f"{path} has no build id, so that a loaded module could not be identified; build it again.")
