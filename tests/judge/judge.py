#!/usr/bin/env python3
"""Gives mutated packets to sessions with every kind of pending request, and judges the outcomes.

    judge.py <judge_driver> [--packets N] [--seed S] [--jobs J]
        gives N packets of each version to each session; another seed gives other packets
    judge.py <judge_driver> --case "5 plain 3003000161 d000"
        one case: the version, the profile, the packet, and what follows it
"""

import argparse
import collections
import concurrent.futures
import os
import random
import subprocess
import sys

import decoder
import mqtt_judge
import packets

CHUNK = 500


class Sessions:
    """The prepared sessions of the driver: for a version and profile, a client per pending request."""

    def __init__(self, driver):
        self.clients = collections.defaultdict(dict)
        lines = subprocess.run([driver, 'prepared'], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        for line in lines:
            version, profile, pending, *transcript = line.split()
            self.clients[version, profile][pending] = mqtt_judge.Client(transcript, holds=pending == 'held')


def cases_of_chunk(version, seed, chunk, count):
    source = random.Random(f'{seed} {version} {chunk}')
    for i in range(count):
        profile = 'limits' if version == '5' and i % 2 else 'plain'
        packet = packets.mutated(source, int(version))
        yield f'{version} {profile} {packet.hex()} {packets.valid(source, int(version)).bytes().hex()}'


def verdict(client, found, texts):
    """None, or why one of the outcomes is wrong. Outcomes that differ by the way of reading must look the same."""
    version = client.limits.version
    outcomes, depends_on_reads = [], False
    for text in texts:
        try:
            outcome = mqtt_judge.Outcome(text, version)
        except (AssertionError, decoder.Broken) as error:
            return f'wrong bytes were written: {error}'
        copy = client.copy()
        wrong = mqtt_judge.judge(copy, found, outcome)
        if wrong:
            return wrong
        depends_on_reads |= copy.depends_on_reads
        outcomes.append(outcome)
    if not depends_on_reads and not all(outcomes[0].same(other) for other in outcomes):
        return 'the outcome depends on how the bytes are read'
    return None


def judge_cases(driver, sessions, cases):
    """Returns the number of outcomes that were judged, how many connections were closed, and the disagreements."""
    result = subprocess.run([driver, 'run'], input='\n'.join(cases) + '\n', stdout=subprocess.PIPE, text=True)
    lines = result.stdout.splitlines()
    if result.returncode != 0 or len(lines) != len(cases):
        at = cases[len(lines)] if len(lines) < len(cases) else ''
        return 0, 0, [f'the driver failed ({result.returncode}) at or after: {at}']
    judged, closed, wrong = 0, 0, []
    for case, line in zip(cases, lines):
        version, profile, subject, following = case.split()
        clients = sessions.clients[version, profile]
        found = decoder.frames(bytes.fromhex(subject + following), next(iter(clients.values())).limits)
        for (pending, client), text in zip(clients.items(), line.rstrip('\t').split('\t')):
            judged += 1
            closed += text.startswith('closed')
            problem = verdict(client, found, text.split(' != '))
            if problem:
                wrong.append(f'{problem}\n  pending: {pending}; case: {case}\n  outcome: {text}')
    return judged, closed, wrong


def run_chunk(driver, version, seed, chunk, count):
    return judge_cases(driver, Sessions(driver), list(cases_of_chunk(version, seed, chunk, count)))


def run(driver, count, seed, jobs):
    judged, closed, wrong = 0, 0, []
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        runs = [pool.submit(run_chunk, driver, version, seed, first // CHUNK, min(CHUNK, count - first))
                for first in range(0, count, CHUNK) for version in ('4', '5')]
        for each in runs:
            more = each.result()
            judged, closed, wrong = judged + more[0], closed + more[1], wrong + more[2]
    print(f'{count} packets in each version, {judged} outcomes judged, each read in three ways; '
          f'{closed} connections closed; {len(wrong)} disagreements')
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('driver')
    parser.add_argument('--packets', type=int, default=50000)
    parser.add_argument('--seed', default='1')
    parser.add_argument('--jobs', type=int, default=os.cpu_count())
    parser.add_argument('--case')
    arguments = parser.parse_args()
    if arguments.case:
        sessions = Sessions(arguments.driver)
        wrong = judge_cases(arguments.driver, sessions, [arguments.case])[2]
    else:
        wrong = run(arguments.driver, arguments.packets, arguments.seed, arguments.jobs)
    for each in wrong[:20]:
        print(each)
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
