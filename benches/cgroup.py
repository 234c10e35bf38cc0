"""A control group that limits the memory of a process, the pages of files included. Needs root; knows cgroup v2 and v1."""

import contextlib
import os
import time

ROOT = "/sys/fs/cgroup"


class Unavailable(Exception):
    """Why there can be no such group here."""


class Group:
    """A folder of the kernel's, and the names of its files."""

    def __init__(self, folder, limit, current):
        self.folder, self.limit, self.current = folder, limit, current

    def enter(self):
        """Moves the process that calls it into the group."""
        self.write("cgroup.procs", os.getpid())

    def used(self):
        """Bytes of RAM, with pages of files."""
        with open(os.path.join(self.folder, self.current)) as file:
            return int(file.read())

    def write(self, name, value):
        with open(os.path.join(self.folder, name), "w") as file:
            file.write(str(value))


def find():
    """Where groups that limit memory are made, and the names of the limit and of what is used."""
    if os.path.exists(os.path.join(ROOT, "memory", "memory.limit_in_bytes")):
        return os.path.join(ROOT, "memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"
    try:
        with open(os.path.join(ROOT, "cgroup.subtree_control")) as file:
            if "memory" in file.read().split():
                return ROOT, "memory.max", "memory.current"
    except OSError:
        pass
    raise Unavailable(f"no memory controller for groups in {ROOT}")


@contextlib.contextmanager
def memory(limit):
    """A group of at most `limit` bytes; it is removed when its processes have ended.

    Raises `Unavailable` where the system or the user's rights do not allow it.
    """
    parent, limit_name, current_name = find()
    group = Group(os.path.join(parent, f"redis-mmap-{os.getpid()}"), limit_name, current_name)
    try:
        os.mkdir(group.folder)
    except OSError as error:
        raise Unavailable(f"cannot make {group.folder}: {error.strerror}") from error
    try:
        try:
            group.write(limit_name, limit)
        except OSError as error:
            raise Unavailable(f"cannot write {group.folder}/{limit_name}: {error.strerror}") from error
        yield group
    finally:
        remove(group.folder)


def remove(folder):
    """A process that has ended may be in its group for a moment yet."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return os.rmdir(folder)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
