# SPDX-License-Identifier: Apache-2.0
"""The output of an attempt's tools: a file for each process or, if it is long, one zip file with all of them."""

import io
import zipfile
from collections.abc import Mapping

OUTPUT = "output.zip"
READ_AGAIN = frozenset({"polls.json", "profile.json"})  # files that the analysis reads are never packed
LONG_BYTES = 64 * 1024
_FIRST_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest in a zip file; the same output makes the same file


def files_of(raw: Mapping[str, str]) -> dict[str, bytes]:
    """Return the files to store for the outputs of an attempt's tools, by name.

    Outputs that are longer than `LONG_BYTES` together, such as those of two hundred iperf3 or of connections by the
    dozen, are the members of one file, `OUTPUT`. iperf3's reports become about twenty times shorter by that.
    """
    texts = {name: text.encode() for name, text in raw.items()}
    packed = {name: text for name, text in texts.items() if name not in READ_AGAIN}
    if sum(map(len, packed.values())) <= LONG_BYTES:
        return texts
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as members:
        for name in sorted(packed):
            members.writestr(_member(name), packed[name])
    return {name: text for name, text in texts.items() if name in READ_AGAIN} | {OUTPUT: archive.getvalue()}


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _FIRST_TIME)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = 0o644 << 16
    return member
