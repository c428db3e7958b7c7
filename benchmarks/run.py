#!/usr/bin/env python3
"""Compares Tern with bare Asio, libmosquitto and Paho.

usage: run.py [full | quick | gate | record] [word...]

  full    run all cases; write benchmarks/results.json, results.md and the charts of the README
  quick   run and print a few cases
  gate    fail if a message costs more instructions or allocations than in benchmarks/recorded.json
  record  write benchmarks/recorded.json

With words, it runs only the cases whose name contains one of them, and writes no file. The programs must have been
built: `./dev bench` does that, and takes the same arguments.
"""

import argparse
import collections
import json
import os
import signal
import sys
import time

import cases
import charts
import report
from measure import (PROGRAMS, ROOT, Failed, Sink, Unsupported, allocations, calibrate, callgrind, compiler, has_tls,
                     include_flags, instructions, machine, median_of, run_command, run, system_calls, toolchain)

HERE = ROOT / "benchmarks"
RECORDED = HERE / "recorded.json"
RESULTS = HERE / "results.json"


def log(*what, **more):
    print(*what, file=sys.stderr, flush=True, **more)


def select(all_cases, words):
    """The cases whose name contains one of the words, as far as this machine has their transport."""
    return [case for case in all_cases if (not words or any(word in str(case) for word in words))
            and (getattr(case, "transport", "") != "tls" or has_tls())]


def select_groups(groups, words):
    return [group for group in (select(group, words) for group in groups) if group]


class Bench:
    def __init__(self, sink, seconds=0.25, rounds=5):
        self.sink = sink
        self.seconds = seconds
        self.rounds = rounds
        self.failures = []

    def attempt(self, what, function, *arguments, **more):
        """Calls the function. If it fails, the failure is recorded and the result is None."""
        try:
            return function(*arguments, **more)
        except Failed as problem:
            if isinstance(problem, Unsupported) and getattr(what, "impl", "") in cases.OTHERS:
                return None  # some libraries do not have all modes
            self.fail(f"{what}: {problem}")
            return None

    def fail(self, text):
        log(f"FAILED {text}")
        self.failures.append(text)

    def time(self, group):
        """The medians of each case of a group. The cases take turns, so that a disturbance affects all of them."""
        counts = {case: self.attempt(case, calibrate, case, self.seconds, self.sink) for case in group}
        runs = collections.defaultdict(list)
        for _ in range(self.rounds):
            for case in group:
                if counts[case]:
                    runs[case].append(self.attempt(case, run, case, counts[case], self.sink))
        return {case: median_of(results) for case, results in runs.items() if all(results)}

    def count_allocations(self, case):
        count = count_for(case, 20_000)
        found = self.attempt(case, allocations, case, count, self.sink)
        return {name: n / count for name, n in found.items()} if found else {"allocations": None}

    def count_instructions(self, case):
        count = count_for(case, 20_000 if case.impl in ("tern", "shared", "limit") else 4_000)
        return self.attempt(case, instructions, case, count, self.sink)

    def count_system_calls(self, case):
        return self.attempt(case, system_calls, case, count_for(case, 4_000), self.sink)


def count_for(case, count):
    """A count at which the first and the last window have no visible effect."""
    if case.mode == "rtt":
        return 1_000
    return 100 if case.size > 10_000 else max(count, 4 * case.window)


def measure_groups(bench, groups, costs):
    """Measures all cases and returns a row for each."""
    rows = []
    for group in groups:
        found = bench.time(group)
        for case, row in found.items():
            if costs:
                row.update(bench.count_allocations(case))
                row["instructions"] = bench.count_instructions(case)
                row["system_calls"] = bench.count_system_calls(case)
            elif case.impl == "tern" and case.mode[:3] in ("pub", "sub"):
                row.update(bench.count_allocations(case))
            else:
                row.update(allocations=None, openssl_allocations=None)
            log(report.format_case(case, row))
            rows.append(dict(row, **report.case_fields(case)))
    return rows


