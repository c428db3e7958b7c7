#!/usr/bin/env python3
"""Counts the files of the library through which a reader follows what a client does.

usage: paths.py [--lines] [BUILD_DIRECTORY]

A file counts if gcov sees one of its lines executed during the walk, in the client and its thread; the broker is
another process. Prints the files of each walk, with --lines also what was executed, and fails if there are more files
than the limits below.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

LIMITS = {"publish": 25, "receive": 22, "reconnect": 27}
TITLES = {
    "publish": "QoS 2 publish, from the call to its handler",
    "receive": "incoming QoS 1 message, from the call to its handler and until it is acknowledged",
    "reconnect": "reconnect, from the cut to the resumed session",
}
TIMEOUT = 20  # seconds for one walk


def take_walk(programs, name):
    """Runs client and broker, each with its input connected to the other's output."""
    for_client, from_broker = os.pipe()
    for_broker, from_client = os.pipe()
    broker = subprocess.Popen([os.path.join(programs, "paths_broker")], stdin=for_broker, stdout=from_broker)
    client = subprocess.Popen([os.path.join(programs, "paths_client"), name], stdin=for_client, stdout=from_client)
    for end in (for_client, from_broker, for_broker, from_client):
        os.close(end)
    try:
        if client.wait(TIMEOUT) != 0:
            sys.exit("paths: the client failed")
        broker.wait(TIMEOUT)  # its input has ended
    except subprocess.TimeoutExpired:
        sys.exit("paths: the walk '%s' does not end" % name)
    finally:
        for process in (client, broker):
            if process.poll() is None:
                process.kill()
                process.wait()


def gcov_of(compiler):
    """gcov reads only the notes of its own version of GCC."""
    version = subprocess.run([compiler, "-dumpversion"], stdout=subprocess.PIPE, check=True).stdout.decode()
    for name in ("gcov-" + version.split(".")[0].strip(), "gcov"):
        if shutil.which(name):
            return name
    return sys.exit("paths: gcov is missing; it comes with GCC")


def executed_files(gcov, counters, root):
    """The files under `root` of which a line was executed, with the numbers of those lines."""
    with tempfile.TemporaryDirectory() as directory:
        command = [gcov, "--json-format", "--stdout", counters]
        output = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, check=True).stdout
    lines = {}
    for document in output.splitlines():
        report = json.loads(document)
        for file in report["files"]:
            path = os.path.realpath(os.path.join(report["current_working_directory"], file["file"]))
            if path.startswith(root + os.sep):
                executed = {line["line_number"] for line in file["lines"] if line["count"] > 0}
                lines.setdefault(os.path.relpath(path, root), set()).update(executed)
    return {path: sorted(executed) for path, executed in lines.items() if executed}


def print_walk(files, root, show_lines):
    for path in sorted(files):
        print("  %-45s %4d lines" % (path, len(files[path])))
        if show_lines:
            with open(os.path.join(root, path), encoding="utf-8") as file:
                text = file.read().splitlines()
            for number in files[path]:
                print("  %8d  %s" % (number, text[number - 1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", action="store_true", help="print the executed lines too")
    parser.add_argument("build", nargs="?", help="where the programs were built (build/release)")
    arguments = parser.parse_args()
    project = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    root = os.path.join(project, "include", "tern")
    programs = os.path.join(os.path.realpath(arguments.build or os.path.join(project, "build/release")), "benchmarks")
    counters = os.path.join(programs, "CMakeFiles/paths_client.dir/paths/client.cpp.gcda")
    gcov = gcov_of(os.environ.get("CXX", "c++"))
    too_many = []
    for name, limit in LIMITS.items():
        if os.path.exists(counters):
            os.remove(counters)  # gcov adds to what is there
        take_walk(programs, name)
        files = executed_files(gcov, counters, root)
        if not files:
            sys.exit("paths: nothing was recorded")
        print("%s: %d files, at most %d" % (TITLES[name], len(files), limit))
        print_walk(files, root, arguments.lines)
        if len(files) > limit:
            too_many.append("paths: %s executes lines of %d files, at most %d are allowed" % (name, len(files), limit))
    sys.stdout.flush()
    sys.exit("\n".join(too_many) or 0)


if __name__ == "__main__":
    main()
