"""The benchmark cases and their targets."""

import dataclasses

from measure import Case

VERSIONS = ("3.1.1", "5.0")
OTHERS = ("libmosquitto", "paho_c")
MODES = ("pub0", "pub1", "pub2", "sub0", "sub1", "sub2")
VARIANTS = {"pub": ("callback", "coroutine", "try_publish"), "sub": ("message_callback", "batch", "receive")}
KIB = 1024
MIB = 1024 * KIB


def tern(mode, variant="", **more):
    return Case("tern", variant, mode, **more)


def variants(mode, **more):
    """A case for each of Tern's interfaces to the mode."""
    return [tern(mode, variant, **more) for variant in VARIANTS.get(mode[:3], ("",))]


def rivals(case):
    """The same work done by the limit and by other libraries."""
    return [case.replace(impl=impl, variant="") for impl in ("limit", *OTHERS)]


# The cases of a group do the same work and take turns.


def group(mode, **more):
    ours = variants(mode, **more)
    return ours + rivals(ours[0])


def thread_group(version="5.0"):
    """Several threads publish at QoS 0. The clients may use both cores, and share one with the sink."""
    return [Case(impl, "threads", "pub0", version=version) for impl in ("shared", "libmosquitto")]


def main_group(mode, **more):
    """A group with only the first variant of Tern."""
    ours = variants(mode, **more)[0]
    return [ours, *rivals(ours)]


def small_groups(version):
    """The groups whose instructions, allocations and system calls are counted."""
    return [
        group("pub0", version=version, window=1000),
        thread_group(version),
        group("pub1", version=version),
        group("pub1", version=version, window=1000),
        group("pub2", version=version),
        group("sub0", version=version),
        group("sub1", version=version),
        group("sub2", version=version),
        group("rtt", version=version),
    ]


def large_groups(version):
    return [
        main_group("pub0", version=version, size=KIB, window=1000),
        *(main_group(mode, version=version, size=KIB) for mode in ("pub1", "pub2", "sub0", "sub1", "sub2")),
        *(main_group(mode, version=version, size=64 * KIB, window=100) for mode in ("pub0", "sub0")),
        *(main_group(mode, version=version, size=MIB, window=16) for mode in ("pub0", "sub0")),
    ]


def transport_groups():
    """TLS, against the limit and the other libraries, and WebSocket, which takes turns with Tern over TCP."""
    tls = {"transport": "tls"}
    return [
        *(main_group(mode, window=1000 if mode == "pub0" else 100, **tls) for mode in MODES),
        *(main_group(mode, size=64 * KIB, **tls) for mode in ("pub0", "sub0")),
        *(main_group(mode, size=MIB, window=16, **tls) for mode in MODES),
        *(beside_tcp(mode) for mode in MODES),
    ]


def beside_tcp(mode):
    case = variants(mode, transport="websocket", window=1000 if mode == "pub0" else 100)[0]
    return [case, case.replace(transport="tcp")]


def secure_connection_groups():
    """With and without resumption of the TLS session, and clients that are idle."""
    tls = {"transport": "tls"}
    return [
        [tern("conn", **tls), tern("conn", "resume", **tls), *(Case(impl, "", "conn", **tls) for impl in OTHERS)],
        [tern("idle", clients=1_000, **tls)],
    ]


def connection_groups(version):
    # With 10,000 clients the other libraries need half a minute, or more open files than a system allows.
    return [main_group("conn", version=version), main_group("idle", version=version, clients=10_000)[:2]]


QUICK = [
    main_group("pub0", window=1000),
    *(main_group(mode) for mode in ("pub1", "sub0", "sub1", "rtt")),
    thread_group(),
    main_group("pub1", transport="tls"),
    main_group("sub0", transport="tls", size=64 * KIB),
    [tern("pub1", "callback", transport="websocket")],
]

# Additional arguments of each case of the gate.
GATE_ARGUMENTS = ()

GATE = [
    case.replace(extra=GATE_ARGUMENTS)
    for version in VERSIONS
    for mode in ("pub0", "pub1", "pub2", "sub0", "sub1", "sub2", "rtt")
    for case in variants(mode, version=version, window=1000 if mode == "pub0" else 100)
] + [
    variants(mode, transport=transport)[0] for transport in ("tls", "websocket") for mode in ("pub1", "sub1")
]

# The growth of a message's cost: name, cases and their counts.
GROWTH = {
    "window": [(tern("pub1", "callback", window=w), max(20_000, 4 * w)) for w in (1, 10, 100, 1_000, 10_000, 65_535)],
    "queued": [(tern("queued"), n) for n in (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)],
    "clients": [(tern("clients", clients=n), max(20_000, 20 * n)) for n in (1, 10, 100, 1_000, 10_000)],
}