def measure_growth(bench):
    found = {}
    for name, steps in cases.GROWTH.items():
        found[name] = []
        for case, count in steps:
            timed = [bench.attempt(case, run, case, count, bench.sink) for _ in range(3)]
            if not all(timed):
                continue
            x = {"window": case.window, "queued": count, "clients": case.clients}[name]
            ns = min(result["seconds"] for result in timed) / count * 1e9
            costs = bench.attempt(case, instructions, case, count, bench.sink)
            found[name].append({name: x, "ns": ns, "instructions": costs})
            log(f"growth: {name} {x}: {ns:.0f} ns")
    return found


def growth_instructions(name, items):
    """Instructions per item of a case of bench_growth."""
    command = [PROGRAMS / "bench_growth", "--only", name, "--count", items]
    return callgrind(lambda under: run_command([*under, *command])) / items


def measure_session_growth(bench):
    found = {}
    for name in cases.SESSION_GROWTH:
        found[name] = rows_from(bench, PROGRAMS / "bench_growth", "--only", name)
        for row in found[name]:
            row["instructions"] = bench.attempt(name, growth_instructions, name, row[name])
    return found


def count_codec_instructions(name, version):
    """Instructions to encode or to decode one packet."""
    command = [PROGRAMS / "bench_codec", "--only", name, "--version", version, "--count", 1000]
    # Rounding removes the instructions that start counting.
    return round(callgrind(lambda under: run_command([*under, *command])) / 1000)


def rows_from(bench, *command, **more):
    """Runs a program that prints a JSON object per line, and returns the objects."""
    def rows():
        try:
            return [json.loads(line) for line in run_command(command, **more).splitlines()]
        except ValueError:
            raise Failed("its output is not JSON") from None

    return bench.attempt(command[-2], rows) or []


def compile_rows(bench):
    environment = dict(os.environ, CXX=compiler(), CXXFLAGS=" ".join(include_flags()))
    return rows_from(bench, sys.executable, HERE / "compile.py", "--json", env=environment)


def full(words):
    started = time.monotonic()
    with Sink() as sink:
        bench = Bench(sink)
        rows = []
        for version in cases.VERSIONS:
            rows += measure_groups(bench, select_groups(cases.small_groups(version), words), costs=True)
            more = cases.large_groups(version) + cases.connection_groups(version)
            rows += measure_groups(bench, select_groups(more, words), costs=False)
        transports = cases.transport_groups() + cases.secure_connection_groups()
        transport_rows = measure_groups(bench, select_groups(transports, words), costs=False)
        if words:
            return bench.failures
        results = {"machine": machine(), "cases": rows, "transports": transport_rows,
                   "growth": measure_growth(bench)}
    results["session_growth"] = measure_session_growth(bench)
    results["codec_instructions"] = [
        {"packet": name, "version": version,
         "instructions": bench.attempt(name, count_codec_instructions, name, version)}
        for name, version in cases.CODEC]
    results["codec"] = rows_from(bench, PROGRAMS / "bench_codec", "--json")
    results["topics"] = rows_from(bench, PROGRAMS / "bench_topics", "--json")
    results["compile"] = compile_rows(bench)
    results["targets"] = report.evaluate_targets(results)
    RESULTS.write_text(json.dumps(rounded(results), indent=1) + "\n")
    report.write()
    charts.write()
    minutes = (time.monotonic() - started) / 60
    log(f"written: benchmarks/results.json, results.md and the charts, in {minutes:.0f} minutes")
    return bench.failures


