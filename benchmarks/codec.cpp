// Measures encoding and decoding of each packet, and memcpy of the same bytes for comparison.
//
//     bench_codec           a table of nanoseconds per packet
//     bench_codec --json    the same, one JSON object per line
//
//     valgrind --tool=callgrind --collect-atstart=no bench_codec --only encode_publish --count 1000
//
// counts only the instructions of one case, which is named as in the table. The result divided by the count is the
// number of instructions per packet; about seven of them are the loop's. The case is measured with 5.0, or with 3.1.1
// if `--version 3.1.1` is given.
//
// Decoding starts at the first byte of a packet, so it includes `next_frame`, and ends with the packet's struct in
// memory. The PUBLISH has QoS 1 and a topic of 16 bytes. Its payload has 64 bytes, or as many as the name says.
#include "tern/codec/packet.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_TOGGLE_COLLECT
#endif

#if defined(_MSC_VER)
#define NOINLINE __declspec(noinline)
#else
#define NOINLINE __attribute__((noinline))
#endif

namespace {

using namespace tern;

struct settings {
    bool json = false;
    std::string_view only;
    protocol_version version = protocol_version::v5; // of `only`
    std::size_t count = 0;                           // calls per round; 0: enough for a reliable time
};

// Prevents the compiler from optimising away the object that `p` points to.
void do_not_optimize(const void* p) {
#if defined(__GNUC__)
    asm volatile("" : : "r"(p) : "memory");
#else
    static const void* volatile seen;
    seen = p;
#endif
}

template <class Packet>
NOINLINE std::size_t encode_one(const Packet& packet, protocol_version version, std::span<char> out) {
    return encode(packet, version, out).value();
}

template <class Packet>
NOINLINE std::size_t decode_one(std::string_view bytes, protocol_version version) {
    const auto found = next_frame(bytes);
    const auto packet = decode<Packet>(found->frame, version);
    do_not_optimize(&packet);
    return found->size;
}

NOINLINE std::size_t copy_one(std::string_view bytes, std::span<char> out) {
    std::memcpy(out.data(), bytes.data(), bytes.size());
    do_not_optimize(out.data());
    return bytes.size();
}

using clock_type = std::chrono::steady_clock;

template <class Function>
double nanoseconds_of(std::size_t count, Function function) {
    std::size_t sum = 0;
    const auto start = clock_type::now();
    for (std::size_t i = count; i != 0; --i)
        sum += function();
    const std::chrono::duration<double, std::nano> time = clock_type::now() - start;
    do_not_optimize(&sum);
    return time.count();
}

// The time of the fastest round, because other processes can only make a round slower.
template <class Function>
double nanoseconds(std::size_t count, Function function) {
    if (count == 0)
        for (count = 1; nanoseconds_of(count, function) < 2e6;)
            count *= 2;
    double best = 1e18;
    for (int round = 0; round != 5; ++round)
        best = std::min(best, nanoseconds_of(count, function));
    return best / static_cast<double>(count);
}

template <class Function>
void count_instructions(std::size_t count, Function function) {
    std::size_t sum = function(); // the first call resolves dynamic symbols
    CALLGRIND_ZERO_STATS;
    CALLGRIND_TOGGLE_COLLECT;
    for (std::size_t i = count; i != 0; --i)
        sum += function();
    CALLGRIND_TOGGLE_COLLECT;
    do_not_optimize(&sum);
}

class bench {
public:
    explicit bench(const settings& chosen) : settings_(chosen) {
        if (!chosen.json && chosen.only.empty())
            std::printf("%-30s %-8s %10s %12s %12s\n", "packet", "version", "bytes", "ns", "memcpy ns");
    }

    /// Measures encoding and decoding of a packet in each version that has it.
    template <class Packet>
    void run(const std::string& name, const Packet& v5, const Packet& v3_1_1) {
        run_one(name, v5, protocol_version::v5);
        if (encoded_size(v3_1_1, protocol_version::v3_1_1)) run_one(name, v3_1_1, protocol_version::v3_1_1);
    }
    template <class Packet>
    void run(const std::string& name, const Packet& both) {
        run(name, both, both);
    }

    bool found() const { return found_; }

private:
    template <class Packet>
    void run_one(const std::string& name, const Packet& packet, protocol_version version) {
        const std::size_t size = encoded_size(packet, version).value();
        std::vector<char> buffer(size), other(size);
        encode_one(packet, version, buffer);
        const std::string_view bytes{buffer.data(), size};
        report("encode_" + name, version, bytes, other, [&] { return encode_one(packet, version, other); });
        report("decode_" + name, version, bytes, other, [&] { return decode_one<Packet>(bytes, version); });
    }

