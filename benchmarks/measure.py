"""Runs the benchmark programs: how fast one is, and what a message costs it.

Every program is run against a sink (bench_sink), a peer that is far cheaper than any client. It prints a line of JSON.
"""

import ctypes
import ctypes.util
import dataclasses
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"
PROGRAMS = BUILD / "benchmarks"
RUN_LIMIT = 120  # seconds; a run takes less than one, under callgrind a few


@dataclasses.dataclass(frozen=True)
class Case:
    """What one run measures: the arguments of a program."""

    impl: str
    variant: str
    mode: str
    version: str = "5.0"
    size: int = 64
    window: int = 100
    clients: int = 1
    extra: tuple = ()  # more arguments, such as another peer

    def __str__(self):
        name = f"{self.mode} {self.version} {self.impl}" + (f" {self.variant}" if self.variant else "")
        if self.mode[:3] in ("pub", "sub"):
            name += f", {self.size} B, window {self.window}"
        if self.clients != 1:
            name += f", {self.clients} clients"
        return " ".join((name, *self.extra))

    def replace(self, **changes):
        return dataclasses.replace(self, **changes)


class Failed(Exception):
    """A program could not do what it was asked to."""


class Unsupported(Failed):
    """It never can."""


def pinned_to(index):
    """Makes a process stay on one core, that the peer and the client do not disturb each other."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    if len(cores) < 2:
        return None
    return lambda: os.sched_setaffinity(0, {cores[index]})


class Sink:
    def __init__(self):
        self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.kill()
            self.process.wait()

    def port(self):
        if not self.process or self.process.poll() is not None:
            self.process = subprocess.Popen([PROGRAMS / "bench_sink"], preexec_fn=pinned_to(0), text=True,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            line = self.process.stdout.readline()
            if not line.startswith("port "):
                raise SystemExit(f"bench_sink says '{line.strip()}' instead of its port")
            self.the_port = int(line.split()[1])
        return self.the_port


def output_of(command, time_limit=900, **more):
    """What a command prints. A command that hangs is killed along with what it started."""
    try:
        process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, start_new_session=True, **more)
    except OSError as problem:
        raise Failed(problem) from None
    try:
        out, errors = process.communicate(timeout=time_limit)
    except subprocess.TimeoutExpired:
        raise Failed(f"still running after {time_limit} s") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode != 0:
        said = errors.strip().splitlines() or ["no message"]
        problem = Unsupported if process.returncode == 2 else Failed
        raise problem(f"exit code {process.returncode}: {said[-1]}")
    return out


def run(case, count, sink, under=(), env=None):
    """One run of a program, maybe under another one: what it says of its measured region."""
    arguments = {"--port": sink.port(), "--mode": case.mode, "--version": case.version, "--size": case.size,
                 "--window": case.window, "--count": count, "--clients": case.clients}
    if case.variant:
        arguments["--variant"] = case.variant
    words = [word for pair in arguments.items() for word in pair]
    command = [*under, PROGRAMS / f"bench_{case.impl}", *words, *case.extra]
    out = output_of(command, RUN_LIMIT, preexec_fn=pinned_to(1), env=dict(os.environ, **(env or {})))
    try:
        return json.loads(out)
    except ValueError:
        raise Failed(f"not one line of JSON: {out!r}") from None


def calibrate(case, seconds, sink):
    """A count for which the measured region takes about that long."""
    if case.mode == "idle":
        return case.clients
    # A connection that was closed keeps its port for a second.
    most = 5_000 if case.mode == "conn" else 20_000_000
    # One slow moment must not pass for the usual pace.
    least = 500 if case.mode == "rtt" else 20
    if case.mode[:3] in ("pub", "sub") and case.size < 10_000:
        least = 4 * case.window
    count = least
    while True:
        taken = max(run(case, count, sink)["seconds"], 1e-6)
        wanted = min(max(int(count * seconds / taken), least), most)
        if taken >= seconds / 4 or wanted <= count:
            return wanted
        # A short run says little, so do not trust it too far.
        count = min(wanted, 20 * count)


def median_of(results):
    """Of several runs, the median of each number."""
    medians = {}
    for field, value in results[0].items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        medians[field] = statistics.median(result[field] for result in results) if is_number else value
    if "per_second" in medians:
        speeds = [result["per_second"] for result in results]
        medians["spread"] = (max(speeds) - min(speeds)) / max(speeds)
    return medians


def allocations(case, count, sink):
    """Allocations in the measured region: the counter makes each slower, hence a run of its own."""
    found = run(case, count, sink, env={"LD_PRELOAD": str(PROGRAMS / "libcount_allocations.so")})["allocations"]
    if found is None:
        raise Failed("libcount_allocations.so was not loaded")
    return found


def messages(count):
    """What a program sends or receives in all: the warm-up comes before the region."""
    return count + min(max(count // 10, 1), 10_000)


def slope(cost, count):
    """Of a cost of a whole run, what one message adds."""
    return (cost(3 * count) - cost(count)) / (messages(3 * count) - messages(count))


def callgrind(command_runner):
    """The instructions while collection was on. The argument runs a program under the words it is given."""
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory) / "out"
        command_runner(["valgrind", "-q", "--tool=callgrind", "--collect-atstart=no", f"--callgrind-out-file={out}"])
        found = re.findall(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)
        if not found or int(found[-1]) == 0:
            raise Failed("callgrind counted nothing: was the program built without valgrind/callgrind.h?")
        return int(found[-1])


def cachegrind(command_runner):
    """The instructions of a whole run, in all threads."""
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory) / "out"
        command_runner(["valgrind", "-q", "--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={out}"])
        return int(re.search(r"^summary: (\d+)", out.read_text(), re.MULTILINE)[1])


def instructions(case, count, sink):
    """User-space instructions per message."""
    if case.impl == "paho_c":
        # It works in threads of its own, and callgrind turns collection on only in the thread that asks for it.
        return slope(lambda n: cachegrind(lambda under: run(case, n, sink, under)), count)
    return callgrind(lambda under: run(case, count, sink, under)) / count


def system_calls(case, count, sink):
    """System calls per message, of all threads."""
    def calls(n):
        with tempfile.NamedTemporaryFile("r") as out:
            run(case, n, sink, ["strace", "-f", "-c", "-U", "calls,name", "-o", out.name])
            return int(re.search(r"(\d+) total", out.read())[1])

    return max(slope(calls, count), 0)


# What the results depend on.


def cache_entry(name):
    found = re.search(rf"^{name}:\w+=(.*)$", (BUILD / "CMakeCache.txt").read_text(), re.MULTILINE)
    return found[1] if found else ""


def compiler():
    """The compiler that the build uses."""
    return cache_entry("CMAKE_CXX_COMPILER") or "c++"


def include_flags():
    """Where Asio is."""
    return [f"-I{path}" for path in (cache_entry("Asio_INCLUDE_DIR"), BUILD / "_deps/asio-src/asio/include")]


def macro(header, name):
    """The value of a macro, or an empty text."""
    source = f"#define ASIO_STANDALONE\n#include <{header}>\nvalue {name}\n"
    done = subprocess.run([compiler(), "-E", "-P", "-x", "c++", "-std=c++20", *include_flags(), "-"],
                          input=source, capture_output=True, text=True, check=False)
    found = re.search(r"^value (.*)$", done.stdout, re.MULTILINE)
    return found[1] if found and found[1] != name else ""


def asio_version():
    number = int(macro("asio/version.hpp", "ASIO_VERSION") or 0)
    return f"{number // 100000}.{number // 100 % 1000}.{number % 100}"


def compiler_version():
    version = output_of([compiler(), "--version"]).splitlines()[0]
    name = "Clang" if "clang" in version else "GCC"
    return f"{name} {re.search(r'[0-9]+[.][0-9.]+', version)[0]}"


def toolchain():
    """What the number of instructions depends on."""
    return {"compiler": compiler_version(), "asio": asio_version(), "libc": os.confstr("CS_GNU_LIBC_VERSION")}


def paho_version():
    class Pair(ctypes.Structure):
        _fields_ = [("name", ctypes.c_char_p), ("value", ctypes.c_char_p)]

    try:
        pairs = ctypes.CDLL(ctypes.util.find_library("paho-mqtt3a")).MQTTAsync_getVersionInfo
    except (AttributeError, OSError, TypeError):
        return ""
    pairs.restype = ctypes.POINTER(Pair)
    for pair in pairs():
        if pair.name is None or pair.name == b"Version":
            return pair.value.decode() if pair.name else ""
    return ""


def machine():
    cpu = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    mosquitto = [macro("mosquitto.h", f"LIBMOSQUITTO_{part}") for part in ("MAJOR", "MINOR", "REVISION")]
    return {"cpu": cpu[1] if cpu else "unknown", "cores": os.cpu_count(), **toolchain(),
            "libmosquitto": ".".join(mosquitto), "paho_c": paho_version()}