# What a session or a client does with many items at once: the cases of bench_growth, and the numbers of items. Per
# item, the largest number may cost MOST_GROWTH times the instructions of the second one (caches and the logarithm of a
# sorted index).
SESSION_GROWTH = ("lose", "repeat", "release", "pubrel", "cancel_queued", "cancel_requests", "cancel_drains",
                  "cancel_receives_first", "cancel_receives_last", "cancel_receives_random")
SESSION_GROWTH_ITEMS = (100, 1_000, 10_000, 65_000)
MOST_GROWTH = 2


@dataclasses.dataclass(frozen=True)
class Target:
    """The targets of a case: the minimum of some figures, the maximum of the others."""

    name: str
    case: Case
    limit: float = None  # minimum share of the limit's throughput
    instructions: int = None  # maximum per message
    rivals: float = None  # minimum multiple of the throughput of the better of libmosquitto and Paho
    allocations: int = None  # maximum per message, without those of OpenSSL
    tcp: float = None  # minimum share of the throughput over TCP


TARGETS = [
    Target("pub0, window 1000, callback", tern("pub0", "callback", window=1000), 0.40, 450, 10, 0),
    Target("pub0, window 1000, try_publish", tern("pub0", "try_publish", window=1000), 0.60, 250, 15, 0),
    Target("pub0 from 4 threads, try_publish", Case("shared", "threads", "pub0"), None, None, 20, 0),
    Target("pub1, window 100, callback", tern("pub1", "callback"), 0.85, 950, 9, 0),
    Target("pub2, window 100, callback", tern("pub2", "callback"), 0.85, 1150, 10, 0),
    Target("pub1, window 1000, callback", tern("pub1", "callback", window=1000), 0.60, None, 50, 0),
    Target("sub0, message callback", tern("sub0", "message_callback"), 0.60, 230, 30, 0),
    Target("sub0, batch receive in a coroutine", tern("sub0", "batch"), 0.30, 500, 15, 0),
    Target("sub0, async_receive one by one", tern("sub0", "receive"), None, None, 3, 0),
    Target("sub1, window 100, message callback", tern("sub1", "message_callback"), 0.85, 390, 9, 0),
    Target("sub2, window 100, message callback", tern("sub2", "message_callback"), 0.85, 590, 10, 0),
    # The median of a round trip may be 1.10 times the limit's.
    Target("round trip, p50", tern("rtt"), 1 / 1.10, 4000, 1, 0),
    Target("pub0, 64 KiB", tern("pub0", "callback", size=64 * KIB), 0.80, None, 1, 0),
    Target("pub0, 1 MiB", tern("pub0", "callback", size=MIB, window=16), 0.80, None, 1, 0),
    Target("sub0, 64 KiB", tern("sub0", "message_callback", size=64 * KIB), 0.80, None, 1, 0),
    Target("sub0, 1 MiB", tern("sub0", "message_callback", size=MIB, window=16), 0.80, None, 1, 0),
    Target("10,000 idle clients, connect rate", tern("idle", clients=10_000), 0.80),
]



def transport_target(name, case, limit=None, rivals=None, tcp=None):
    return Target(name, case, limit, None, rivals, 0, tcp)


def tls(mode, **more):
    return variants(mode, transport="tls", **more)[0]


# These are measured with MQTT 5.0.
TRANSPORT_TARGETS = [
    transport_target("TLS, pub0, 64 B", tls("pub0", window=1000), 0.60),
    transport_target("TLS, pub1, 64 B", tls("pub1"), 0.60, 5),
    transport_target("TLS, pub2, 64 B", tls("pub2"), 0.60),
    transport_target("TLS, sub0, 64 B", tls("sub0"), 0.60),
    transport_target("TLS, sub1, 64 B", tls("sub1"), 0.60, 5),
    transport_target("TLS, sub2, 64 B", tls("sub2"), 0.60),
    *(transport_target(f"TLS, {mode}, 64 KiB", tls(mode, size=64 * KIB), 0.80) for mode in ("pub0", "sub0")),
    *(transport_target(f"TLS, {mode}, 1 MiB", tls(mode, size=MIB, window=16), 0.80) for mode in MODES),
    *(transport_target(f"WebSocket, {mode}, 64 B", beside_tcp(mode)[0], tcp=0.80) for mode in MODES),
    Target("TLS, 1,000 idle clients", tern("idle", clients=1_000, transport="tls")),
]

# Beside the shared SSL_CTX.
IDLE_BYTES = {"tcp": 2048, "tls": 48 * KIB}

# Maximum instructions for a PUBLISH of QoS 1 with 16 bytes of topic and 64 of payload, by name and version.
CODEC = {
    ("encode_publish", "3.1.1"): 110,
    ("encode_publish", "5.0"): 110,
    ("decode_publish", "3.1.1"): 190,
    ("decode_publish", "5.0"): 190,
    ("encode_publish_properties", "5.0"): 270,
    ("decode_publish_properties", "5.0"): 380,
}

# Maximum cost of examples/publish.cpp beyond that of a program that only includes asio.hpp.
COMPILE = {"user_seconds_O2": 2.0, "stripped_kib": 250}
