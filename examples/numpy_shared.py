"""One file of doubles, shared by numpy and Redis; every value read on either side is checked.

usage: numpy_shared.py [port]

The server at 127.0.0.1:port (default 6379) must have the module loaded and run on this machine. The files are made in
its directory `mmap.dir` and removed at the end. Exits with 1 at the first difference.
"""

import multiprocessing
import os
import sys
import time

import numpy as np
import redis

from live_count import live_count

COUNT = 10_000_000
SINGLES = 300_000
ROWS, ROW = 2_000, 1_000
DEADLINE = 60


def check(condition, what):
    if not condition:
        raise SystemExit(f"numpy_shared: {what}")


def same(replies, expected, what):
    """Compares bits, so that -0.0 is not 0.0."""
    check(None not in replies, f"{what}: a value is missing")
    got = np.array([float(reply) for reply in replies])
    check(np.array_equal(got.view("u8"), expected.view("u8")), f"{what}: a value differs")


def read_in_redis(port, key, data):
    """Checks what Redis says of a file that numpy wrote, in both versions of the protocol."""
    random = np.random.default_rng(1)
    for protocol in 2, 3:
        client = redis.Redis(port=port, protocol=protocol)
        indices = random.integers(0, len(data), 5_000)
        pipeline = client.pipeline(transaction=False)
        for index in indices:
            pipeline.execute_command("VGET", key, int(index))
        same(pipeline.execute(), data[indices], f"VGET, RESP{protocol}")
        for _ in range(20):
            indices = random.integers(0, len(data), 1_000)
            same(client.execute_command("VMGET", key, *indices.tolist()), data[indices], f"VMGET, RESP{protocol}")
        for start in 0, 4_096 // 8 - 1, len(data) // 2, len(data) - 10_000:
            part = slice(start, start + 10_000)
            replies = client.execute_command("VMGET", key, *range(part.start, part.stop))
            same(replies, data[part], f"VMGET {part.start}..{part.stop}, RESP{protocol}")
        ends = client.execute_command("VMGET", key, -1, len(data), 2**63)
        check(ends == [None, None, None], "an index out of range has a value")


def follow(path, data, done, report):
    """Another process: numpy reads the file while Redis appends to it. `data` is what will be there in the end."""
    random = np.random.default_rng(2)
    seen = reads = with_slack = 0
    while True:
        last_round = done.is_set()
        count = live_count(path, data.itemsize)
        check(seen <= count <= len(data), f"{count} values after {seen}, of {len(data)}")
        with_slack += os.stat(path).st_size > count * data.itemsize
        if count > 0:
            # Only the values that are there are mapped: a page behind the end of a trimmed file is a SIGBUS.
            values = np.memmap(path, data.dtype, "r", shape=(count,))
            check(np.array_equal(values[seen:], data[seen:count]), f"a new value differs, of {count}")
            some = random.integers(0, count, 1_000)
            check(np.array_equal(values[some], data[some]), f"an old value differs, of {count}")
        seen, reads = count, reads + 1
        if last_round:
            check(count == len(data), f"{count} values in the end, not {len(data)}")
            report.put((reads, with_slack))
            return


def append_from_redis(client, key, data):
    """One value a command at first, a thousand later."""
    for start in range(0, SINGLES, 1_000):
        pipeline = client.pipeline(transaction=False)
        for value in data[start : start + 1_000].tolist():
            pipeline.execute_command("VPUSH", key, value)
        check(pipeline.execute() == [1] * 1_000, "VPUSH of one value")
    for start in range(SINGLES, len(data), 20 * ROW):
        pipeline = client.pipeline(transaction=False)
        for row in range(start, start + 20 * ROW, ROW):
            pipeline.execute_command("VPUSH", key, *data[row : row + ROW].tolist())
        check(pipeline.execute() == [ROW] * 20, "VPUSH of a thousand values")


def wait_for_length(path, length):
    end = time.monotonic() + DEADLINE
    while os.stat(path).st_size != length:
        check(time.monotonic() < end, f"{path} is {os.stat(path).st_size} bytes long, not {length}")
        time.sleep(0.01)


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 6379
    client = redis.Redis(port=port, protocol=2)
    folder = client.config_get("mmap.dir")["mmap.dir"]
    names = [f"numpy_shared.{os.getpid()}.{n}" for n in ("read", "append")]
    paths = [os.path.join(folder, name) for name in names]
    try:
        data = np.random.default_rng(0).standard_normal(COUNT)
        data[:6] = [0.0, -0.0, 5e-324, 1.7976931348623157e308, np.inf, -np.inf]
        data.tofile(paths[0])
        start = time.monotonic()
        check(client.execute_command("MMAP", names[0], names[0], "double") == COUNT, "MMAP does not count right")
        took = 1_000 * (time.monotonic() - start)
        print(f"numpy wrote {COUNT:,} doubles; Redis mapped them read-only in {took:.1f} ms")
        read_in_redis(port, names[0], data)
        try:
            client.execute_command("VPUSH", names[0], 1)
            check(False, "a read-only array took a value")
        except redis.ResponseError:
            pass
        print("random indices and slices are the same in numpy and in Redis")

        appended = data[: SINGLES + ROWS * ROW]
        check(client.execute_command("MMAP", names[1], names[1], "double", "WRITABLE") == 0, "a new file is not empty")
        context = multiprocessing.get_context("fork")
        done, report = context.Event(), context.Queue()
        reader = context.Process(target=follow, args=(paths[1], appended, done, report))
        reader.start()
        try:
            append_from_redis(client, names[1], appended)
        finally:
            done.set()
            reader.join(DEADLINE)
            reader.kill()
        check(reader.exitcode == 0, "the reader found a difference or did not end")
        reads, with_slack = report.get(timeout=DEADLINE)
        print(f"Redis appended {len(appended):,} doubles; meanwhile numpy read them {reads:,} times, all right")
        print(f"the file was longer than its values in {with_slack:,} of these; now it is exactly as long again")
        wait_for_length(paths[1], appended.nbytes)
        check(np.array_equal(np.fromfile(paths[1]).view("u8"), appended.view("u8")), "the file differs in the end")
    finally:
        client.delete(*names)
        for path in paths:
            if os.path.exists(path):
                os.remove(path)


if __name__ == "__main__":
    main()
