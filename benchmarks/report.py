#!/usr/bin/env python3
"""Writes benchmarks/results.md from benchmarks/results.json: the measurements and the targets."""

import itertools
import json

import cases
from measure import ROOT, Case

RESULTS = ROOT / "benchmarks/results.json"
PAGE = ROOT / "benchmarks/results.md"

FIELDS = ("impl", "variant", "mode", "version", "size", "window", "clients", "transport")


def case_fields(case):
    """The fields of a result row that identify its case."""
    return {field: getattr(case, field) for field in FIELDS}


def by_case(rows):
    return {Case(**{field: row[field] for field in FIELDS if field in row}): row for row in rows}


def format_number(value):
    """Rounds to three significant digits, with commas between thousands: 1,234,567.8 becomes 1,230,000."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 or rounded == int(rounded) else f"{rounded:,.3g}"


def size_name(size):
    if size >= cases.MIB:
        return f"{size // cases.MIB} MiB"
    return f"{size // cases.KIB} KiB" if size >= cases.KIB else f"{size} B"


def work_name(row):
    """The mode, with the window if it matters."""
    if row["mode"] == "rtt":
        return "round trip"
    if row["variant"] == "threads":
        return f"{row['mode']}, 4 threads"
    has_window = row["mode"] in ("pub0", "pub1", "pub2", "sub1", "sub2")
    name = f"{row['mode']}, window {row['window']}" if has_window else row["mode"]
    return name if row.get("transport", "tcp") == "tcp" else f"{name}, {row['transport']}"


def impl_name(row):
    return f"{row['impl']}, {row['variant']}" if row["variant"] not in ("", "threads") else row["impl"]


def same_work(found, case, impl):
    return found.get(case.replace(impl=impl, variant="threads" if case.variant == "threads" else ""), {})


def ratios(found, case):
    """A case's throughput as a share of the limit's, and as a multiple of the better rival's."""
    speed = lambda row: 1 / row["p50_us"] if row.get("p50_us") else row.get("per_second")
    own = speed(found.get(case, {}))
    limit = speed(same_work(found, case, "limit"))
    best = max((speed(same_work(found, case, impl)) or 0 for impl in cases.OTHERS), default=0)
    return own / limit if own and limit else None, own / best if own and best else None


def share_of_tcp(found, case):
    """The throughput as a share of that of the same case over TCP."""
    over_tcp = found.get(case.replace(transport="tcp"))
    own = found.get(case)
    return own["per_second"] / over_tcp["per_second"] if own and over_tcp else None


def format_case(case, row):
    """The line that is logged when a case has been measured."""
    costs = [f"{row[name]:.4g} {name}"
             for name in ("instructions", "allocations", "openssl_allocations", "system_calls", "bytes_per_client")
             if row.get(name) is not None]
    return ", ".join([f"{str(case):60} {format_number(row['per_second'])}/s", *costs])


