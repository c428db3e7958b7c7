#!/usr/bin/env python3
"""Writes benchmarks/results.md from benchmarks/results.json: what was measured, and which targets are met."""

import json

import cases
from measure import ROOT, Case

RESULTS = ROOT / "benchmarks/results.json"
PAGE = ROOT / "benchmarks/results.md"

FIELDS = ("impl", "variant", "mode", "version", "size", "window", "clients")


def key(case):
    """What a row of the results says of its case."""
    return {field: getattr(case, field) for field in FIELDS}


def by_case(rows):
    return {Case(**{field: row[field] for field in FIELDS}): row for row in rows}


def number(value, digits=3):
    """Three digits of what was measured, with commas between thousands: 1,234,567.8 becomes 1,230,000."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10 ** (digits - 1) or rounded == int(rounded) else f"{rounded:,.{digits}g}"


def size_name(size):
    if size >= cases.MIB:
        return f"{size // cases.MIB} MiB"
    return f"{size // cases.KIB} KiB" if size >= cases.KIB else f"{size} B"


def work_name(row):
    """The mode, and what else tells two tables' rows apart."""
    if row["mode"] == "rtt":
        return "round trip"
    return f"{row['mode']}, window {row['window']}" if row["mode"] in ("pub0", "pub1", "pub2", "sub1", "sub2") else row["mode"]


def impl_name(row):
    return f"{row['impl']}, {row['variant']}" if row["variant"] else row["impl"]


def same_work(found, case, impl):
    return found.get(case.replace(impl=impl, variant=""), {})


def ratios(found, case):
    """Of a case: its share of the limit's throughput, and how many times that of the better rival it is."""
    speed = lambda row: 1 / row["p50_us"] if row.get("p50_us") else row.get("per_second")
    own = speed(found.get(case, {}))
    limit = speed(same_work(found, case, "limit"))
    best = max((speed(same_work(found, case, impl)) or 0 for impl in cases.OTHERS), default=0)
    return own / limit if own and limit else None, own / best if own and best else None


def line(case, row):
    costs = [f"{row[name]:.4g} {name}" for name in ("instructions", "allocations", "system_calls") if row.get(name) is not None]
    return ", ".join([f"{str(case):60} {number(row['per_second'])}/s", *costs])


