// Measures checking and matching of topics, and looking up the matching filters in a topic_map.
//
// With `--json` it prints one JSON object per line: the time of a lookup and the number of filters in the map.
//
// The filters are those of a fleet of devices. Most of them name one device, some match a metric of all devices of a
// site or a whole site, and a few are shared. The topic names belong to devices of the same fleet.
#include "tern/topic.hpp"
#include "tern/topic_map.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <new>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

std::size_t bytes_in_use = 0;
constexpr std::size_t header = alignof(std::max_align_t);

} // namespace

// Counts the requested bytes, without the allocator's overhead.
void* operator new(std::size_t size) {
    void* const block = std::malloc(size + header);
    if (block == nullptr) std::abort();
    *static_cast<std::size_t*>(block) = size;
    bytes_in_use += size;
    return static_cast<char*>(block) + header;
}

void operator delete(void* p) noexcept {
    if (p == nullptr) return;
    void* const block = static_cast<char*>(p) - header;
    bytes_in_use -= *static_cast<std::size_t*>(block);
    std::free(block);
}

void operator delete(void* p, std::size_t) noexcept {
    ::operator delete(p);
}

namespace {

using clock_type = std::chrono::steady_clock;

std::uint64_t checksum = 0; // of all results, so that the compiler cannot remove the measured code

double nanoseconds_since(clock_type::time_point start) {
    return std::chrono::duration<double, std::nano>(clock_type::now() - start).count();
}

// The time of the fastest round, because other processes can only make a round slower.
template <class Function>
double nanoseconds(std::size_t calls_per_round, Function function) {
    double best = 1e18;
    for (int round = 0; round != 7; ++round) {
        const auto start = clock_type::now();
        for (std::size_t i = 0; i != calls_per_round; ++i)
            checksum += static_cast<std::uint64_t>(function(i));
        best = std::min(best, nanoseconds_since(start) / static_cast<double>(calls_per_round));
    }
    return best;
}

constexpr std::string_view metrics[] = {"temperature", "humidity", "state", "battery", "voltage"};

// A larger fleet has more sites, but not more devices per site, so a name matches about the same number of filters.
struct fleet {
    std::size_t sites;
    std::mt19937 random{2024};

    std::string number(std::size_t below) { return std::to_string(random() % below); }
    std::string metric() { return std::string(metrics[random() % std::size(metrics)]); }

    // The pieces are appended one by one, because the operands of + may be evaluated in any order.
    std::string site() { return "site/" + number(sites); }
    std::string device() {
        std::string topic = site() + "/device/";
        return topic += number(100);
    }
    std::string name() {
        std::string topic = device() + '/';
        return topic += metric();
    }
    std::string filter() {
        const std::size_t kind = random() % 100;
        if (kind < 80) return name();
        if (kind < 90) return device() + "/#";
        if (kind < 94) {
            std::string filter = site() + "/device/+/";
            return filter += metric();
        }
        if (kind < 97) {
            std::string filter = "$share/workers" + number(4) + '/';
            return filter += site() + "/device/#";
        }
        if (kind < 99) return site() + "/#";
        std::string filter = "+/" + number(sites) + "/+/";
        return filter += number(100) + "/#";
    }
};

void measure_one_topic() {
    const std::vector<std::string> names = {
        "home/kitchen/tem",
        "site/17/device/42/temperature",
        "a/b",
        std::string(256, 'x'),
        "h\u00E4user/k\u00FCche/temperatur", // not all ASCII
    };
    std::printf("%-34s %6s %16s %16s\n", "topic name", "bytes", "check ns", "check filter ns");
    for (const std::string& name : names)
        std::printf(
            "%-34.30s %6zu %16.1f %16.1f\n", name.c_str(), name.size(),
            nanoseconds(200'000, [&](std::size_t) { return tern::check_topic_name(name) == tern::errc::none; }),
            nanoseconds(200'000, [&](std::size_t) { return tern::check_topic_filter(name) == tern::errc::none; }));

    const std::string_view name = "site/17/device/42/temperature";
    std::printf("\n%-34s %16s\n",
                "filter, for "
                "site/17/device/42/temperature",
                "matches ns");
    for (const std::string& filter :
         std::vector<std::string>{"site/17/device/42/temperature", "site/+/device/+/temperature", "site/17/#",
                                  "$share/workers/site/17/#", "#", "other/17/#"})
        std::printf("%-34s %16.1f\n", filter.c_str(),
                    nanoseconds(200'000, [&](std::size_t) { return tern::matches(filter, name); }));
}

void measure_map(std::size_t filter_count, bool json) {
    fleet devices{std::max<std::size_t>(filter_count / 250, 1)};
    std::vector<std::string> filters(filter_count);
    for (std::string& filter : filters)
        filter = devices.filter();
    std::vector<std::string> names(std::min<std::size_t>(filter_count * 4, 65'536));
    for (std::string& name : names)
        name = devices.name();

    const std::size_t bytes_before = bytes_in_use;
    const auto start = clock_type::now();
    tern::topic_map<std::uint64_t> map;
    for (const std::string& filter : filters)
        checksum += map.insert(filter, 1U).has_value();
    const double insert = nanoseconds_since(start) / static_cast<double>(filter_count);
    const double bytes = static_cast<double>(bytes_in_use - bytes_before) / static_cast<double>(map.size());

    std::uint64_t matched = 0;
    for (const std::string& name : names)
        map.for_each_match(name, [&](std::uint64_t one) { matched += one; });

    const double lookup = nanoseconds(std::max<std::size_t>(names.size(), 10'000), [&](std::size_t i) {
        std::uint64_t values = 0;
        map.for_each_match(names[i % names.size()], [&](std::uint64_t one) { values += one; });
        return values;
    });
    const double find = nanoseconds(std::max<std::size_t>(filter_count, 10'000),
                                    [&](std::size_t i) { return *map.find(filters[i % filter_count]); });

    const std::size_t distinct = map.size();
    const auto erase_start = clock_type::now();
    for (const std::string& filter : filters)
        checksum += map.erase(filter);
    const double erase = nanoseconds_since(erase_start) / static_cast<double>(filter_count);

    if (json) {
        std::printf("{\"impl\":\"tern\",\"mode\":\"topics\",\"filters\":%zu,\"ns\":%.1f}\n", filter_count, lookup);
        return;
    }
    std::printf("%10zu %10zu %12.1f %12.2f %10.1f %10.1f %10.1f %12.1f\n", filter_count, distinct, lookup,
                static_cast<double>(matched) / static_cast<double>(names.size()), find, insert, erase, bytes);
}

} // namespace

int main(int argc, char** argv) {
    const bool json = argc > 1 && std::string_view(argv[1]) == "--json";
    if (!json) {
        measure_one_topic();
        std::printf("\ntopic_map\n%10s %10s %12s %12s %10s %10s %10s %12s\n", "filters", "distinct", "lookup ns",
                    "matches", "find ns", "insert ns", "erase ns", "bytes/filter");
    }
    for (const std::size_t filters : {10U, 100U, 1'000U, 10'000U, 100'000U, 1'000'000U})
        measure_map(filters, json);
    return checksum == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
