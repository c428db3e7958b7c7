// The common part of the benchmark programs: command line, measured region, result as a line of JSON. It uses only the
// standard library and POSIX, so that no library is measured with code of another one.
#ifndef TERN_BENCHMARKS_SUPPORT_BENCH_HPP
#define TERN_BENCHMARKS_SUPPORT_BENCH_HPP

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <unistd.h>
#include <utility>
#include <vector>
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#define TERN_BENCHMARKS_CALLGRIND
#endif

// The number of allocations so far. The function exists only if count_allocations is preloaded.
extern "C" unsigned long long bench_allocations() __attribute__((weak));
// Those of OpenSSL, if openssl_allocations.cpp is linked.
extern "C" unsigned long long bench_openssl_allocations() __attribute__((weak));

namespace bench {

inline constexpr std::string_view publish_topic = "bench/topic/0123";
inline constexpr std::string_view echo_filter = "echo/#";
inline constexpr std::string_view echo_topic = "echo/topic/01234";

// The number of threads that publish in the variant `threads`, and the messages of each.
inline constexpr std::size_t producers = 4;
inline std::size_t share_of(std::size_t count, std::size_t producer) {
    return count / producers + (producer < count % producers ? 1 : 0);
}

// At most this many clients connect at the same time (mode idle).
inline constexpr std::size_t connecting_at_once = 100;

[[noreturn]] inline void fail(std::string_view message) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(message.size()), message.data());
    std::exit(1);
}

struct options {
    std::uint16_t port = 0;
    std::string mode;
    std::string version = "5.0";
    std::string variant;
    std::size_t size = 64;
    std::size_t count = 100000;
    std::size_t window = 100;
    std::size_t clients = 1000;
    std::string ca; // the file of the authority that TLS trusts

    bool v5() const { return version == "5.0"; }

    // Modes pub0 to pub2, and sub0 to sub2.
    bool publishes() const { return mode.starts_with("pub"); }
    bool subscribes() const { return mode.starts_with("sub"); }
    std::uint8_t qos() const { return publishes() || subscribes() ? static_cast<std::uint8_t>(mode[3] - '0') : 0; }

    // The number of messages before the measured ones. Ten small windows make sure that all memory is allocated.
    std::size_t warm_up() const { return std::clamp<std::size_t>(std::max(count / 10, 10 * window), 1, 10000); }

    // The sink sends warm_up() + count messages to a subscriber of this filter.
    std::string flood_filter() const {
        return "flood/" + std::to_string(warm_up() + count) + '/' + std::to_string(size) + '/' + std::to_string(qos()) +
               '/' + std::to_string(window);
    }
};

// Exits because the program does not have this mode or variant.
[[noreturn]] inline void unsupported(const options& o) {
    std::fprintf(stderr, "mode '%s', variant '%s' is not supported\n", o.mode.c_str(), o.variant.c_str());
    std::exit(2);
}

inline std::size_t parse_number(std::string_view name, std::string_view text, std::size_t min, std::size_t max) {
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number < min || number > max)
        fail(std::string(name) + ": '" + std::string(text) + "' is not a number from " + std::to_string(min) + " to " +
             std::to_string(max));
    return number;
}

inline options parse(int argc, const char* const* argv) {
    options o;
    for (int i = 1; i < argc; i += 2) {
        const std::string_view name = argv[i];
        if (i + 1 == argc) fail(std::string(name) + ": no value");
        const std::string_view value = argv[i + 1];
        if (name == "--port")
            o.port = static_cast<std::uint16_t>(parse_number(name, value, 1, 65535));
        else if (name == "--mode")
            o.mode = value;
        else if (name == "--version")
            o.version = value;
        else if (name == "--variant")
            o.variant = value;
        else if (name == "--ca")
            o.ca = value;
        else if (name == "--size")
            o.size = parse_number(name, value, 0, std::size_t{64} << 20);
        else if (name == "--count")
            o.count = parse_number(name, value, 1, std::size_t{1} << 40);
        else if (name == "--window")
            o.window = parse_number(name, value, 1, 65535);
        else if (name == "--clients")
            o.clients = parse_number(name, value, 1, 1000000);
        else
            fail("unknown option " + std::string(name));
    }
    if (o.port == 0 || o.mode.empty())
        fail("usage: --port P --mode pub0|pub1|pub2|sub0|sub1|sub2|rtt|conn|idle [--version 3.1.1|5.0]"
             " [--size BYTES] [--count N] [--window W] [--variant V] [--clients N] [--ca FILE]");
    if (o.version != "5.0" && o.version != "3.1.1") fail("--version: 3.1.1 or 5.0");
    constexpr std::string_view modes[] = {"pub0", "pub1", "pub2", "sub0",   "sub1",   "sub2",
                                          "rtt",  "conn", "idle", "queued", "clients"};
    if (std::find(std::begin(modes), std::end(modes), o.mode) == std::end(modes)) unsupported(o);
    if (o.mode == "idle") o.count = o.clients;
    return o;
}

