#!/usr/bin/env python3
"""Seeds faults into the library, one at a time, and reports the test that catches each.

usage: mutants.py [--check | --refresh] [--all] [--tests a,b] [--jobs N] [--dir DIR] [word...]

Each fault is a patch in this folder. The lines before its diff describe the fault, and become its name in the result.
With words, the script seeds only the faults whose name contains one of them.

For each fault the script builds the tests of the session, the conformance tables, the codec and topics from a copy of
the sources with the patch, and runs them until one fails. The executable that caught the fault in the last run comes first. The script updates docs/mutations.md after each
fault.

  --check    only verifies that every patch applies
  --refresh  only rewrites the patches whose context has changed
  --all      runs all executables, and prints every test case that fails
  --tests    runs only these executables
  --jobs     the number of faults to try at the same time
  --dir      the directory of the copies and their builds

To add a fault: change the sources, `git diff include > tests/mutants/name.patch`, write a sentence before the diff, and
restore the sources.
"""

import argparse
import concurrent.futures
import difflib
import os
import pathlib
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

try:
    import resource
except ImportError:  # Windows
    resource = None

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RESULT = ROOT / "docs" / "mutations.md"
# The executables in their default order. The first is the cheapest to build, and catches most faults.
TESTS = ["test_session_states", "test_session_dialogs", "test_conformance", "test_session_reconnect",
         "test_session_cuts", "test_codec_rules", "test_topic", "test_session_random", "test_session_worlds",
         "test_session_pieces", "test_session_memory", "test_session_scenarios"]
FOLDERS = {"test_conformance": "conformance", "test_codec_rules": "codec", "test_topic": "topic"}
NOTHING = "**nothing**"
CPU_SECONDS = 90  # limit of one executable, because a fault can make a test run endlessly
WALL_SECONDS = 900  # limit for a busy machine or a test that sleeps
MEMORY_BYTES = 4 << 30


class Mutant:
    """A fault."""

    def __init__(self, path):
        text = path.read_text()
        start = re.search(r"^(diff |--- )", text, re.MULTILINE)
        if not start:
            sys.exit(f"{path.name}: there is no diff in it")
        self.path = path
        self.head = text[: start.start()]
        self.name = " ".join(self.head.split())
        self.files = re.findall(r"^\+\+\+ b/(\S+)", text, re.MULTILINE)
        if not self.name.endswith("."):
            sys.exit(f"{path.name}: there is no sentence before the diff")

    def apply(self, root, *options):
        """Applies the patch below `root`. Returns the messages of `patch`."""
        with open(self.path, "rb") as diff:
            done = subprocess.run(["patch", "-p1", "-F2", "-f", "-N", "--no-backup-if-mismatch", "-r", "-", *options],
                                  cwd=root, stdin=diff, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise LookupError(f"{self.path.relative_to(ROOT)} does not apply:\n{done.stdout}")
        return done.stdout

    def refresh(self):
        """Rewrites the patch if the lines around it have changed."""
        if "fuzz" not in self.apply(ROOT, "--dry-run"):
            return False
        diff = ""
        with tempfile.TemporaryDirectory() as directory:
            for file in self.files:
                copy = pathlib.Path(directory) / file
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / file, copy)
            self.apply(directory)
            for file in self.files:
                before, after = ((root / file).read_text().splitlines(True) for root in (ROOT, pathlib.Path(directory)))
                diff += "".join(difflib.unified_diff(before, after, f"a/{file}", f"b/{file}"))
        self.path.write_text(self.head + diff)
        return True


def copy_sources(to):
    """Brings the copy up to date. Writes only files that differ, so that the build skips the rest."""
    wanted = set()
    for top in ROOT.iterdir():
        if top.name != "build" and not top.name.startswith("."):
            wanted.update(p.relative_to(ROOT) for p in [top, *top.rglob("*")]
                          if p.is_file() and "__pycache__" not in p.parts)
    for old in [p for p in to.rglob("*") if p.is_file()]:
        if old.relative_to(to) not in wanted:
            old.unlink()
    for path in wanted:
        source, copy = ROOT / path, to / path
        if not copy.exists() or copy.read_bytes() != source.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)


def limit_resources():
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


class Workshop:
    """A copy of the sources, and its build."""

    failing_without_fault = {}  # test cases by executable; shared by all workshops
    lock = threading.Lock()

    def __init__(self, directory):
        self.source = directory / "source"
        self.build = directory / "build"
        # No optimisation, and one compilation for all files of an executable, because most of the time is build time.
        options = ["-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O0 -g0", "-DTERN_TESTS=ON",
                   "-DTERN_EXAMPLES=OFF", "-DTERN_BENCHMARKS=OFF", "-DCMAKE_UNITY_BUILD=ON",
                   "-DCMAKE_UNITY_BUILD_BATCH_SIZE=0"]
        self.environment = dict(os.environ, TERN_ANY_COUNT="1")
        if shutil.which("ccache"):
            options += ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache", "-DCMAKE_CXX_FLAGS=-fpch-preprocess"]
            self.environment.update(CCACHE_SLOPPINESS="pch_defines,time_macros", CCACHE_BASEDIR=str(directory))
        self.call("cmake", "-S", self.source, "-B", self.build, "-G", "Ninja", *options)

    def call(self, *command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env=self.environment)
        if done.returncode != 0:
            raise RuntimeError(done.stdout[-4000:])

    def failures(self, test, *options):
        """Builds and runs an executable. Returns the names of the test cases that fail."""
        self.call("ninja", "-C", self.build, "-j1", test)
        executable = self.build / "tests" / FOLDERS.get(test, "session") / test
        with open(self.build / f"{test}.xml", "w+b") as output:
            try:
                code = subprocess.run([executable, "-r", "xml", *options], stdout=output, stderr=subprocess.DEVNULL,
                                      env=self.environment, timeout=WALL_SECONDS,
                                      preexec_fn=limit_resources if resource else None).returncode
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
                name += ": crashes, or does not end"
            failed.append(name)
        if code != 0 and not failed:
            failed.append(f"{test} ends with {code}")
        return failed

    def failures_without_fault(self, test):
        with Workshop.lock:
            if test not in Workshop.failing_without_fault:
                failed = Workshop.failing_without_fault[test] = self.failures(test)
                for name in failed:
                    print(f"fails without a fault: {name}", flush=True)
            return Workshop.failing_without_fault[test]

    def failures_with_fault(self, mutant, test, all_cases):
        """Returns the test cases that catch the fault."""
        expected = self.failures_without_fault(test)
        originals = {self.source / file: (self.source / file).read_text() for file in mutant.files}
        try:
            mutant.apply(self.source)
            failed = self.failures(test, *([] if all_cases or expected else ["--abort"]))
        finally:
            for path, text in originals.items():
                path.write_text(text)
        return [name for name in failed if name not in expected]