def rounded(value):
    """Rounds all numbers to four significant digits."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def quick(words):
    with Sink() as sink:
        bench = Bench(sink, seconds=0.1, rounds=3)
        rows = []
        for group in select_groups(cases.QUICK, words):
            found = bench.time(group)
            for case, row in found.items():
                is_tern = case.impl in ("tern", "shared")
                row["instructions"] = bench.count_instructions(case) if is_tern else None
                row.update(bench.count_allocations(case) if is_tern else {"allocations": None})
                rows.append(dict(row, **report.case_fields(case)))
        print("\n".join(report.case_table(rows)))
    return bench.failures


def gate_figures(bench, words):
    """The figures that the gate compares, which hardly vary between runs: name, kind, function that measures it."""
    for case in select(cases.GATE, words):
        yield str(case), "instructions", lambda: bench.count_instructions(case)
        yield str(case), "allocations", lambda: bench.count_allocations(case)["allocations"]
    for name, version in cases.CODEC:
        text = f"codec {name} {version}"
        if select([text], words):
            yield text, "instructions", lambda: bench.attempt(text, count_codec_instructions, name, version)


def minimum(measure, times, enough=None):
    """The minimum of several measurements, because noise only adds. Stops at a failure, or at `enough` or less."""
    found = None
    for _ in range(times):
        one = measure()
        if one is None:
            return None
        found = one if found is None else min(found, one)
        if enough is not None and found <= enough:
            break
    return found


def record(words):
    recorded = {}
    with Sink() as sink:
        bench = Bench(sink)
        for name, what, measure in gate_figures(bench, words):
            recorded.setdefault(name, {})[what] = minimum(measure, 3)
            log(f"{name}: {recorded[name][what]} {what}")
    if not bench.failures and not words:
        RECORDED.write_text(json.dumps({"toolchain": toolchain(), "figures": rounded(recorded)}, indent=1) + "\n")
    return bench.failures


def allowed_figure(name, what, before):
    """The maximum of a figure, given its recorded value."""
    if what == "allocations":
        # A buffer may grow in one run and not in another, so one allocation per thousand messages is allowed.
        return before * 1.02 + 0.001
    # It depends on timing whether a client finds an answer or has to wait for it.
    return before * (1.05 if name.startswith("rtt") else 1.02)


def gate(words):
    if not RECORDED.exists():
        sys.exit("benchmarks/recorded.json does not exist; ./dev bench record writes it")
    recorded = json.loads(RECORDED.read_text())
    before = recorded["figures"]
    here = toolchain()
    comparable = here == recorded["toolchain"]
    if not comparable:
        log(f"instructions are not compared, because they were recorded with {describe(recorded['toolchain'])};",
            f"this machine has {describe(here)}")
    seen, better = set(), 0
    with Sink() as sink:
        bench = Bench(sink)
        for name, what, measure in gate_figures(bench, words):
            seen.add(name)
            old = before.get(name, {}).get(what)
            if what == "instructions" and not comparable:
                continue
            if old is None:
                bench.fail(f"{name}: {what} are not recorded")
                continue
            new = minimum(measure, 5, allowed_figure(name, what, old))
            if new is not None and new > allowed_figure(name, what, old):
                bench.fail(f"{name}: {new:.4g} {what} per message, {old:.4g} are recorded")
            elif new is not None and new < 0.98 * old:
                better += 1
    for name in select(cases.SESSION_GROWTH, words):
        few, many = (bench.attempt(name, growth_instructions, name, n) for n in cases.SESSION_GROWTH_ITEMS[1::2])
        if few and many and many > cases.MOST_GROWTH * few:
            bench.fail(f"growth, {name}: {many:.4g} instructions per item with many items, {few:.4g} with few")
    for name in before:
        if not words and name not in seen and (has_tls() or ", tls" not in name):
            bench.fail(f"{name}: recorded, but not measured")
    if better:
        log(f"{better} figures are better than recorded by more than 2%; ./dev bench record updates the record")
    if not bench.failures:
        log(f"no message costs more than recorded, in {len(seen)} cases")
    return bench.failures


def describe(parts):
    return ", ".join(f"{name} {value}" for name, value in parts.items())


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    parser.add_argument("what", nargs="?", default="full", choices=["full", "quick", "gate", "record"])
    parser.add_argument("words", nargs="*")
    arguments = parser.parse_args()
    if not has_tls():
        log("the cases over TLS are left out, because OpenSSL is not installed")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that child processes are ended, too
    failures = {"full": full, "quick": quick, "gate": gate, "record": record}[arguments.what](arguments.words)
    if failures:
        log(f"{len(failures)} failed:", *failures, sep="\n  ")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
