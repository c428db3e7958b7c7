// Random worlds: requests, clocks, cuts, lost sessions, changing limits and too little memory, in any order. A broker
// and a ledger written from the standard judge what the client does and how each operation ends.
//
// A world that fails prints its story. TERN_WORLD=<seed> repeats that world alone. TERN_WORLDS=<count> runs more.
#include "catch.hpp"
#include "session/worlds/world.hpp"
#include "support/heap.hpp"

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

namespace {

unsigned number_from(const char* variable, unsigned otherwise) {
    const char* const text = std::getenv(variable);
    return text ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : otherwise;
}

// The rule that the world breaks, or nothing.
std::string live(unsigned seed, worlds::story& told) {
    try {
        std::make_unique<worlds::world>(seed, told)->run();
        return {};
    } catch (const worlds::broken_rule& broken) {
        return broken.what();
    } catch (const std::exception& e) {
        return std::string("exception: ") + e.what();
    }
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr unsigned usual_count = 200;
#elif defined(NDEBUG)
constexpr unsigned usual_count = 2'000;
#else
constexpr unsigned usual_count = 400;
#endif

} // namespace

TEST_CASE("whatever happens, every operation ends once and truthfully, nothing is stuck, and nothing is left over "
          "[v311:MQTT-3.3.1-1, v311:MQTT-4.3.2-1, v311:MQTT-4.3.3-1, v311:MQTT-4.4.0-1, v311:MQTT-4.6.0-1, "
          "v5:MQTT-2.2.1-3, v5:MQTT-3.3.1-1, v5:MQTT-3.3.4-7, v5:MQTT-4.3.2-1, v5:MQTT-4.3.3-1, v5:MQTT-4.4.0-1, "
          "v5:MQTT-4.6.0-1]") {
    const unsigned only = number_from("TERN_WORLD", 0);
    const unsigned first = only != 0 ? only : number_from("TERN_FIRST_WORLD", 1);
    const unsigned count = only != 0 ? 1 : number_from("TERN_WORLDS", usual_count);
    unsigned failures = 0;
    for (unsigned seed = first; seed != first + count && failures != 5; ++seed) {
        worlds::story silent;
        const std::size_t before = heap::live_bytes();
        if (live(seed, silent).empty() && heap::live_bytes() <= before && only == 0) continue;
        worlds::story told;
        told.is_written = true;
        const std::string broken = live(seed, told);
        std::cout << told.lines();
        if (broken.empty()) continue;
        std::cout << "The world of seed " << seed << " fails: " << broken << ".\nTERN_WORLD=" << seed << " repeats it."
                  << std::endl;
        ++failures;
    }
    CHECK(failures == 0);
}
