#!/usr/bin/env python3
"""Checks that each normative statement of MQTT 3.1.1 and 5.0 is shown by tests, and prints how many are.

usage: conformance.py <build directory> [--write]

The tables v311.tsv and v5.tsv have one row for each statement, in our own words:

  id         MQTT-4.3.3-1 as the standard numbers it; §2.2.2.2-a: a rule for clients in that section, without a number
  binds      client, server or both
  statement
  faults     the patches in tests/mutants that break it, without .patch
  tests      further tests that show it, separated by " | ": the name in ctest without the ids in brackets, or
             "./dev interop: " and the name of an endpoint
  reason     why a client cannot show it; after "open: ", what is missing

A test shows the statements whose ids are in its name: [v311:MQTT-4.3.3-1], [v5:MQTT-4.3.3-1, v5:§2.2.2.2-a]. Tests of
the testing broker show only what binds servers.

./dev test writes which tests there are, and which have passed, to ctest.xml in the build directory. The script fails on
a statement with neither a test nor a reason, on a test in the tables that does not exist or has not passed, on an id in
the name of a test that no table has, on a fault without a patch, or that no test has detected, and if
docs/conformance.md is not what it would write. With --write it writes that page.
"""

import csv
import html
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAGE = ROOT / "docs" / "conformance.md"
MUTATIONS = ROOT / "docs" / "mutations.md"  # which faults the tests detect, by the last run of ./dev mutants
TABLES = {"v311": "3.1.1", "v5": "5.0"}
COLUMNS = ["id", "binds", "statement", "faults", "tests", "reason"]
ID = re.compile(r"(?:v311|v5):(?:MQTT-[\d.-]*\d|§[\d.]+-[a-z])")
OPEN = "open: "
INTEROP = "./dev interop: "
MOST_TESTS = 5  # of one statement, on the page


def stable(name):
    """The name of a test without the brackets of ids and sections behind it."""
    return re.sub(r"\s*\[(?:v311:|v5:|§)[^\]]*\]", "", name)


class Tests:
    """The tests of the last run of ctest, and those of them that passed."""

    def __init__(self, build):
        report = pathlib.Path(build) / "ctest.xml"
        if not report.exists():
            sys.exit(f"{report} is missing: ./dev test writes it")
        found = re.findall(r'<testcase name="([^"]*)"[^>]*? status="(\w+)"', report.read_text(errors="replace"))
        self.names = [html.unescape(name) for name, _ in found]
        self.passed = {html.unescape(name) for name, status in found if status == "run"}
        self.by_stable = {stable(name): name for name in self.names}
        self.by_id = {}
        for name in self.names:
            for each in ID.findall(name):
                self.by_id.setdefault(each, []).append(name)
        self.endpoints = {name for file in (ROOT / "tests" / "interop").glob("endpoints_*.cpp")
                          for name in re.findall(r'^ +\{"([^"]+)"', file.read_text(encoding="utf-8"), re.MULTILINE)}


class Row:
    """A statement."""

    def __init__(self, version, fields):
        self.version = version
        self.id, self.binds, self.statement, faults, tests, self.reason = fields
        self.key = f"{version}:{self.id}"
        self.faults = faults.split()
        self.named = [name for name in tests.split(" | ") if name]
        self.numbered = self.id.startswith("MQTT-")
        self.shown_by = []
        self.endpoints = []  # which ./dev interop checks, but not ctest

    def find_tests(self, tests, errors):
        found = [name for name in tests.by_id.get(self.key, [])
                 if self.binds == "server" or not name.startswith("broker/")]
        for name in self.named:
            if name.startswith(INTEROP):
                self.endpoints.append(name)
                if name[len(INTEROP):] not in tests.endpoints:
                    errors.append(f"{self.key}: there is no endpoint “{name[len(INTEROP):]}”")
            elif name in tests.by_stable:
                found.append(tests.by_stable[name])
            else:
                errors.append(f"{self.key}: ctest has run no test “{name}”")
        self.shown_by = sorted(set(found))
        for name in self.shown_by:
            if name not in tests.passed:
                errors.append(f"{self.key}: has not passed: {stable(name)}")
        self.shown_by += self.endpoints

    @property
    def is_open(self):
        return not self.shown_by and self.reason.startswith(OPEN)

    @property
    def is_explained(self):
        return not self.shown_by and bool(self.reason) and not self.is_open


