#!/usr/bin/env python3
"""Draws the README's charts from benchmarks/results.json: docs/throughput.svg and docs/instructions.svg."""

import json
import math
import subprocess

import cases
import report
from measure import ROOT

# The case of Tern that the charts show for each mode.
CHARTED_CASES = [
    cases.tern("pub0", "callback", window=1000),
    cases.tern("pub1", "callback"),
    cases.tern("pub2", "callback"),
    cases.tern("sub0", "message_callback"),
    cases.tern("sub1", "message_callback"),
    cases.tern("sub2", "message_callback"),
    cases.tern("rtt"),
]
SERIES = {"tern": "#0b6e4f", "limit": "#b8b8b8", "libmosquitto": "#3c6997", "paho_c": "#e08e45"}
NAMES = {"tern": "Tern", "limit": "limit (bare Asio)", "libmosquitto": "libmosquitto", "paho_c": "Paho C"}


def draw(results, field, title, file):
    found = report.by_case(results["cases"])
    lines, least = [], 1e12
    for case in CHARTED_CASES:
        rows = [found.get(case, {}), *(report.same_work(found, case, impl) for impl in list(SERIES)[1:])]
        values = [row.get(field) for row in rows]
        least = min([least, *filter(None, values)])
        name = "round trip" if case.mode == "rtt" else case.mode
        lines.append(" ".join([f'"{name}"', *(f"{value:.4g}" if value else "NaN" for value in values)]))
    plots = ", ".join(f"$data using {i + 2}:xtic(1) title '{NAMES[impl]}' linecolor rgb '{color}'"
                      for i, (impl, color) in enumerate(SERIES.items()))
    # The background is white, because the letters are dark and a page may be dark, too.
    script = f"""
        set terminal svg size 760,380 font 'sans-serif,13' background rgb 'white'
        set output '{file}'
        set title "{title}"
        set style data histogram
        set style histogram clustered gap 1
        set style fill solid noborder
        set logscale y
        set yrange [{10 ** math.floor(math.log10(least)):g}:*]
        set format y '%.0s%c'
        set grid ytics linecolor rgb '#dddddd'
        set border 3 linecolor rgb '#555555'
        set tics nomirror
        set key outside bottom center horizontal
$data << END
{chr(10).join(lines)}
END
        plot {plots}
    """
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def write():
    results = json.loads(report.RESULTS.read_text())
    draw(results, "per_second", "Messages per second: MQTT 5.0, 64 bytes, one core", ROOT / "docs/throughput.svg")
    draw(results, "instructions", "User-space instructions per message", ROOT / "docs/instructions.svg")


if __name__ == "__main__":
    write()
