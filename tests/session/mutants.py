#!/usr/bin/env python3
"""Seeds faults into the session, one at a time, and tells which test catches each.

usage: mutants.py [--check] [--all] [--tests a,b] [--jobs N] [--dir DIR] [word...]

The faults are those of mutants.txt; with words, the ones whose name contains one of them. For each, the tests are built
against a copy of the sources and run, one executable after the other until one fails (--all: all of them; --tests: only
these). Without words the result is written to docs/mutations.md. --check only makes sure that every fault can still be seeded.
"""

import argparse
import concurrent.futures
import os
import pathlib
import queue
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SESSION = pathlib.Path("include/tern/session")
TESTS = ["test_session_states", "test_session_reconnect", "test_session_dialogs", "test_session_cuts",
         "test_session_random"]
TIME_LIMIT = 180  # seconds; a fault can make a test run for ever


class Change:
    def __init__(self, file):
        self.file = file  # or none: wherever the old text is
        self.old = ""
        self.new = None


class Mutant:
    def __init__(self, name):
        self.name = name
        self.changes = []

    def mutated(self, root):
        """The changed files and their text."""
        texts = {path: path.read_text() for path in sorted((root / SESSION).rglob("*.hpp"))}
        changed = set()
        for change in self.changes:
            pattern = r"\s+".join(re.escape(word) for word in change.old.split())
            found = [(path, match) for path, text in texts.items() for match in re.finditer(pattern, text)
                     if path.match(change.file or "*")]
            if len(found) != 1:
                raise LookupError(f"'{self.name}': {len(found)} times there is: {change.old.strip()}")
            path, match = found[0]
            text = texts[path]
            texts[path] = text[: match.start()] + change.new.rstrip() + text[match.end() :]
            changed.add(path)
        return {path: texts[path] for path in changed}


def read_mutants():
    mutants = []
    file = None
    for line in (HERE / "mutants.txt").read_text().splitlines():
        key, _, rest = line.partition(" ")
        if line.startswith("["):
            mutants.append(Mutant(line[1:-1]))
            continue
        changes = mutants[-1].changes if mutants else []
        if key == "in":
            file = rest
        elif key == "old":
            if not changes or changes[-1].new is not None:
                changes.append(Change(file))
                file = None
            changes[-1].old += rest + "\n"
        elif key == "new":
            changes[-1].new = (changes[-1].new or "") + rest + "\n"
        elif line and key != "#":
            sys.exit(f"mutants.txt: what is '{line}'?")
    for mutant in mutants:
        if not mutant.changes or not all(c.old.strip() and c.new is not None for c in mutant.changes):
            sys.exit(f"mutants.txt: '{mutant.name}' does not say what to change")
    return mutants


def copy_sources(to):
    """Brings the copy up to date. Only what differs is written: the rest need not be built again."""
    wanted = set()
    for part in ("include", "tests", "cmake", "examples", "benchmarks"):
        wanted.update(p.relative_to(ROOT) for p in (ROOT / part).rglob("*") if p.is_file())
    wanted.update(pathlib.Path(p.name) for p in ROOT.iterdir() if p.is_file())
    for old in [p for p in to.rglob("*") if p.is_file()]:
        if old.relative_to(to) not in wanted:
            old.unlink()
    for path in wanted:
        source, copy = ROOT / path, to / path
        if not copy.exists() or copy.read_bytes() != source.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)