def table(head, rows, words=1):
    """A Markdown table with columns of equal width. The first columns have words, the others numbers."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    show = lambda row: "| " + " | ".join(
        cell.ljust(width) if i < words else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))) + " |"
    rule = "|" + "|".join("-" * (width + 2) if i < words else "-" * (width + 1) + ":" for i, width in enumerate(widths)) + "|"
    return [show(head), rule, *map(show, rows), ""]


def case_table(rows):
    found = by_case(rows)
    out, last = [], None
    for case, row in found.items():
        limit, best = ratios(found, case)
        work = work_name(row)
        out.append([work if work != last else "", impl_name(row), number(row["per_second"]), number(limit),
                    number(best) if case.impl in ("tern", "limit") else "", number(row.get("instructions")),
                    number(row.get("allocations")), number(row.get("system_calls"))])
        last = work
    return table(["", "", "per second", "of the limit", "x the rivals", "instructions", "allocations", "system calls"], out, words=2)


# Targets.


def judged(results):
    """Every target with what was measured; `met` is none if nothing was."""
    found = by_case(results["cases"])
    out = []

    def judge(name, version, figure, at_least, target, measured):
        met = None if measured is None else measured >= target if at_least else measured <= target
        out.append({"name": name, "version": version, "figure": figure, "target": target, "at_least": at_least,
                    "measured": measured, "met": met})

    for target in cases.TARGETS:
        for version in cases.VERSIONS:
            case = target.case.replace(version=version)
            row = found.get(case, {})
            limit, best = ratios(found, case)
            for figure, at_least, wanted, measured in (
                    ("of the limit", True, target.limit, limit),
                    ("instructions", False, target.instructions, row.get("instructions")),
                    ("x the rivals", True, target.rivals, best),
                    ("allocations", False, target.allocations, row.get("allocations"))):
                if wanted is not None:
                    judge(target.name, version, figure, at_least, wanted, measured)
            if case.mode == "idle":
                judge(target.name, version, "bytes", False, cases.IDLE_BYTES, row.get("bytes_per_client"))
    for name, wanted in cases.CODEC.items():
        figures = (results["codec"] or {})
        judge(name, "", "instructions", False, wanted, (figures.get("instructions") or {}).get(name))
    return out


def judgement(judged_rows):
    """The targets as a table: a row for each mode and version, a column for each figure."""
    figures = ["of the limit", "instructions", "x the rivals", "allocations", "bytes"]
    lines = {}
    for row in judged_rows:
        cell = "not measured"
        if row["measured"] is not None:
            cell = number(row["measured"]) if row["met"] else f"**{number(row['measured'])}**"
        cell += f" ({'≥' if row['at_least'] else '≤'} {number(row['target'])})"
        lines.setdefault((row["name"], row["version"]), {})[row["figure"]] = cell
    return table(["", "version", *figures], [[*line, *(cells.get(figure, "") for figure in figures)] for line, cells in lines.items()], words=2)


# The page.


def large_table(rows):
    found = by_case(rows)
    out = []
    for case, row in found.items():
        if case.impl != "tern":
            continue
        others = [same_work(found, case, impl).get("bytes_per_second") for impl in ("limit", *cases.OTHERS)]
        limit, best = ratios(found, case)
        out.append([f"{work_name(row)}, {size_name(row['size'])}, {row['variant']}", row["version"],
                    *(number(value and value / 1e6) for value in (row["bytes_per_second"], *others)), number(limit), number(best)])
    return table(["MB/s", "version", "tern", "limit", "libmosquitto", "paho_c", "of the limit", "x the rivals"], out, words=2)


def of_mode(rows, mode):
    return [row for row in rows if row["mode"] == mode]


def any_table(rows):
    """A table of what some other program measured."""
    head = list(rows[0])
    return table(head, [[row.get(name) if isinstance(row.get(name), str) else number(row.get(name)) for name in head] for row in rows])


def any_section(name, value):
    """The same, for whatever shape it has: a list of rows, a row, or several of these by name."""
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return [f"### {name}", "", *any_table(value)] if name else any_table(value)
    if isinstance(value, dict):
        plain = {field: one for field, one in value.items() if not isinstance(one, (dict, list))}
        nested = {field: one for field, one in value.items() if field not in plain}
        out = []
        if plain:
            out = [f"### {name}", ""] if name else []
            out += table(["", "value"], [[field, one if isinstance(one, str) else number(one)] for field, one in plain.items()])
        return out + [text for field, one in nested.items() for text in any_section(field, one)]
    return []


def page(results):
    rows = results["cases"]
    machine = results["machine"]
    small = lambda version: [row for row in rows if row["version"] == version and row["size"] == 64 and row["mode"] not in ("conn", "idle")]
    missed = [row for row in results["targets"] if row["met"] is False]
    met = [row for row in results["targets"] if row["met"]]
    out = [
        "# What a message costs", "",
        f"Measured by `./dev bench` on {machine['cpu']}, {machine['cores']} cores, {machine['compiler']}, Asio {machine['asio']}; "
        f"libmosquitto {machine['libmosquitto']}, Paho C {machine['paho_c']}.", "",
        "All programs talk to the same sink over loopback, pinned to one core, the sink to another. The limit is a program of a",
        "few calls to Asio that writes packets encoded beforehand: no client can be faster. The medians of 5 runs; the",
        "implementations take turns. Instructions are those in user space and, like system calls and allocations, per message.",
        "They are counted by callgrind and strace, which slow a program down, so that it finds more to do at a time.", "",
        "## Targets", "",
        f"{len(met)} figures meet their target, {len(missed)} do not (bold). *Of the limit* is the share of the limit's throughput, or for",
        "the round trip of its speed; *x the rivals* how many times that of the better of libmosquitto and Paho.", "",
        *judgement(results["targets"]),
    ]
    for version in cases.VERSIONS:
        out += [f"## MQTT {version}, 64 bytes of payload", "", *case_table(small(version))]
    out += ["## Larger payloads", "", *large_table([row for row in rows if row["size"] > 64])]
    out += ["## Round trips", "", *table(
        ["µs", "version", "p50", "p99", "p99.9"],
        [[impl_name(row), row["version"], *(number(row.get(f"{p}_us")) for p in ("p50", "p99", "p999"))] for row in of_mode(rows, "rtt")], words=2)]
    out += ["## Connections", "", *table(
        ["", "version", "connects per second, one at a time", "10,000 at once", "bytes for each"],
        [[impl_name(row), row["version"], number(row.get("connects_per_second")),
          *(number(idle_of(rows, row).get(field)) for field in ("connects_per_second", "bytes_per_client"))] for row in of_mode(rows, "conn")], words=2)]
    out += ["## Growth", "", "What one message costs, with so many in flight (window), queued while there is no connection, and with so many clients", "on one io_context.", ""]
    for name, steps in results["growth"].items():
        out += any_section("", steps)
    for name, title in (("codec", "The codec"), ("topics", "Topics"), ("compile", "Compiling")):
        if results.get(name):
            out += [f"## {title}", "", *any_section("", results[name])]
    return "\n".join(out).rstrip() + "\n"


def idle_of(rows, row):
    return next((one for one in of_mode(rows, "idle") if (one["impl"], one["version"]) == (row["impl"], row["version"])), {})


def write():
    PAGE.write_text(page(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    write()