def table(head, rows, words=1):
    """A Markdown table. The first `words` columns are aligned as text, the others as numbers."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *rows)]

    def show(row):
        cells = [cell.ljust(width) if i < words else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        return "| " + " | ".join(cells) + " |"

    rules = ["-" * (width + 2) if i < words else "-" * (width + 1) + ":" for i, width in enumerate(widths)]
    return [show(head), "|" + "|".join(rules) + "|", *map(show, rows), ""]


def case_table(rows):
    found = by_case(rows)
    out, last = [], None
    for case, row in found.items():
        limit, best = ratios(found, case)
        work = work_name(row)
        out.append([work if work != last else "", impl_name(row),
                    format_number(row["per_second"]), format_number(limit),
                    format_number(best) if case.impl in ("tern", "shared", "limit") else "",
                    *(format_number(row.get(cost)) for cost in ("instructions", "allocations", "system_calls"))])
        last = work
    return table(["", "", "per second", "of the limit", "x the rivals", "instructions", "allocations", "system calls"],
                 out, words=2)


# Targets.


def evaluate_targets(results):
    """Each target with its measurement. `met` is None if there is no measurement."""
    out = []

    def evaluate(name, version, figure, at_least, target, measured):
        met = None if measured is None else measured >= target if at_least else measured <= target
        out.append({"name": name, "version": version, "figure": figure, "target": target, "at_least": at_least,
                    "measured": measured, "met": met})

    def evaluate_case(target, case, found):
        row = found.get(case, {})
        limit, best = ratios(found, case)
        for figure, at_least, value, measured in (
                ("of the limit", True, target.limit, limit),
                ("of TCP", True, target.tcp, share_of_tcp(found, case)),
                ("instructions", False, target.instructions, row.get("instructions")),
                ("x the rivals", True, target.rivals, best),
                ("allocations", False, target.allocations, row.get("allocations"))):
            if value is not None:
                evaluate(target.name, case.version, figure, at_least, value, measured)
        if case.mode == "idle":
            evaluate(target.name, case.version, "bytes", False, cases.IDLE_BYTES[case.transport],
                     row.get("bytes_per_client"))

    plain = by_case(results["cases"])
    for target in cases.TARGETS:
        for version in cases.VERSIONS:
            evaluate_case(target, target.case.replace(version=version), plain)
    transports = by_case(results.get("transports", []))
    for target in cases.TRANSPORT_TARGETS:
        evaluate_case(target, target.case, transports)
    counted = {(row["packet"], row["version"]): row["instructions"] for row in results["codec_instructions"]}
    for name, version in cases.CODEC:
        evaluate(name, version, "instructions", False, cases.CODEC[name, version], counted.get((name, version)))
    compiled = {row["what"]: row for row in results["compile"]}
    for figure, value in cases.COMPILE.items():
        both = [compiled.get(what, {}).get(figure) for what in ("publish.cpp", "asio.hpp")]
        difference = None if None in both else both[0] - both[1]
        evaluate("examples/publish.cpp over asio.hpp", "", figure, False, value, difference)
    return out


def target_table(evaluated):
    """The table of targets: a row for each mode and version, a column for each figure."""
    measured = {row["figure"] for row in evaluated}
    figures = [figure for figure in ("of the limit", "of TCP", "instructions", "x the rivals", "allocations", "bytes",
                                     *cases.COMPILE) if figure in measured]
    lines = {}
    for row in evaluated:
        measured = "not measured" if row["measured"] is None else format_number(row["measured"])
        if row["met"] is False:
            measured = f"**{measured}**"
        cells = lines.setdefault((row["name"], row["version"]), {})
        cells[row["figure"]] = f"{measured} ({'≥' if row['at_least'] else '≤'} {format_number(row['target'])})"
    rows = [[*line, *(cells.get(figure, "") for figure in figures)] for line, cells in lines.items()]
    return table(["", "version", *figures], rows, words=2)


# The page.


def large_table(rows):
    found = by_case(rows)
    out = []
    for case, row in found.items():
        if case.impl == "tern":
            speeds = [row, *(same_work(found, case, impl) for impl in ("limit", *cases.OTHERS))]
            out.append([f"{work_name(row)}, {size_name(row['size'])}", row["version"],
                        *(format_number(one["bytes_per_second"] / 1e6 if one else None) for one in speeds),
                        *map(format_number, ratios(found, case))])
    return table(["MB/s", "version", "tern", "limit", "libmosquitto", "paho_c", "of the limit", "x the rivals"], out,
                 words=2)


def round_trip_table(rows):
    return table(["µs", "version", "p50", "p99", "p99.9"],
                 [[impl_name(row), row["version"], *(format_number(row[f"{p}_us"]) for p in ("p50", "p99", "p999"))]
                  for row in rows if row["mode"] == "rtt"], words=2)


def connection_table(rows):
    idle = {(row["impl"], row["version"]): row for row in rows if row["mode"] == "idle"}
    out = []
    for row in rows:
        if row["mode"] == "conn":
            many = idle.get((row["impl"], row["version"]), {})
            out.append([row["impl"], row["version"], format_number(row["connects_per_second"]),
                        format_number(many.get("connects_per_second")), format_number(many.get("bytes_per_client"))])
    return table(["", "version", "connects per second", "with 10,000 clients", "bytes per client"], out, words=2)


def tls_table(rows):
    found = by_case(rows)
    out = []
    for case, row in found.items():
        if (case.impl, case.transport) == ("tern", "tls") and case.mode not in ("conn", "idle"):
            speeds = [row, *(same_work(found, case, impl) for impl in ("limit", *cases.OTHERS))]
            out.append([work_name(dict(row, transport="tcp")), size_name(case.size),
                        *(format_number(one.get("per_second")) for one in speeds),
                        *map(format_number, ratios(found, case)),
                        *(format_number(row.get(name)) for name in ("allocations", "openssl_allocations"))])
    return table(["messages per second", "", "tern", "limit", "libmosquitto", "paho_c", "of the limit", "x the rivals",
                  "allocations", "OpenSSL's"], out, words=2)


def websocket_table(rows):
    found = by_case(rows)
    return table(["messages per second", "WebSocket", "TCP", "of TCP", "allocations"],
                 [[work_name(dict(row, transport="tcp")), format_number(row["per_second"]),
                   format_number(found.get(case.replace(transport="tcp"), {}).get("per_second")),
                   format_number(share_of_tcp(found, case)), format_number(row.get("allocations"))]
                  for case, row in found.items() if case.transport == "websocket"])


def secure_connection_table(rows):
    return table(["", "connects per second", "bytes per client"],
                 [[impl_name(row) if case.mode == "conn" else f"{impl_name(row)}, {case.clients:,} clients",
                   format_number(row["connects_per_second"]), format_number(row.get("bytes_per_client"))]
                  for case, row in by_case(rows).items() if case.mode in ("conn", "idle")])


def transport_section(results):
    rows = results.get("transports", [])
    if not rows:
        return []
    return ["## TLS and WebSocket", "",
            f"MQTT 5.0, OpenSSL {results['machine'].get('openssl')}. All programs verify the sink's certificate. Here the",
            "limit calls Asio and OpenSSL directly, and encrypts up to 64 KiB per call. The sink encrypts and decrypts as",
            "much as the client. *OpenSSL's* are the allocations by OpenSSL, which are not in the column before.", "",
            *tls_table(rows),
            "One connection over TLS after the other. With `resume` it is the same client, which continues its TLS",
            "session. The bytes of an idle client are those beside the shared `SSL_CTX`.", "",
            *secure_connection_table(rows), "Messages of 64 bytes over WebSocket, which take turns with TCP.", "",
            *websocket_table(rows)]


def tables_from(rows):
    """The results of other programs: a table for each series of rows with the same fields."""
    out = []
    for head, group in itertools.groupby(rows, key=lambda row: [name for name in row if name not in ("impl", "mode")]):
        group = list(group)
        words = sum(isinstance(group[0][name], str) for name in head)
        cells = [[row[name] if isinstance(row[name], str) else format_number(row[name]) for name in head]
                 for row in group]
        out += table(head, cells, words)
    return out


INTRODUCTION = """# What a message costs

