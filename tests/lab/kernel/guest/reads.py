# SPDX-License-Identifier: Apache-2.0
"""Random reads of the disk, past the page cache: how many there were, and how long the longest took, in seconds.

reads.py SECONDS
"""

import json
import mmap
import os
import random
import sys
import time

PAGE = 4096
disk = os.open("/dev/ubda", os.O_RDONLY | os.O_DIRECT)
pages = os.lseek(disk, 0, os.SEEK_END) // PAGE
buffer = mmap.mmap(-1, PAGE)
reads, longest_s = 0, 0.0
end = time.monotonic() + float(sys.argv[1])
while (begun := time.monotonic()) < end:
    os.preadv(disk, [buffer], random.randrange(pages) * PAGE)
    longest_s = max(longest_s, time.monotonic() - begun)
    reads += 1
print(json.dumps({"reads": reads, "longest_s": longest_s}))