def read_rows(errors):
    rows = []
    for version in TABLES:
        with open(HERE / f"{version}.tsv", encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        if lines[0] != COLUMNS:
            sys.exit(f"{version}.tsv: the columns are not {COLUMNS}")
        for number, fields in enumerate(lines[1:], 2):
            if len(fields) != len(COLUMNS):
                sys.exit(f"{version}.tsv, line {number}: {len(fields)} columns")
            rows.append(Row(version, fields))
            if rows[-1].binds not in ("client", "server", "both"):
                errors.append(f"{rows[-1].key}: the column binds is wrong")
    return rows


def check(rows, tests):
    errors = []
    for row in rows:
        row.find_tests(tests, errors)
        if not row.shown_by and not row.reason:
            errors.append(f"{row.key}: neither a test nor a reason")
        errors += [f"{row.key}: there is no fault {fault}.patch" for fault in row.faults
                   if not (ROOT / "tests" / "mutants" / f"{fault}.patch").exists()]
    survivors = re.findall(r"tests/mutants/(\S+)\.patch\) \| \*\*nothing\*\*", MUTATIONS.read_text(encoding="utf-8"))
    errors += [f"{row.key}: no test detects {fault}.patch"
               for row in rows for fault in row.faults if fault in survivors]
    keys = [row.key for row in rows]
    errors += [f"{key}: more than one row" for key in sorted({key for key in keys if keys.count(key) > 1})]
    for key in sorted(set(tests.by_id) - set(keys)):
        errors.append(f"{key}: no row, but it is in the name of a test: {stable(tests.by_id[key][0])}")
    errors += [f"an id without its version, v311: or v5: — {name}" for name in tests.names
               if re.search(r"(?<!:)MQTT-\d", name)]
    errors += [f"ctest has split the name of a test at a semicolon, and does not run it: …;{name.split('/', 1)[1]}"
               for name in tests.names if name.split("/", 1)[-1].startswith(" ")]
    return errors


def parts(rows):
    for version, title in TABLES.items():
        for numbered in (True, False):
            part = [row for row in rows if row.version == version and row.numbered == numbered]
            if part:
                yield title + ("" if numbered else ", without a number"), part


def figures(rows):
    lines = [["", "statements", "shown", "with a fault", "a reason", "open"]]
    for title, part in [*parts(rows), ("all", rows)]:
        shown = [row for row in part if row.shown_by]
        lines.append([title, len(part), len(shown), sum(bool(row.faults) for row in shown),
                      sum(row.is_explained for row in part), sum(row.is_open for row in part)])
    for bound in ("client", "both", "server"):
        part = [row for row in rows if row.binds == bound]
        shown = [row for row in part if row.shown_by]
        lines.append([f"binds {bound}", len(part), len(shown), sum(bool(row.faults) for row in shown),
                      sum(row.is_explained for row in part), sum(row.is_open for row in part)])
    return lines


def page(rows):
    text = ["# Conformance", "",
            "Which tests show which normative statement of MQTT. `./dev conformance --write` writes this page from the",
            "tables in `tests/conformance`. Without `--write` it fails if the page is stale, or a statement has",
            "neither a test nor a reason. The statements are in our own words. A fault is a patch in `tests/mutants`",
            "that breaks the statement: a test of the statement fails with it.", ""]
    head, *body = figures(rows)
    text += ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    text += ["| " + " | ".join(str(cell) for cell in line) + " |" for line in body]
    for title, part in parts(rows):
        text += ["", f"## {title}", "", "| statement | binds | in our words | shown by | fault |",
                 "|---|---|---|---|---|"]
        for row in part:
            shown = [stable(name) for name in row.shown_by]
            if len(shown) > MOST_TESTS:
                shown = shown[:MOST_TESTS] + [f"and {len(shown) - MOST_TESTS} more"]
            cells = [row.id, row.binds, row.statement, "<br>".join(shown) or f"*{row.reason}*",
                     "<br>".join(fault.replace("-", " ") for fault in row.faults)]
            text.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(text) + "\n"


def main():
    arguments = [a for a in sys.argv[1:] if a != "--write"]
    if len(arguments) != 1:
        sys.exit(__doc__)
    errors = []
    rows = read_rows(errors)
    tests = Tests(arguments[0])
    errors += check(rows, tests)
    text = page(rows)
    if "--write" in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        errors.append("docs/conformance.md is stale: ./dev conformance --write")
    for line in figures(rows):
        print(f"{line[0]:24}" + "".join(f"{cell:>14}" for cell in line[1:]))
    for row in rows:
        if row.is_open:
            print(f"{row.key} is open: {row.reason[len(OPEN):]}")
    for error in errors:
        print(error, file=sys.stderr)
    if errors:
        sys.exit(f"{len(errors)} errors")


if __name__ == "__main__":
    main()
