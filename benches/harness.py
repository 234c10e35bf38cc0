"""What the benchmarks share: servers of their own, clients, and runs in turns, whose ratios mean something on a noisy machine."""

import contextlib
import ctypes
import os
import random
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RELEASE = os.path.join(ROOT, "target", "release")
MODULE = os.environ.get("MMAP_MODULE", os.path.join(RELEASE, "libredis_mmap.so"))
EMPTY = os.path.join(RELEASE, "examples", "libempty_command.so")
# What is run when `Server` is called: a benchmark with an option for it sets this before.
SERVER = os.environ.get("MMAP_SERVER", "redis-server")
START_DEADLINE = 60.0
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
# Doubles in 1 MiB.
BLOCK = (1 << 20) // 8


class Connection:
    """A client that speaks as much RESP2 as is needed here."""

    def __init__(self, port):
        self.connection = socket.create_connection(("127.0.0.1", port), 600)
        self.reader = self.connection.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def send(self, *args):
        self.connection.sendall(encode(*args))

    def reply(self):
        line = self.reader.readline()
        if not line:
            raise ConnectionError("the server closed the connection")
        kind, text = line[:1], line[1:-2].decode(errors="surrogateescape")
        if kind == b"-":
            raise RuntimeError(text)
        if kind == b"$":
            return self.bulk(int(text))
        if kind == b"*":
            return [self.reply() for _ in range(int(text))]
        return int(text) if kind == b":" else text

    def bulk(self, length):
        if length < 0:
            return None
        return self.reader.read(length + 2)[:-2].decode(errors="surrogateescape")

    def command(self, *args):
        self.send(*args)
        return self.reply()

    def raw(self, *args):
        """A command whose reply is one string: its bytes, which need not be text."""
        self.send(*args)
        line = self.reader.readline()
        if line[:1] != b"$":
            raise RuntimeError(f"{args[0]} answered {line!r}")
        return self.reader.read(int(line[1:]) + 2)[:-2]


