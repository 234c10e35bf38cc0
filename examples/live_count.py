import os
import struct
import zlib

RECORD = struct.Struct("<6sHIIQ16sQQQ")
BOOT = bytes.fromhex(open("/proc/sys/kernel/random/boot_id").read().replace("-", ""))


def read_record(fd, size, itemsize):
    data = os.pread(fd, 64, size - 64) if size > 0 and size % 4096 == 0 else b""
    if len(data) < 64 or data[:8] != b"\x89MMAP\n\1\0":
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
        while True:
            size = os.fstat(file.fileno()).st_size
            last = read_record(file.fileno(), size, itemsize)
            # A growth that has not ended: the record before it is the true one.
            before = read_record(file.fileno(), last[1], itemsize) if last and last[1] else None
            # If the length has changed meanwhile, what was read may not be the end of the file.
            if os.fstat(file.fileno()).st_size == size:
                if before and before[1] == 0:
                    return before[0]
                return last[0] if last else size // itemsize
