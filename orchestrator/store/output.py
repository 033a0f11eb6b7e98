# SPDX-License-Identifier: Apache-2.0
"""The output of an attempt's tools: a file for each process or, if it is long, one archive with all of them."""

import io
import lzma
import tarfile
from collections.abc import Mapping

OUTPUT = "output.tar.xz"
READ_AGAIN = frozenset({"polls.json", "profile.json"})  # files that the analysis reads are never packed
LONG_BYTES = 64 * 1024
_PRESET = 3  # of xz: the default takes four times as long, for a fifth less


def files_of(raw: Mapping[str, str]) -> dict[str, bytes]:
    """Return the files to store for the outputs of an attempt's tools, by name.

    Outputs that are longer than `LONG_BYTES` together, such as those of two hundred iperf3 or of connections by the
    dozen, are the members of one file, `OUTPUT`. Compressed together, the reports of 100 pairs of iperf3 become ten
    times shorter, and four times if each is compressed alone. The same output makes the same file.
    """
    texts = {name: text.encode() for name, text in raw.items()}
    packed = {name: text for name, text in texts.items() if name not in READ_AGAIN}
    if sum(map(len, packed.values())) <= LONG_BYTES:
        return texts
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as members:
        for name in sorted(packed):
            member = tarfile.TarInfo(name)
            member.size = len(packed[name])
            members.addfile(member, io.BytesIO(packed[name]))
    return {name: text for name, text in texts.items() if name in READ_AGAIN} | {
        OUTPUT: lzma.compress(archive.getvalue(), preset=_PRESET)
    }