class Workshop:
    """A copy of the sources and what is built of it."""

    def __init__(self, directory, tests):
        self.source = directory / "source"
        self.build = directory / "build"
        self.call("cmake", "-S", self.source, "-B", self.build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug",
                  "-DCMAKE_CXX_FLAGS_DEBUG=-O0", "-DTERN_TESTS=ON")
        known = subprocess.run(["ninja", "-C", self.build, "-t", "targets", "all"], capture_output=True, text=True,
                               check=True).stdout
        self.tests = [test for test in tests if f"\n{test}: " in known]

    def call(self, *command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stdout[-4000:])

    def failures(self, test):
        """The names of the test cases that fail."""
        self.call("cmake", "--build", self.build, "--target", test)
        environment = dict(os.environ, TERN_ANY_COUNT="1")
        executable = self.build / "tests" / "session" / test
        with open(self.build / f"{test}.xml", "w+b") as output:
            try:
                code = subprocess.run([executable, "-r", "xml"], stdout=output, stderr=subprocess.DEVNULL,
                                      env=environment, timeout=TIME_LIMIT).returncode
            except subprocess.TimeoutExpired:
                code = -1
            output.seek(0)
            text = output.read().decode(errors="replace")
        failed = []
        for case in text.split("<TestCase ")[1:]:
            name = unescape(re.search(r'name="([^"]*)"', case).group(1))
            if '<OverallResult success="true"' in case:
                continue
            rule = re.search(r"^\s*(\S.*), after:$", case, re.MULTILINE)
            if rule:
                name += f": “{unescape(rule.group(1))}” does not hold"
            elif "<OverallResult" not in case:
                name += ": does not end" if code == -1 else ": crashes"
            failed.append(name)
        if code != 0 and not failed:
            failed.append(f"{test}: ends with {code}")
        return failed

    def try_mutant(self, mutant, already_failing, run_all):
        """The test cases that catch it."""
        texts = mutant.mutated(self.source)
        originals = {path: path.read_text() for path in texts}
        caught = []
        try:
            for path, text in texts.items():
                path.write_text(text)
            for test in self.tests:
                caught += [name for name in self.failures(test) if name not in already_failing]
                if caught and not run_all:
                    break
        finally:
            for path, text in originals.items():
                path.write_text(text)
        return caught


def unescape(text):
    for code, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        text = text.replace(code, character)
    return text


def short(name):
    return re.sub(r"\s*\[MQTT[^\]]*\]", "", name)


def table(results):
    lines = [
        "# Mutations",
        "",
        "Faults that were seeded into the session, one at a time, and the first test cases that caught them. Written by",
        "`./dev mutants`; the faults are those of `tests/session/mutants.txt`.",
        "",
        "| fault | caught by |",
        "|---|---|",
    ]
    for name, caught in results:
        what = "**nothing**" if not caught else short(caught[0])
        if len(caught) > 1:
            what += f", and {len(caught) - 1} more"
        lines.append(f"| {name} | {what} |".replace("<", "&lt;"))
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--tests", default=",".join(TESTS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--dir", type=pathlib.Path, default=ROOT / "build" / "mutants")
    parser.add_argument("words", nargs="*")
    arguments = parser.parse_args()

    mutants = read_mutants()
    problems = []
    for mutant in mutants:
        try:
            mutant.mutated(ROOT)
        except LookupError as error:
            problems.append(str(error))
    if problems:
        sys.exit("\n".join(problems))
    if arguments.check:
        print(f"{len(mutants)} faults can be seeded")
        return
    words = arguments.words
    mutants = [m for m in mutants if not words or any(w in m.name for w in words)]

    begin = time.monotonic()
    workshops = queue.Queue()
    already_failing = []
    count = max(1, min(arguments.jobs, len(mutants)))
    for directory in [arguments.dir / str(i) for i in range(count)]:
        copy_sources(directory / "source")  # all of the same moment
    for i in range(count):
        workshops.put(Workshop(arguments.dir / str(i), arguments.tests.split(",")))
    first = workshops.queue[0]
    for test in first.tests:
        already_failing += first.failures(test)
    for name in already_failing:
        print(f"without any fault there fails: {name}", flush=True)

    def try_one(mutant):
        workshop = workshops.get()
        try:
            caught = workshop.try_mutant(mutant, already_failing, arguments.all)
        except RuntimeError as error:
            return mutant.name, None, str(error)
        finally:
            workshops.put(workshop)
        return mutant.name, caught, ""

    results = []
    broken = False
    with concurrent.futures.ThreadPoolExecutor(workshops.qsize()) as pool:
        for name, caught, error in pool.map(try_one, mutants):
            if caught is None:
                print(f"{name}: DOES NOT BUILD\n{error}", flush=True)
                broken = True
                continue
            print(f"{name}: " + ("; ".join(map(short, caught[:3])) or "NOTHING CATCHES IT"), flush=True)
            results.append((name, caught))
    survivors = [name for name, caught in results if not caught]
    print(f"{len(results)} faults, {len(results) - len(survivors)} caught, {time.monotonic() - begin:.0f} s")
    if not words and not broken:
        (ROOT / "docs" / "mutations.md").write_text(table(results))
    if survivors or broken or already_failing:
        sys.exit(1)


if __name__ == "__main__":
    main()