def encode(*args):
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in args]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class Server(Connection):
    """A server; `with` takes it down whatever happens. `enter` is called in its process before the program starts."""

    def __init__(self, directory, *options, enter=None):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.directory = directory
        self.log = open(os.path.join(directory, "log"), "w+")
        begin = time.monotonic()
        self.process = subprocess.Popen(
            [SERVER, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", directory,
             "--save", "", "--appendonly", "no", *options],
            stdout=self.log, stderr=self.log, preexec_fn=lambda: prepare_process(enter),
            # In a group with us, a stopped server would make the kernel send us SIGHUP when our shell ends.
            start_new_session=True,
        )
        try:
            self.wait_until_it_answers(begin)
        except BaseException:
            self.kill()
            raise
        self.start_seconds = time.monotonic() - begin

    def wait_until_it_answers(self, begin):
        while True:
            try:
                super().__init__(self.port)
                if self.command("PING") == "PONG":
                    return
            except (ConnectionError, RuntimeError):
                pass
            if self.process.poll() is not None or time.monotonic() - begin > START_DEADLINE:
                self.log.seek(0)
                sys.exit(f"the server did not start:\n{self.log.read()}")
            time.sleep(0.0005)

    def __exit__(self, *_):
        super().__exit__()
        self.kill()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def another(self):
        """Another connection to the same server."""
        return Connection(self.port)

    def sleep(self):
        """Writes to disk what the server has written, and stops it: it gets no CPU."""
        os.sync()
        self.process.send_signal(signal.SIGSTOP)

    @contextlib.contextmanager
    def awake(self):
        """Wakes the sleeping server for the duration of the block."""
        self.process.send_signal(signal.SIGCONT)
        try:
            yield self
        finally:
            self.sleep()

    def alone(self, work):
        """A run of `work` in which of all servers only this one is awake, if all are used so."""
        def once():
            with self.awake():
                return work(self)
        return once

    def info(self, section, field):
        for line in self.command("INFO", section).splitlines():
            if line.startswith(field + ":"):
                return int(line.split(":")[1])
        raise KeyError(field)

    def has(self, command):
        return self.command("COMMAND", "INFO", command)[0] is not None

    def calls(self, command):
        """How often a command was carried out since CONFIG RESETSTAT."""
        found = re.search(rf"^cmdstat_{command.lower()}:calls=(\d+)", self.command("INFO", "commandstats"), re.MULTILINE)
        return int(found[1]) if found else 0

    def private_bytes(self):
        """RAM of the process without pages of files."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return 1024 * int(re.search(r"^RssAnon:\s*(\d+) kB$", status.read(), re.MULTILINE)[1])

    def main_thread_seconds(self):
        """CPU time of the thread that carries out commands."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/schedstat") as stat:
            return int(stat.read().split()[0]) / 1e9

    def rate(self, requests, pipeline, *command, clients=50):
        """Requests per second, by redis-benchmark."""
        done = subprocess.run(
            ["redis-benchmark", "-p", str(self.port), "-c", str(clients), "-P", str(pipeline),
             "-n", str(requests), "--csv", "-x", *command[:-1]],
            input=command[-1].encode(), capture_output=True,
        )
        if done.returncode or b"rror" in done.stderr:
            sys.exit(f"redis-benchmark {command[0]}: {(done.stderr or done.stdout).decode().strip()[-500:]}")
        return float(done.stdout.decode().strip().splitlines()[-1].rsplit('","', 7)[1])

    def ping_under_load(self, seconds, command, clients, values):
        """p99.9 and greatest latency of PING in microseconds, while clients repeat a command; and how often a second they do.

        `__rand_int__` in the command is a new number below `values` each time.
        """
        load = subprocess.Popen(
            ["redis-benchmark", "-p", str(self.port), "-c", str(clients), "-n", "1000000000", "-r", str(values), "-q", *command],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        try:
            before = self.calls(command[0])
            while self.calls(command[0]) < before + 100:
                if load.poll() is not None:
                    sys.exit(f"redis-benchmark {command[0]} ended at once")
                time.sleep(0.001)
            first, begin = self.calls(command[0]), time.perf_counter()
            took = self.ping(seconds)
            rate = (self.calls(command[0]) - first) / (time.perf_counter() - begin)
        finally:
            load.kill()
            load.wait()
        return took[int(len(took) * 0.999)], took[-1], rate

    def ping(self, seconds):
        """Latencies of PING, in microseconds, in ascending order."""
        took = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            self.command("PING")
            took.append(1e6 * (time.perf_counter() - start))
        return sorted(took)


def prepare_process(enter):
    """Called in the process of a server: it dies with us, even if we are killed and it is stopped."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if enter:
        enter()


class Table:
    """Ratios, and what they should be at least."""

    def __init__(self):
        self.rows = []
        self.below = {}

    def add(self, work, goal, ratios, detail, why=None):
        """`why` is what the profile says of a row that misses its goal."""
        verdict = "" if goal is None else f"≥ {goal}"
        self.rows.append((work, verdict, spread(ratios), detail))
        if goal is not None and why and statistics.median(ratios) < goal:
            self.below.setdefault(why, []).append(work)
        progress(f"{work}: {spread(ratios)}")

    def show(self):
        show_table(("work", "goal", "ratio, min / median / max", "rate, median"), self.rows)
        if self.below:
            print("\nBelow their goal, and what the profile says of it:\n")
            for why, works in self.below.items():
                print(f"- {'; '.join(works)}: {why}")


def show_table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def progress(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def spread(values):
    return f"{min(values):.2f} / {statistics.median(values):.2f} / {max(values):.2f}"


def in_turns(rounds, *runs):
    """Runs all of `runs` in each round, in a new order each time, and gives each one's rates."""
    rates = [[] for _ in runs]
    for _ in range(rounds):
        for position in random.sample(range(len(runs)), len(runs)):
            rates[position].append(runs[position]())
    return rates


def ratios(ours, theirs):
    return [a / b for a, b in zip(ours, theirs)]


def rates_text(*named):
    return ", ".join(f"{name} {statistics.median(rates) / 1000:,.1f} k/s" for name, rates in named)


def need_room(directory, size, option):
    """Ends the program where the disk is too small, with room for what growth takes ahead. `option` is what makes it less."""
    room = shutil.disk_usage(directory).free
    if room < size * 5 // 4 + 2 * (1 << 30):
        sys.exit(f"{directory} has {room / 1e9:.1f} GB free: {size / 1e9:.1f} GB and some are needed. Set TMPDIR, or take {option}")


def whole_blocks(values):
    return values // BLOCK * BLOCK


def write_values(path, values):
    """Makes a file of random doubles, the same in each MiB."""
    block = struct.pack(f"<{BLOCK}d", *(random.random() for _ in range(BLOCK)))
    with open(path, "wb") as file:
        for _ in range(0, values, BLOCK):
            file.write(block)


def use_server(path=None):
    """Makes `path` the server to run, if given. Ends the program if that or redis-benchmark is not there."""
    global SERVER
    SERVER = path or SERVER
    for tool in (SERVER, "redis-benchmark"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is not installed; `make bench` installs redis-server and redis-benchmark, `make servers` other servers")


def version(server=None):
    """Of a server, if not of the one that is run: for example `Redis 7.0.15`."""
    line = subprocess.run([server or SERVER, "--version"], capture_output=True, check=True, text=True).stdout
    return f"{line.split()[0]} {re.search(r'v=([0-9.]+)', line)[1]}"


def stop_when_told():
    """Lets SIGTERM and SIGHUP end the program as Ctrl-C does: servers are taken down and files removed."""
    numbers = (signal.SIGTERM, signal.SIGHUP)

    def stop(*_):
        # Nothing shall break off the clearing up.
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        sys.exit("stopped")

    for number in numbers:
        signal.signal(number, stop)