// Measures time, CPU time and allocations between begin() and end().
class region {
public:
    void begin() {
        start_ = now();
#ifdef TERN_BENCHMARKS_CALLGRIND
        CALLGRIND_ZERO_STATS;
        CALLGRIND_TOGGLE_COLLECT;
#endif
    }

    void end() {
#ifdef TERN_BENCHMARKS_CALLGRIND
        CALLGRIND_TOGGLE_COLLECT;
#endif
        end_ = now();
    }

    double seconds() const { return std::chrono::duration<double>(end_.time - start_.time).count(); }
    double cpu_user() const { return end_.user - start_.user; }
    double cpu_system() const { return end_.system - start_.system; }
    // Without those of OpenSSL.
    unsigned long long allocations() const { return end_.allocations - start_.allocations - openssl_allocations(); }
    unsigned long long openssl_allocations() const { return end_.openssl_allocations - start_.openssl_allocations; }

private:
    struct moment {
        std::chrono::steady_clock::time_point time;
        double user;
        double system;
        unsigned long long allocations;
        unsigned long long openssl_allocations;
    };

    static double seconds_of(const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    }

    static moment now() {
        rusage usage{};
        getrusage(RUSAGE_SELF, &usage);
        return {std::chrono::steady_clock::now(), seconds_of(usage.ru_utime), seconds_of(usage.ru_stime),
                bench_allocations ? bench_allocations() : 0,
                bench_openssl_allocations ? bench_openssl_allocations() : 0};
    }

    moment start_{};
    moment end_{};
};

using field = std::pair<const char*, double>;

// Collects the durations of round trips. Only its construction allocates.
class latencies {
public:
    using clock = std::chrono::steady_clock;

    explicit latencies(std::size_t count) { times_.reserve(count); }

    void add(clock::duration time) { times_.push_back(time); }

    field p50() { return {"p50_us", percentile(0.5)}; }
    field p99() { return {"p99_us", percentile(0.99)}; }
    field p999() { return {"p999_us", percentile(0.999)}; }

private:
    double percentile(double share) {
        if (times_.empty()) return 0;
        std::sort(times_.begin(), times_.end());
        const auto rank = std::ceil(share * static_cast<double>(times_.size()));
        return std::chrono::duration<double, std::micro>(times_[static_cast<std::size_t>(rank) - 1]).count();
    }

    std::vector<clock::duration> times_;
};

// The resident memory of this process. The kernel counts it for this file, whereas VmRSS in /proc/self/status can be
// off by some hundred kilobytes.
inline std::size_t resident_bytes() {
    std::FILE* const file = std::fopen("/proc/self/smaps_rollup", "r");
    if (file == nullptr) fail("cannot read /proc/self/smaps_rollup");
    unsigned long kilobytes = 0;
    char line[256];
    while (kilobytes == 0 && std::fgets(line, sizeof line, file) != nullptr)
        std::sscanf(line, "Rss: %lu", &kilobytes);
    std::fclose(file);
    return std::size_t{kilobytes} * 1024;
}

// Raises the limit of open files to the maximum, because each client needs one.
inline void raise_file_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

// Prints the result. `more` has the fields that only this mode has.
inline void print(const char* impl, const options& o, const region& r, std::initializer_list<field> more = {}) {
    const double per_second = static_cast<double>(o.count) / r.seconds();
    const bool has_payload = o.mode != "conn" && o.mode != "idle";
    std::printf("{\"impl\": \"%s\", \"variant\": \"%s\", \"mode\": \"%s\", \"version\": \"%s\", \"size\": %zu, "
                "\"window\": %zu, \"count\": %zu, \"seconds\": %.6f, \"per_second\": %.1f, "
                "\"bytes_per_second\": %.1f, \"cpu_user\": %.6f, \"cpu_system\": %.6f, \"allocations\": ",
                impl, o.variant.c_str(), o.mode.c_str(), o.version.c_str(), o.size, o.window, o.count, r.seconds(),
                per_second, has_payload ? per_second * static_cast<double>(o.size) : 0.0, r.cpu_user(), r.cpu_system());
    if (bench_allocations)
        std::printf("%llu", r.allocations());
    else
        std::printf("null");
    if (bench_openssl_allocations) std::printf(", \"openssl_allocations\": %llu", r.openssl_allocations());
    for (const auto& [name, value] : more)
        std::printf(", \"%s\": %.3f", name, value);
    if (!has_payload) std::printf(", \"connects_per_second\": %.1f", per_second);
    std::printf("}\n");
    std::fflush(stdout);
}

inline void print_rtt(const char* impl, const options& o, const region& r, latencies& times) {
    print(impl, o, r, {times.p50(), times.p99(), times.p999()});
}

// `before` and `after` are the values of resident_bytes() without and with the clients.
inline void print_idle(const char* impl, const options& o, const region& r, std::size_t before, std::size_t after) {
    const auto clients = static_cast<double>(o.clients);
    print(impl, o, r,
          {{"clients", clients},
           {"bytes_per_client", (static_cast<double>(after) - static_cast<double>(before)) / clients}});
}

} // namespace bench

#endif