    template <class Function>
    void report(const std::string& name, protocol_version version, std::string_view bytes, std::span<char> other,
                Function function) {
        const bool chosen = name == settings_.only && version == settings_.version;
        if (!settings_.only.empty() && !chosen) return;
        found_ = true;
        if (chosen) return count_instructions(std::max<std::size_t>(settings_.count, 1), function);
        const double ns = nanoseconds(settings_.count, function);
        const double memcpy_ns = nanoseconds(settings_.count, [&] { return copy_one(bytes, other); });
        const char* const format =
            settings_.json ? "{\"impl\":\"tern\",\"mode\":\"codec\",\"packet\":\"%s\",\"version\":\"%s\",\"size\":%zu,"
                             "\"ns\":%.2f,\"memcpy_ns\":%.2f}\n"
                           : "%-30s %-8s %10zu %12.1f %12.1f\n";
        const char* const text = version == protocol_version::v5 ? "5.0" : "3.1.1";
        std::printf(format, name.c_str(), text, bytes.size(), ns, memcpy_ns);
    }

    settings settings_;
    bool found_ = false;
};

constexpr user_property unit[] = {{"unit", "celsius"}};
constexpr subscription subscriptions[] = {{.filter = "home/+/temperature"}};
constexpr std::string_view filters[] = {"home/+/temperature"};
constexpr reason_code granted[] = {reason_code::granted_qos_1};
constexpr reason_code ended[] = {reason_code::success};
constexpr std::string_view topic = "home/kitchen/tmp";
static_assert(topic.size() == 16);

void run_publish(bench& suite) {
    for (const std::size_t size : {64U, 1'024U, 65'536U, 1'048'576U}) {
        const std::string payload(size, 'x');
        const std::string suffix = size == 64 ? "" : "_" + std::to_string(size);
        publish p{.message = {.topic = topic, .payload = payload, .qos = qos::at_least_once}, .packet_id = 7};
        suite.run("publish" + suffix, p);
        p.message.properties = {
            .message_expiry_interval = std::chrono::seconds{60}, .content_type = "text/plain", .user_properties = unit};
        suite.run("publish_properties" + suffix, p); // only in 5.0
    }
}

void run_others(bench& suite) {
    suite.run("connect", connect{.keep_alive = std::chrono::seconds{60}, .client_id = "kitchen-sensor-17"},
              connect{.version = protocol_version::v3_1_1,
                      .keep_alive = std::chrono::seconds{60},
                      .client_id = "kitchen-sensor-17"});
    suite.run(
        "connack",
        connack{.properties = {.receive_maximum = std::uint16_t{20}, .server_keep_alive = std::chrono::seconds{60}}},
        connack{});
    suite.run("puback", puback{.packet_id = 7});
    suite.run("pubrec", pubrec{.packet_id = 7});
    suite.run("pubrel", pubrel{.packet_id = 7});
    suite.run("pubcomp", pubcomp{.packet_id = 7});
    suite.run("subscribe", subscribe{.packet_id = 7, .subscriptions = subscriptions});
    suite.run("suback", suback{.packet_id = 7, .reason_codes = granted});
    suite.run("unsubscribe", unsubscribe{.packet_id = 7, .filters = filters});
    suite.run("unsuback", unsuback{.packet_id = 7, .reason_codes = ended}, unsuback{.packet_id = 7});
    suite.run("pingreq", pingreq{});
    suite.run("pingresp", pingresp{});
    suite.run("disconnect", disconnect{});
    suite.run("auth", auth{.reason_code = reason_code::continue_authentication,
                           .properties = {.authentication_method = "SCRAM-SHA-1"}});
}

} // namespace

int main(int argc, char** argv) {
    settings chosen;
    for (int i = 1; i != argc; ++i) {
        const std::string_view argument = argv[i];
        const std::string_view value = i + 1 == argc ? "" : argv[i + 1];
        if (argument == "--json")
            chosen.json = true;
        else if (argument == "--only")
            chosen.only = value, ++i;
        else if (argument == "--version")
            chosen.version = value == "3.1.1" ? protocol_version::v3_1_1 : protocol_version::v5, ++i;
        else if (argument == "--count")
            chosen.count = std::strtoul(value.data(), nullptr, 10), ++i;
        if (i >= argc) break;
    }
    bench suite(chosen);
    run_publish(suite);
    run_others(suite);
    return suite.found() ? EXIT_SUCCESS : EXIT_FAILURE;
}
