#!/usr/bin/env python3
"""Compares the compile cost of programs with Tern with that of a program that only includes Asio.

usage: compile.py [--json] [--runs N] [--root DIRECTORY]

User seconds and peak memory are medians for compiling one source file, without linking. The size is that of the
stripped program with everything that it links. $CXX is the compiler (default: c++), and $CXXFLAGS has options in
addition to -std=c++20 -O2.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile

ASIO = "asio.hpp"
SUPPORT = ["examples/support/arguments.cpp", "examples/support/tool.cpp"]


def run(command):
    """Runs a command; returns user seconds and peak MiB, including its child processes."""
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1
    if process.returncode != 0:
        sys.exit("failed: " + shlex.join(command))
    peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return usage.ru_utime, peak


class Bench:
    def __init__(self, root, directory, runs):
        self.directory = directory
        self.runs = runs
        self.compiler = shlex.split(os.environ.get("CXX", "c++"))
        self.flags = ["-std=c++20", "-O2", "-DASIO_STANDALONE"]
        self.flags += ["-I" + os.path.join(root, folder) for folder in ("include", "examples")]
        self.flags += shlex.split(os.environ.get("CXXFLAGS", ""))

    def compile(self, source):
        """Returns the object, user seconds and peak MiB."""
        target = os.path.join(self.directory, os.path.basename(source) + ".o")
        command = [*self.compiler, *self.flags, "-c", source, "-o", target]
        return (target, *run(command))

    def measure(self, source, other_sources=(), libraries=()):
        figures = [self.compile(source) for _ in range(self.runs)]
        objects = [figures[0][0]] + [self.compile(each)[0] for each in other_sources]
        program = os.path.join(self.directory, "program")
        run([*self.compiler, *objects, "-o", program, "-s", "-pthread", *libraries])
        return {
            "user_seconds": round(statistics.median(f[1] for f in figures), 2),
            "peak_mib": round(statistics.median(f[2] for f in figures)),
            "stripped_kib": round(os.path.getsize(program) / 1024),
        }


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one object per line")
    parser.add_argument("--runs", type=int, default=3, help="how often each file is compiled (default: 3)")
    parser.add_argument("--root", default=os.path.dirname(here), help="the source tree to measure (default: this one)")
    args = parser.parse_args()

    def path(name):
        return os.path.join(args.root, name)

    with tempfile.TemporaryDirectory() as directory:
        bare = os.path.join(directory, "bare.cpp")
        with open(bare, "w") as file:
            file.write("#include <asio.hpp>\nint main() {}\n")
        bench = Bench(args.root, directory, args.runs)
        programs = [
            ("asio", ASIO, (bare,)),
            ("tern", "minimal.cpp", (os.path.join(here, "compile", "minimal.cpp"),)),
            ("tern", "publish.cpp", (path("examples/publish.cpp"), [path(each) for each in SUPPORT], ["-lfmt"])),
        ]
        if not args.json:
            print("%-12s %12s %10s %14s   over %s" % ("", "user seconds", "peak MiB", "stripped KiB", ASIO))
        base = None
        for impl, what, measured in programs:
            found = bench.measure(*measured)
            base = base or found
            if args.json:
                print(json.dumps({"impl": impl, "mode": "compile", "what": what, **found}), flush=True)
                continue
            difference = tuple(found[key] - base[key] for key in ("user_seconds", "stripped_kib"))
            print("%-12s %12.2f %10d %14d   %+.2f s, %+d KiB" % (what, *found.values(), *difference), flush=True)


if __name__ == "__main__":
    main()
