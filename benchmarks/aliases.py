#!/usr/bin/env python3
"""Compares the bytes on the wire with and without topic aliases, on the test broker and on Mosquitto. The program must
have been built: `./dev bench aliases` does that."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "examples"))
sys.dont_write_bytecode = True

from run import mosquitto

with mosquitto() as port:
    sys.exit(subprocess.call([ROOT / "build" / "release" / "benchmarks" / "bench_aliases", str(port)]))
