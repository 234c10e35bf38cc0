"""Replays the sessions of README.md and docs/ against a real server and compares what is printed.

usage: docs_check.py [--update]

MMAP_SERVER is the server's binary (default redis-server), MMAP_MODULE the module (default target/release/...). The
server is one of our own, on a free port, with the project's redis.conf and a temporary directory. It needs
redis-cli, and numpy for the sessions that import it. With --update, outputs that differ are written to the pages.

A session is a block that starts with ```console. In it,
    $ redis-cli     starts redis-cli; lines that start with `> ` are typed into it
    $ python3       starts Python; lines that start with `>>> ` and `... ` are typed into it
                    (both may have options and, before them, settings of the environment)
    $ anything else is run by bash, in the server's directory
and all other lines are what is printed. Words after ```console: `restart` restarts the server first, `vector-sets`
skips the block on servers without them. The sessions of a page follow on from each other; each page has a server of its
own. Owner, group and date in `ls -l` and process ids may differ.

A ```python block whose first line is `# examples/...` is a copy of that file. The tables of types and of INFO are
compared with what the server says, and so is what the pages of commands say of each: summary, first version, complexity,
categories; each section has the same parts in the same order. Links to pages and headings of the project must lead somewhere, so must citations of docs/design.md in comments, and every quoted error must be one of the module's.
"""

import difflib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
# The parts of a section of a command, in this order. Every command has a reply, errors and a session.
FORM = ["Arguments", "Reply", "Errors", "History", "See also"]
PAGES = [PROJECT / "README.md", *sorted(PROJECT.glob("docs/**/*.md"))]
DEADLINE = 30
MARKER = "--8<-- end of reply"

# Python that prints a marker before each statement, so that outputs can be told apart.
PYTHON_SESSION = f"""
import code, sys
sys.stderr = sys.stdout
def read(prompt):
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    if prompt == ">>> ":
        print({MARKER!r}, flush=True)
    return line.rstrip("\\n")
code.interact(banner="", readfunc=read, exitmsg="")
"""


class Server:
    def __init__(self, directory):
        self.directory = directory
        name = os.environ.get("MMAP_SERVER", "redis-server")
        found = shutil.which(name) or sys.exit(f"docs_check: there is no server '{name}'")
        # The server is started in another directory than ours.
        self.binary = os.path.abspath(found)
        module = Path(os.environ.get("MMAP_MODULE", PROJECT / "target/release/libredis_mmap.so")).resolve()
        lines = (PROJECT / "redis.conf").read_text().splitlines()
        conf = [line for line in lines if line.split(" ")[0] not in ("port", "dir", "loadmodule")]
        conf += [f"dir {directory}", f"loadmodule {module}"]
        self.conf = directory / ".redis.conf"
        # As `make run` does.
        (directory / "data").mkdir(exist_ok=True)
        self.conf.write_text("\n".join(conf) + "\n")
        self.process = None
        self.start()

    def start(self):
        # Another process may take the port between our look and the server's.
        for _ in range(5):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            with open(self.directory / ".log", "a") as log:
                self.process = subprocess.Popen(
                    [self.binary, self.conf, "--port", str(self.port)], cwd=self.directory, stdout=log, stderr=log
                )
            end = time.monotonic() + DEADLINE
            while self.process.poll() is None and time.monotonic() < end:
                if self.ask("PING") == "PONG":
                    return
                time.sleep(0.02)
            self.stop()
        sys.exit("docs_check: the server does not start:\n" + (self.directory / ".log").read_text())

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def version(self):
        said = subprocess.run([self.binary, "--version"], capture_output=True, text=True, timeout=DEADLINE).stdout
        return " ".join(said.split()[:3])

    def ask(self, *words):
        command = ["redis-cli", "-p", str(self.port), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE).stdout.strip()


class Step:
    """A line that is typed (with its continuations), and what is printed after it."""

    def __init__(self, line, number):
        self.typed, self.number, self.printed = [line], number, []


def parse(lines):
    """The blocks of a page: (words after the fence, first line's number, lines)."""
    blocks, block = [], None
    for number, line in enumerate(lines, 1):
        if block is None and line.startswith("```"):
            block = (line[3:].split(), number + 1, [])
        elif block is not None and line == "```":
            blocks.append(block)
            block = None
        elif block is not None:
            block[2].append(line)
    return blocks


