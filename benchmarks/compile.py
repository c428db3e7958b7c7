#!/usr/bin/env python3
"""Compares the compile cost of programs with Tern with that of programs that use only Asio.

usage: compile.py [--json] [--runs N] [--root DIRECTORY]

User seconds and peak memory are medians for compiling one source file, without linking, at -O0 and -O2. The size is
that of the stripped program at -O2 with everything that it links. $CXX is the compiler (default: c++), and $CXXFLAGS
has options in addition to -std=c++20 -O.
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
COMPILED_FORM = ["-DTERN_SEPARATE_COMPILATION", "-DASIO_SEPARATE_COMPILATION"]
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
        self.flags = ["-std=c++20", "-DASIO_STANDALONE"]
        self.flags += ["-I" + os.path.join(root, folder) for folder in ("include", "examples")]
        self.flags += shlex.split(os.environ.get("CXXFLAGS", ""))

    def compile(self, source, flags):
        """Returns the object, user seconds and peak MiB."""
        target = os.path.join(self.directory, os.path.basename(source) + ".o")
        command = [*self.compiler, *self.flags, *flags, "-c", source, "-o", target]
        return (target, *run(command))

    def median_seconds(self, source, flags):
        return round(statistics.median(self.compile(source, flags)[1] for _ in range(self.runs)), 2)

    def measure(self, source, other_sources=(), libraries=(), flags=()):
        optimised = ["-O2", "-ffunction-sections", "-fdata-sections", *flags]
        unoptimised_seconds = self.median_seconds(source, ["-O0", *flags])
        figures = [self.compile(source, ["-O2", *flags]) for _ in range(self.runs)]
        objects = [self.compile(each, optimised)[0] for each in (source, *other_sources)]
        program = os.path.join(self.directory, "program")
        run([*self.compiler, *objects, "-o", program, "-s", "-Wl,--gc-sections", "-pthread", *libraries])
        return {
            "user_seconds_O0": unoptimised_seconds,
            "user_seconds_O2": round(statistics.median(f[1] for f in figures), 2),
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
        socket, minimal = (os.path.join(here, "compile", name) for name in ("socket.cpp", "minimal.cpp"))
        bench = Bench(args.root, directory, args.runs)
        programs = [
            ("asio", ASIO, (bare,)),
            ("asio", "socket.cpp", (socket,)),
            ("tern", "minimal.cpp", (minimal,)),
            ("tern", "minimal.cpp, compiled form", (minimal, [path("src/tern.cpp")], [], COMPILED_FORM)),
            ("tern", "publish.cpp", (path("examples/publish.cpp"), [path(each) for each in SUPPORT], ["-lfmt"])),
        ]
        if not args.json:
            print("%-28s %10s %10s %10s %14s" % ("", "-O0, s", "-O2, s", "peak MiB", "stripped KiB"))
        for impl, what, measured in programs:
            found = bench.measure(*measured)
            if args.json:
                print(json.dumps({"impl": impl, "mode": "compile", "what": what, **found}), flush=True)
            else:
                print("%-28s %10.2f %10.2f %10d %14d" % (what, *found.values()), flush=True)


if __name__ == "__main__":
    main()