Measured by `./dev bench` on {cpu}, {compiler}, Asio {asio}; libmosquitto {libmosquitto}, Paho C {paho_c}.

All programs run against the same sink over loopback. They are pinned to one core, the sink to another. The *limit* is a
program that calls Asio directly and writes packets that were encoded beforehand. Where several threads publish, with
`tern::shared_client` (*shared*) and with libmosquitto's own thread, they may use both cores. Throughput is the median of 5 runs, in
which the implementations take turns. Instructions (in user space), allocations and system calls are per message.
Callgrind and strace count instructions and system calls. They slow a program down, which may then process more messages
at a time.

*Of the limit* is the throughput as a share of the limit's. *x the rivals* is the throughput as a multiple of that of
libmosquitto or Paho, whichever is better. For round trips both columns compare the median time.

## Targets

{met} figures meet their target. {missed} do not (bold).
"""


def page(results):
    rows = results["cases"]
    verdicts = [row["met"] for row in results["targets"]]
    out = [INTRODUCTION.format(**results["machine"], met=verdicts.count(True), missed=verdicts.count(False)),
           *target_table(results["targets"])]
    for version in cases.VERSIONS:
        small = [row for row in rows if row["version"] == version and row["size"] == 64]
        out += [f"## MQTT {version}, 64 bytes of payload", "",
                *case_table([row for row in small if row["mode"] not in ("conn", "idle")])]
    out += ["## Larger payloads", "", *large_table([row for row in rows if row["size"] > 64])]
    out += ["## Round trips", "", *round_trip_table(rows)]
    out += ["## Connections", "", "One connection after the other, and 10,000 clients on one io_context, of which 100",
            "connect at a time.", "", *connection_table(rows)]
    out += transport_section(results)
    out += ["## Growth", "", "The cost of a message depending on the number of messages in flight, of messages queued",
            "without a connection, and of clients on one io_context.", ""]
    for steps in results["growth"].values():
        out += tables_from(steps)
    out += ["What a session does with many items at once, per item. QoS 2 messages that the application has not released:",
            "the connection is lost (`lose`), the broker sends them again (`repeat`), the application releases them",
            "(`release`), the broker sends PUBREL without waiting (`pubrel`). And operations that are cancelled in a random",
            "order: queued messages, requests that wait for the connection, drains. And receive operations of a client",
            "that are cancelled from the first on, from the last on, and in a random order.", ""]
    for steps in results.get("session_growth", {}).values():
        out += tables_from(steps)
    out += ["## The codec", "", *tables_from(results["codec_instructions"]), *tables_from(results["codec"])]
    out += ["## Topics", "", *tables_from(results["topics"])]
    out += ["## Compiling", "", "`minimal.cpp` is a small publisher and subscriber with callbacks, `socket.cpp` the same",
            "kind of program with Asio alone. A small publisher and subscriber with Boost.MQTT5 takes 15.6 s at -O0 and",
            "21.5 s at -O2 where `socket.cpp` takes 1.4 s and 2.5 s.", "", *tables_from(results["compile"])]
    return "\n".join(out).rstrip() + "\n"


def write():
    PAGE.write_text(page(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    write()