def sessions(first, lines):
    """The programs of a block: each a shell command and, if it is one that is typed into, what is typed."""
    found, prompts = [], ()
    for number, line in enumerate(lines, first):
        if line.startswith("$ "):
            found.append((Step(line[2:], number), []))
            program = [word for word in line[2:].split() if "=" not in word]
            prompts = {"redis-cli": ("> ",), "python3": (">>> ", "... ")}.get(program[0], ())
            # With a command or a script as argument they read nothing.
            if any(not word.startswith("-") for word in program[1:]):
                prompts = ()
        elif prompts and line.startswith(prompts):
            prompt = next(p for p in prompts if line.startswith(p))
            if prompt == "... ":
                found[-1][1][-1].typed.append(line[4:])
            else:
                found[-1][1].append(Step(line[len(prompt):], number))
        elif prompts and line in (">", ">>>", "..."):
            found[-1][1][-1].typed.append("")
        else:
            shell, typed = found[-1]
            (typed[-1] if typed else shell).printed.append(line)
    return found


def run(command, directory, tools, typed=""):
    path = f"{tools}:{os.environ['PATH']}"
    environment = dict(os.environ, PATH=path, PYTHONPATH=str(PROJECT / "examples"), LC_ALL="C")
    done = subprocess.run(
        command, input=typed, cwd=directory, env=environment, timeout=DEADLINE, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    return done.stdout


def type_into_redis_cli(command, steps, directory, tools):
    # Inside MULTI a marker would be queued; there each command but EXEC prints one line.
    groups, in_multi = [], False
    for step in steps:
        if not in_multi:
            groups.append([])
        groups[-1].append(step)
        word = step.typed[0].split()[0].upper()
        in_multi = word == "MULTI" or (in_multi and word not in ("EXEC", "DISCARD"))
    typed = "".join("\n".join(s.typed[0] for s in group) + f'\nECHO "{MARKER}"\n' for group in groups)
    words = command.split()
    output = run([words[0], "--no-raw", *words[1:]], directory, tools, typed)
    for group, text in zip(groups, output.split(f'"{MARKER}"\n')):
        lines = text.splitlines()
        for step in group[:-1]:
            yield step, lines[:1]
            lines = lines[1:]
        yield group[-1], lines


def type_into_python(steps, directory, tools):
    typed = "".join("\n".join(step.typed) + "\n" + ("\n" if len(step.typed) > 1 else "") for step in steps)
    output = run([sys.executable, "-c", PYTHON_SESSION], directory, tools, typed)
    for step, text in zip(steps, output.split(MARKER + "\n")[1:]):
        yield step, text.strip("\n").splitlines()


def replay(first, lines, directory, tools):
    """Yields each step and what was printed."""
    for shell, typed in sessions(first, lines):
        if typed and shell.typed[0].startswith("redis-cli"):
            yield from type_into_redis_cli(shell.typed[0], typed, directory, tools)
        elif typed:
            yield from type_into_python(typed, directory, tools)
        else:
            yield shell, run(["bash", "-c", shell.typed[0]], directory, tools).splitlines()


# What differs from machine to machine, and from server to server: `ls -l`, process ids, how `ACL DRYRUN` names the user.
VARIABLE = [
    (re.compile(r"(\S{10})\S? +\d+ \S+ +\S+ +(\d+) \w{3} +\d+ +[\d:]+ (.*)"), r"\1 \2 \3"),
    (re.compile(r"\(pid \d+\)"), "(pid)"),
    (re.compile(r"^\"(This user|User \S+) has no permissions"), '"This user has no permissions'),
]


def comparable(lines):
    """Without what may differ."""
    lines = [line.rstrip() for line in lines]
    for pattern, constant in VARIABLE:
        lines = [pattern.sub(constant, line) for line in lines]
    return lines


def check_tables(text, server):
    """Yields what is wrong in the tables of types and of INFO."""
    fields = re.findall(r"^\| `(mmap_\w+)` \|", text, re.MULTILINE)
    told = re.findall(r"^(mmap_\w+):", server.ask("INFO", "mmap"), re.MULTILINE)
    if fields != told:
        yield "the table of INFO mmap", fields, told
    for name, size in re.findall(r"^\| `(\w+)`[^|]* \| [^|]*\| [^|]*\| (\d+) \|", text, re.MULTILINE):
        server.ask("MMAP", "docs_check", ".types", name, "WRITABLE")
        answer = server.ask("VITEMSIZE", "docs_check")
        server.ask("DEL", "docs_check")
        if answer != size:
            yield f"the table of types, {name}", [size], [answer]


def check_commands(server):
    """Yields what pages of commands say of a command and the server does not."""
    told = {}
    for name in json.loads(server.ask("--json", "COMMAND", "LIST", "FILTERBY", "MODULE", "mmap")):
        docs = json.loads(server.ask("--json", "COMMAND", "DOCS", name))[name]
        flags = json.loads(server.ask("--json", "COMMAND", "INFO", name))[0][2]
        told[name] = [docs["summary"], docs["since"], docs["complexity"], flags]
    documented = set()
    readme = (PROJECT / "README.md").read_text()
    for page in PROJECT.glob("docs/commands/*.md"):
        text = page.read_text()
        for heading, section in re.findall(r"^## ([A-Z, ]+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL):
            for name in heading.lower().split(", "):
                if name == "vadd" and name not in told:
                    continue  # The server has a command of that name.
                documented.add(name)
                summary, since, complexity, flags = told.get(name, ["", "", "", []])
                categories = ["@write" if "write" in flags else "@read", "@fast" if "fast" in flags else "@slow"]
                expected = [f"\n\n{summary}.\n\n", f"| {since} | {complexity} | {' '.join(categories)}"]
                yield from ((f"{page.name}: {name}", [part], []) for part in expected if part not in section)
                parts = re.findall(r"^\*\*(Arguments|Reply|Errors|History|See also)\*\*", section, re.MULTILINE)
                if not {"Reply", "Errors"} <= set(parts) or parts != sorted(parts, key=FORM.index) or "```console" not in section:
                    yield f"{page.name}: the parts of {name}", [*FORM, "and a session"], parts
                if f"    {name.upper()} key" not in section:
                    yield f"{page.name}: the syntax of {name}", [f"    {name.upper()} key"], []
            if f"| {summary} |" not in readme:
                yield f"README.md: {heading}", [f"| {summary} |"], []
    hidden = {"vreplicate"}
    if documented != set(told) - hidden:
        yield "the pages of commands", sorted(documented), sorted(set(told) - hidden)


def errors_of_the_module():
    """The texts of all errors in the source, as patterns: what is filled in may be anything."""
    literal = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
    texts = []
    for path in PROJECT.glob("src/**/*.rs"):
        for text in literal.findall(path.read_text()):
            text = re.sub(r"\\\n\s*", "", text).replace('\\"', '"')
            if " " in text:
                texts.append(re.compile(".+?".join(re.escape(part) for part in re.split(r"\{[^{}]*\}", text))))
    return texts


def check_quoted_errors():
    """Yields errors that pages quote (`ERR ...`; three dots stand for what differs) and the module never says."""
    texts = errors_of_the_module()
    servers = ("wrong number of arguments for",)
    for page in PAGES:
        prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for quoted in re.findall(r"`ERR ([^`]+)`", prose):
            quoted = " ".join(quoted.split())
            if quoted.startswith(servers):
                continue
            # The longest piece between dots must be of one of the module's texts.
            pieces = [piece for piece in quoted.split("...") if len(piece.strip(" ':;,()")) > 3]
            if not all(any(covers(text, piece) for text in texts) for piece in pieces):
                yield f"{page.name}: a quoted error", [], [quoted]


def covers(pattern, piece):
    """Whether a text of the source contains a piece of a quotation."""
    fixed = re.split(r"\.\+\?", pattern.pattern)
    plain = " ".join(piece.strip(" '").split())
    return any(plain in re.sub(r"\\(.)", r"\1", part) for part in fixed) or bool(pattern.search(plain))


def heading_anchor(heading):
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page):
    lines, in_block = [], False
    for line in page.read_text().splitlines():
        in_block ^= line.startswith("```")
        if line.startswith("#") and not in_block:
            lines.append(heading_anchor(line.lstrip("#")))
    return lines


def check_links():
    """Yields the links of all pages that lead nowhere within the project."""
    patterns = ("*.md", "docs/**/*.md", "examples/*.md", "examples/clients/*.md", "python/*.md")
    for page in [page for pattern in patterns for page in PROJECT.glob(pattern)]:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            path, _, anchor = target.partition("#")
            if "://" in path:
                continue
            file = (page.parent / path).resolve() if path else page
            if not file.exists():
                yield f"{page.name}: a link", ["a file"], [target]
            elif anchor and file.suffix == ".md" and anchor not in anchors(file):
                yield f"{page.name}: a link", anchors(file), [target]


def check_citations():
    """Yields the sections of docs/design.md that comments cite and that are not there."""
    titles = {line.lstrip("# ") for line in (PROJECT / "docs/design.md").read_text().splitlines() if line.startswith("#")}
    for page in [*PROJECT.glob("src/**/*.rs"), *PROJECT.glob("tests/**/*.rs")]:
        text = " ".join(re.sub(r"\n\s*(///|//!|//) ?", " ", page.read_text()).split())
        for title in re.findall(r'"([^"]{3,80})" (?:in|of) `?docs/design\.md', text):
            if title not in titles:
                yield f"{page.name}: a cited section", sorted(titles), [title]


def check_files():
    """Yields files that docs/design.md names, in its journeys (`array/append`) or with their ending, and that are not there."""
    text = (PROJECT / "docs/design.md").read_text()
    files = {path.relative_to(PROJECT).as_posix() for top in ("src", "tests") for path in PROJECT.glob(f"{top}/**/*.rs")}
    files |= {path.relative_to(PROJECT).as_posix() for path in PROJECT.glob("*.rs")}
    journeys = re.search(r"^### Journeys\n(.*?)^#", text, re.MULTILINE | re.DOTALL)[1]
    # The last column is of another version.
    columns = [row.split("|")[2] for row in journeys.splitlines() if row.startswith("| ")]
    named = [f"{path}.rs" for column in columns for path in re.findall(r"`(\w+/\w+)`", column)]
    named += re.findall(r"`([\w/]+\.rs)(?:::\w+)?`", text)
    if not named:
        yield "design.md: its journeys", ["names of files"], []
    for name in named:
        if not any(file == name or file.endswith("/" + name) for file in files):
            yield "design.md: a file", ["a file"], [name]


def differences(page, server, directory, tools):
    """Yields (place, expected, printed, step or None)."""
    lines = page.read_text().splitlines()
    vector_sets = "vectorset" in server.ask("MODULE", "LIST")
    steps = 0
    for words, first, block in parse(lines):
        if words[:1] == ["python"] and block[0].startswith("# examples/"):
            path = PROJECT / block[0][2:]
            file = path.read_text().splitlines()
            if block[1:] != file:
                yield f"{page.name}, line {first}: the copy of {block[0][2:]}", block[1:], file, None
        if words[:1] != ["console"] or ("vector-sets" in words and not vector_sets):
            continue
        if "restart" in words:
            server.stop()
            server.start()
            write_tools(tools, server.port)
        for step, printed in replay(first, block, directory, tools):
            steps += 1
            if comparable(step.printed) != comparable(printed):
                yield f"{page.name}, line {step.number}: {step.typed[0]}", step.printed, printed, step
    print(f"{steps} commands of {page.name} replayed on {server.version()}")


def write_tools(tools, port):
    """What a reader calls redis-cli and python3 talks to our server and is this Python."""
    cli = shutil.which("redis-cli") or sys.exit("docs_check: redis-cli is missing")
    for name, command in ("redis-cli", f"{cli} -p {port}"), ("python3", sys.executable):
        (tools / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (tools / name).chmod(0o755)


def update(page, corrections):
    lines = page.read_text().splitlines()
    for step, printed in sorted(corrections, key=lambda c: -c[0].number):
        start = step.number - 1 + len(step.typed)
        lines[start : start + len(step.printed)] = printed
    page.write_text("\n".join(lines) + "\n")


def check_page(page, updating):
    """Yields what differs on one page, with a server of its own; corrects the page if it is to be updated."""
    if "```console" not in page.read_text() and "```python" not in page.read_text():
        return
    with tempfile.TemporaryDirectory() as top:
        directory, tools = Path(top, "server"), Path(top, "tools")
        directory.mkdir()
        tools.mkdir()
        server = Server(directory)
        try:
            write_tools(tools, server.port)
            found = list(differences(page, server, directory, tools))
        finally:
            server.stop()
    if updating:
        update(page, [(step, printed) for _, _, printed, step in found if step])
    yield from ((place, expected, printed) for place, expected, printed, _ in found)


def check_server():
    """Yields what tables and pages say and the server does not."""
    with tempfile.TemporaryDirectory() as top:
        server = Server(Path(top))
        try:
            yield from check_tables("\n".join(page.read_text() for page in PAGES), server)
            yield from check_commands(server)
        finally:
            server.stop()


def main():
    updating = "--update" in sys.argv[1:]
    found = [difference for page in PAGES for difference in check_page(page, updating)]
    found += [*check_server(), *check_links(), *check_citations(), *check_files(), *check_quoted_errors()]
    for place, expected, printed in found:
        print(f"\n{place}")
        print("\n".join(difflib.unified_diff(expected, printed, "page", "server", lineterm="")))
    print(f"{len(found)} differences")
    sys.exit(1 if found and not updating else 0)


if __name__ == "__main__":
    main()
