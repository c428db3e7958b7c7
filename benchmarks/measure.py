"""Runs the benchmark programs and measures their throughput and their cost per message.

Each program runs against the sink (bench_sink), a minimal broker that is far cheaper than any client, and prints a line
of JSON.
"""

import ctypes
import ctypes.util
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"
PROGRAMS = BUILD / "benchmarks"
RUN_TIMEOUT = 120  # seconds; a run takes less than one, or a few with Callgrind


@dataclasses.dataclass(frozen=True)
class Case:
    """The arguments of a benchmark program."""

    impl: str
    variant: str
    mode: str
    version: str = "5.0"
    size: int = 64
    window: int = 100
    clients: int = 1
    extra: tuple = ()  # additional arguments
    transport: str = "tcp"

    def __str__(self):
        name = f"{self.mode} {self.version} {self.impl}" + (f" {self.variant}" if self.variant else "")
        if self.mode[:3] in ("pub", "sub"):
            name += f", {self.size} B, window {self.window}"
        if self.transport != "tcp":
            name += f", {self.transport}"
        if self.clients != 1:
            name += f", {self.clients} clients"
        return " ".join((name, *self.extra))

    def program(self):
        suffix = "" if self.transport == "tcp" else f"_{self.transport}"
        return PROGRAMS / f"bench_{self.impl}{suffix}"

    def replace(self, **changes):
        return dataclasses.replace(self, **changes)


class Failed(Exception):
    """A program failed."""


class Unsupported(Failed):
    """A program does not have the mode or variant."""


