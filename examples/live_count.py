import os
import struct
import zlib

RECORD = struct.Struct("<6sHIIQ16sQQQ")
BOOT = bytes.fromhex(open("/proc/sys/kernel/random/boot_id").read().replace("-", ""))


def parse_record(data, size, itemsize):
    if len(data) != 64 or data[:8] != b"\x89MMAP\n\1\0":
        return None
    _, _, item, checksum, length, boot, live, synced, previous = RECORD.unpack(data)
    if checksum != zlib.crc32(data[:12] + data[16:40]) or length != size or live * item > size - 64:
        return None
    if item != itemsize:
        raise ValueError(f"this file holds values of {item} bytes")
    return (live if boot == BOOT else min(live, synced)), previous


def live_count(path, itemsize):
    """Number of values in a file of an array, also while the server writes to it."""
    with open(path, "rb") as file:
        fd = file.fileno()
        while True:
            size = os.fstat(fd).st_size
            if size == 0 or size % 4096:
                return size // itemsize
            # One byte more than there should be: fewer than 64 or more, and the length has changed since.
            end = os.pread(fd, 65, size - 64)
            if len(end) != 64:
                continue
            last = parse_record(end, size, itemsize)
            if last and last[1] == 0:
                return last[0]
            # A growth that has not ended: the record before it is the true one.
            before = parse_record(os.pread(fd, 64, last[1] - 64), last[1], itemsize) if last else None
            if before and before[1] == 0:
                return before[0]
            # No record, or one of a growth that ended just now: if it is still so, it was so.
            if os.pread(fd, 65, size - 64) == end and os.fstat(fd).st_size == size:
                return last[0] if last else size // itemsize