def unescape(text):
    for code, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&")):
        text = text.replace(code, character)
    return text


class Results:
    """The content of docs/mutations.md: for each fault the executable and the test case that last caught it."""

    def __init__(self, mutants):
        self.mutants = mutants
        self.rows = {}  # keyed by the name of the patch
        text = RESULT.read_text() if RESULT.exists() else ""
        for row in re.findall(r"^\| \[.*\]\(\.\./tests/mutants/(\S+)\) \| (.*) \| (.*) \|$", text, re.MULTILINE):
            self.rows[row[0]] = row[1:]

    def last_executable(self, mutant):
        return self.rows.get(mutant.path.name, ("", ""))[1]

    def set(self, mutant, test, caught):
        what = re.sub(r"\s*\[(v311:|v5:|§)[^\]]*\]", "", caught[0]) if caught else NOTHING
        self.rows[mutant.path.name] = (what.replace("|", "/").replace("<", "&lt;"), test)

    def write(self):
        lines = [
            "# Mutations",
            "",
            "`./dev mutants` seeds these faults into the library, one at a time, and runs the tests of the session, the",
            "conformance tables, the codec and topics until one fails. The faults are the patches in `tests/mutants`. This",
            "page is the result of the last run.",
            "",
            "| fault | caught by | in |",
            "|---|---|---|",
        ]
        for m in self.mutants:
            what, test = self.rows.get(m.path.name, ("not tried yet", ""))
            lines.append(f"| [{m.name}](../tests/mutants/{m.path.name}) | {what} | {test} |")
        RESULT.write_text("\n".join(lines) + "\n")


def try_mutant(workshop, mutant, tests, all_cases):
    """Returns the executable that catches the fault, or an empty string, and the test cases."""
    caught_in, caught = "", []
    for test in tests:
        failed = workshop.failures_with_fault(mutant, test, all_cases)
        if failed and not caught:
            caught_in = test
        caught += failed
        if caught and not all_cases:
            break
    return caught_in, caught


def check_all(mutants, refresh):
    failed = False
    for mutant in mutants:
        try:
            if refresh:
                if mutant.refresh():
                    print(f"{mutant.path.name}: rewritten")
            else:
                mutant.apply(ROOT, "--dry-run")
        except LookupError as error:
            print(error, file=sys.stderr)
            failed = True
    if failed:
        sys.exit("seed these faults into the present sources, and write their patches again")


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].splitlines()[0])
    for option in ("--check", "--refresh", "--all"):
        parser.add_argument(option, action="store_true")
    parser.add_argument("--tests")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--dir", type=pathlib.Path, default=ROOT / "build" / "mutants")
    parser.add_argument("words", nargs="*")
    arguments = parser.parse_args()
    if not shutil.which("patch"):
        sys.exit("the program `patch` is missing")

    mutants = [Mutant(path) for path in sorted(HERE.glob("*.patch"))]
    results = Results(mutants)
    words = arguments.words
    chosen = [m for m in mutants if not words or any(w in m.name or w in m.path.name for w in words)]
    check_all(chosen, arguments.refresh)
    if arguments.check or arguments.refresh:
        print(f"{len(chosen)} faults can be seeded")
        return

    begin = time.monotonic()
    count = max(1, min(arguments.jobs, len(chosen)))
    for i in range(count):
        copy_sources(arguments.dir / str(i) / "source")  # copies before any build, so that all have the same sources
    workshops = queue.Queue()
    for i in range(count):
        workshops.put(Workshop(arguments.dir / str(i)))

    def try_one(mutant):
        tests = list(arguments.tests.split(",") if arguments.tests else TESTS)
        tests.sort(key=lambda test: test != results.last_executable(mutant))
        workshop = workshops.get()
        try:
            return mutant, *try_mutant(workshop, mutant, tests, arguments.all), ""
        except (LookupError, RuntimeError) as error:
            return mutant, "", [], str(error)
        finally:
            workshops.put(workshop)

    survivors, broken = 0, 0
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        for done in concurrent.futures.as_completed([pool.submit(try_one, m) for m in chosen]):
            mutant, test, caught, error = done.result()
            if error:
                print(f"{mutant.path.name}: DOES NOT BUILD\n{error}", flush=True)
                broken += 1
                continue
            print(f"{mutant.name} {'; '.join(caught) or 'NOTHING CATCHES IT'}", flush=True)
            survivors += not caught
            if not arguments.tests or caught:
                results.set(mutant, test, caught)
                results.write()
    print(f"{len(chosen)} faults, {len(chosen) - survivors - broken} caught, {time.monotonic() - begin:.0f} s")
    if survivors or broken or any(Workshop.failing_without_fault.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