def pin_to_core(index):
    """A function that pins a process to a core, so that the sink and the client do not share one."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    if len(cores) < 2:
        return None
    return lambda: os.sched_setaffinity(0, {cores[index]})


# Which certificate the sink has, and which authority the clients trust.
CERTIFICATES = PROGRAMS / "certificates"


def has_tls():
    """Whether the programs were built with OpenSSL, and there is its command, which makes certificates."""
    return (PROGRAMS / "bench_tern_tls").exists() and shutil.which("openssl") is not None


class Sink:
    def __init__(self):
        self.process = None
        self.ports = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.kill()
            self.process.wait()

    def port(self, transport):
        if not self.process or self.process.poll() is not None:
            command = [PROGRAMS / "bench_sink"]
            if has_tls():
                run_command([ROOT / "tests/tls/certificates.sh", CERTIFICATES])
                command.append(CERTIFICATES)
            self.process = subprocess.Popen(command, preexec_fn=pin_to_core(0), text=True, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE)
            words = self.process.stdout.readline().split()
            if not words or words[0] != "tcp":
                raise SystemExit(f"bench_sink prints '{' '.join(words)}' instead of its ports")
            self.ports = {name: int(port) for name, port in zip(words[::2], words[1::2])}
        return self.ports[transport]


def run_command(command, time_limit=900, **more):
    """Runs a command and returns its output. After the time limit it kills the command and its children."""
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
        messages = errors.strip().splitlines() or ["no message"]
        problem = Unsupported if process.returncode == 2 else Failed
        raise problem(f"exit code {process.returncode}: {messages[-1]}")
    return out


def run(case, count, sink, under=(), env=None):
    """Runs a program, optionally under the tool `under`; returns the results of its measured region."""
    arguments = {"--port": sink.port(case.transport), "--mode": case.mode, "--version": case.version,
                 "--size": case.size, "--window": case.window, "--count": count, "--clients": case.clients}
    if case.variant:
        arguments["--variant"] = case.variant
    if case.transport == "tls":
        arguments["--ca"] = CERTIFICATES / "ca.pem"
    words = [word for pair in arguments.items() for word in pair]
    command = [*under, case.program(), *words, *case.extra]
    pin = None if case.variant == "threads" else pin_to_core(1)
    out = run_command(command, RUN_TIMEOUT, preexec_fn=pin, env=dict(os.environ, **(env or {})))
    try:
        return json.loads(out)
    except ValueError:
        raise Failed(f"not one line of JSON: {out!r}") from None


def calibrate(case, seconds, sink):
    """Finds a message count for which the measured region takes about `seconds`."""
    if case.mode == "idle":
        return case.clients
    # A closed connection occupies its port for a second.
    maximum = 5_000 if case.mode == "conn" else 20_000_000
    # A run that is too short would measure a single delay.
    minimum = 500 if case.mode == "rtt" else 20
    if case.mode[:3] in ("pub", "sub") and case.size < 10_000:
        minimum = 4 * case.window
    count = minimum
    while True:
        taken = max(run(case, count, sink)["seconds"], 1e-6)
        estimate = min(max(int(count * seconds / taken), minimum), maximum)
        if taken >= seconds / 4 or estimate <= count:
            return estimate
        # The estimate of a short run is inaccurate, so the count grows in steps.
        count = min(estimate, 20 * count)


def median_of(results):
    """The median of each number of several runs."""
    medians = {}
    for field, value in results[0].items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        medians[field] = statistics.median(result[field] for result in results) if is_number else value
    if "per_second" in medians:
        speeds = [result["per_second"] for result in results]
        medians["spread"] = (max(speeds) - min(speeds)) / max(speeds)
    return medians


def allocations(case, count, sink):
    """Allocations in the measured region, and those of OpenSSL, if the program counts them apart. Counting slows them
    down, so it takes a separate run."""
    found = run(case, count, sink, env={"LD_PRELOAD": str(PROGRAMS / "libcount_allocations.so")})
    if found["allocations"] is None:
        raise Failed("libcount_allocations.so was not loaded")
    return {name: found[name] for name in ("allocations", "openssl_allocations") if name in found}


def total_messages(count):
    """The number of messages of a run, including the warm-up before the measured region."""
    return count + min(max(count // 10, 1), 10_000)


def slope(cost, count):
    """The cost per message, from the costs of two whole runs."""
    return (cost(3 * count) - cost(count)) / (total_messages(3 * count) - total_messages(count))


def callgrind(run_under):
    """The instructions in the measured region. `run_under` runs a program under the given command."""
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory) / "out"
        run_under(["valgrind", "-q", "--tool=callgrind", "--collect-atstart=no", f"--callgrind-out-file={out}"])
        text = out.read_text()
        found = re.findall(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
        if not found or int(found[-1]) == 0:
            raise Failed("callgrind counted nothing; the program may have been built without valgrind/callgrind.h")
        return int(found[-1]) - openssl_instructions(text)


def openssl_instructions(profile):
    """The instructions in OpenSSL, which depend on its version and on the processor."""
    total, names, is_openssl, is_call = 0, {}, False, False
    for line in profile.splitlines():
        if line.startswith(("ob=", "cob=")):
            number, _, name = line.partition("=")[2].partition(" ")
            if name:
                names[number] = name
            if line.startswith("ob="):
                is_openssl = bool(re.search(r"lib(ssl|crypto)", names[number]))
        elif line.startswith("calls="):
            is_call = True  # the next line has the cost of the called function
        elif is_openssl and not is_call and re.match(r"[+*\d-]", line):
            total += int(line.split()[1])
        else:
            is_call = False
    return total


def cachegrind(run_under):
    """The instructions of a whole run, in all threads."""
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory) / "out"
        run_under(["valgrind", "-q", "--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={out}"])
        return int(re.search(r"^summary: (\d+)", out.read_text(), re.MULTILINE)[1])


def instructions(case, count, sink):
    """User-space instructions per message."""
    if case.impl == "paho_c" or case.variant == "threads":
        # Messages cost instructions in several threads, and Callgrind starts collecting only in the one that requests it.
        return slope(lambda n: cachegrind(lambda under: run(case, n, sink, under)), count)
    return callgrind(lambda under: run(case, count, sink, under)) / count


def system_calls(case, count, sink):
    """System calls per message, of all threads."""
    def calls(n):
        with tempfile.NamedTemporaryFile("r") as out:
            run(case, n, sink, ["strace", "-f", "-c", "-U", "calls,name", "-o", out.name])
            return int(re.search(r"(\d+) total", out.read())[1])

    return max(slope(calls, count), 0)


# The environment that the results depend on.


def cache_entry(name):
    found = re.search(rf"^{name}:\w+=(.*)$", (BUILD / "CMakeCache.txt").read_text(), re.MULTILINE)
    return found[1] if found else ""


def compiler():
    """The compiler that the build uses."""
    return cache_entry("CMAKE_CXX_COMPILER") or "c++"


def include_flags():
    """The options with Asio's include directories."""
    return [f"-I{path}" for path in (cache_entry("Asio_INCLUDE_DIR"), BUILD / "_deps/asio-src/asio/include")]


def macro(header, name):
    """The value of a macro, or an empty string."""
    source = f"#define ASIO_STANDALONE\n#include <{header}>\nvalue {name}\n"
    done = subprocess.run([compiler(), "-E", "-P", "-x", "c++", "-std=c++20", *include_flags(), "-"],
                          input=source, capture_output=True, text=True, check=False)
    found = re.search(r"^value (.*)$", done.stdout, re.MULTILINE)
    return found[1] if found and found[1] != name else ""


def asio_version():
    number = int(macro("asio/version.hpp", "ASIO_VERSION") or 0)
    return f"{number // 100000}.{number // 100 % 1000}.{number % 100}"


def compiler_version():
    version = run_command([compiler(), "--version"]).splitlines()[0]
    name = "Clang" if "clang" in version else "GCC"
    return f"{name} {re.search(r'[0-9]+[.][0-9.]+', version)[0]}"


def toolchain():
    """The versions that the number of instructions depends on."""
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


def openssl_version():
    version = macro("openssl/opensslv.h", "OPENSSL_VERSION_TEXT")
    return version.split()[1] if version else ""


def machine():
    cpu = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    mosquitto = [macro("mosquitto.h", f"LIBMOSQUITTO_{part}") for part in ("MAJOR", "MINOR", "REVISION")]
    return {"cpu": cpu[1] if cpu else "unknown", "cores": os.cpu_count(), **toolchain(),
            "libmosquitto": ".".join(mosquitto), "paho_c": paho_version(), "openssl": openssl_version()}
