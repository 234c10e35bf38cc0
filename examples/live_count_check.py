"""Tests live_count.py while the file is cut and grows between any two of its reads.

    python examples/live_count_check.py        (no packages)

Exits with 1 if it ever counts bytes that are not values.
"""

import os
import tempfile
import zlib

import live_count as recipe

ITEM = 8


def record(size, live, previous=0):
    head = recipe.RECORD.pack(b"\x89MMAP\n", 1, ITEM, 0, size, recipe.BOOT, live, live, previous)
    checksum = zlib.crc32(head[:12] + head[16:40])
    return recipe.RECORD.pack(b"\x89MMAP\n", 1, ITEM, checksum, size, recipe.BOOT, live, live, previous)


class Writer:
    """A server that has the next of its steps carried out before each look of a reader."""

    def __init__(self, path, steps):
        self.file = open(path, "r+b", buffering=0)
        self.steps, self.counts = list(steps), []

    def step(self):
        if self.steps:
            getattr(self, self.steps.pop(0))()

    def begin(self, name):
        getattr(self, name)()
        self.counts = self.counts[-1:]

    def exact(self):
        os.ftruncate(self.file.fileno(), 1500 * ITEM)
        self.counts.append(1500)

    def exact_page(self):
        os.ftruncate(self.file.fileno(), 1024 * ITEM)
        self.counts.append(1024)

    def slack(self, live=1500, size=16384):
        os.ftruncate(self.file.fileno(), 1500 * ITEM)
        os.pwrite(self.file.fileno(), record(size, live), size - 64)
        self.counts.append(live)

    def more_slack(self):
        self.slack(1600, 32768)

    def growing(self):
        """The record at the end points to the true one."""
        self.slack(1650)
        os.pwrite(self.file.fileno(), record(32768, 1650, 16384), 32768 - 64)
        os.pwrite(self.file.fileno(), record(16384, 1700), 16384 - 64)
        self.counts.append(1700)

    def grown(self):
        """Values have overwritten the record before."""
        self.more_slack()
        os.pwrite(self.file.fileno(), bytes(64), 16384 - 64)

    def nothing(self):
        pass


def look(path, steps):
    os.truncate(path, 0)
    writer = Writer(path, steps[1:])
    writer.begin(steps[0])
    fstat, pread = os.fstat, os.pread

    def delayed(call):
        def looked(*args):
            writer.step()
            return call(*args)
        return looked

    os.fstat, os.pread = delayed(fstat), delayed(pread)
    try:
        count = recipe.live_count(path, ITEM)
    finally:
        os.fstat, os.pread = fstat, pread
    if count not in writer.counts:
        raise SystemExit(f"live_count_check: {steps}: {count} values were counted, there were {writer.counts}")


def sequences(names, length):
    if length == 0:
        yield []
        return
    for rest in sequences(names, length - 1):
        for name in names:
            yield [name, *rest]


def main():
    names = ["exact", "exact_page", "slack", "more_slack", "growing", "grown", "nothing"]
    looks = 0
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "f")
        open(path, "xb").close()
        for first in names[:-1]:
            for rest in sequences(names, 3):
                look(path, [first, *rest])
                looks += 1
    print(f"{looks} looks at a file that changes between them")


main()
