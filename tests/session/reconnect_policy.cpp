// The delays between attempts, for many seeds.
#include "catch.hpp"
#include "tern/session/detail/reconnect_schedule.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>
#include <vector>

using namespace std::chrono_literals;

namespace {

const auto broken = std::make_error_code(std::errc::connection_reset);

// The state after a stable first connection has been lost.
tern::detail::reconnect_schedule lost(std::uint64_t seed, tern::reconnect_policy policy = {}) {
    tern::detail::reconnect_schedule r(seed);
    r.start(policy, {}, {});
    const tern::time_point begin{1h};
    r.on_connected(begin);
    CHECK(r.on_failure(broken, begin + std::chrono::years(2)) == 0ms); // the first attempt follows immediately
    return r;
}

} // namespace

TEST_CASE("full jitter: a delay is random between 0 and a maximum, which doubles up to its limit") {
    constexpr unsigned rounds = 12;
    constexpr unsigned seeds = 2000;
    std::vector<std::vector<double>> share(rounds); // of the maximum delay
    for (unsigned seed = 0; seed != seeds; ++seed) {
        auto r = lost(seed);
        auto longest = 1'000ms;
        for (unsigned i = 0; i != rounds; ++i) {
            const auto wait = r.on_failure(broken, tern::time_point{3h});
            REQUIRE(wait);
            REQUIRE(*wait >= 0ms);
            REQUIRE(*wait <= longest);
            share[i].push_back(static_cast<double>(wait->count()) / static_cast<double>(longest.count()));
            longest = std::min<std::chrono::milliseconds>(longest * 2, 60s);
        }
    }
    for (auto& s : share) {
        std::sort(s.begin(), s.end());
        for (std::size_t tenth = 1; tenth != 10; ++tenth) // the distribution is uniform
            CHECK(std::abs(s[seeds * tenth / 10] - static_cast<double>(tenth) / 10) < 0.06);
    }
}

TEST_CASE("the delays depend on the seed and are reproducible") {
    std::set<std::vector<std::int64_t>> ways;
    for (std::uint64_t seed = 0; seed != 100; ++seed) {
        std::vector<std::int64_t> way, same;
        for (auto* w : {&way, &same}) {
            auto r = lost(seed);
            for (int i = 0; i != 5; ++i)
                w->push_back(r.on_failure(broken, tern::time_point{3h})->count());
        }
        CHECK(way == same);
        ways.insert(way);
    }
    CHECK(ways.size() == 100);
}

TEST_CASE("the longest delays do not overflow") {
    tern::reconnect_policy policy{.first_delay = std::chrono::years(1), .longest_delay = std::chrono::years(1)};
    auto r = lost(1, policy);
    for (int i = 0; i != 1000; ++i)
        CHECK(*r.on_failure(broken, tern::time_point{3h}) <= std::chrono::years(1));
    policy.first_delay = 1ms;
    r = lost(1, policy);
    for (int i = 0; i != 1000; ++i)
        CHECK(*r.on_failure(broken, tern::time_point{3h}) <= std::chrono::years(1));
    policy = {.first_delay = 10s, .longest_delay = 1s}; // the smaller one applies
    r = lost(1, policy);
    for (int i = 0; i != 1000; ++i)
        CHECK(*r.on_failure(broken, tern::time_point{3h}) <= 1s);
}

TEST_CASE("failures are classified as permanent or transient") {
    using tern::classify_failure, tern::failure_class;
    CHECK(classify_failure({}) == failure_class::transient);
    CHECK(classify_failure({broken}) == failure_class::transient);
    CHECK(classify_failure({tern::violation(tern::errc::ping_timeout)}) == failure_class::transient);
    CHECK(classify_failure({tern::violation(tern::errc::malformed_utf8)}) == failure_class::transient);
    CHECK(classify_failure({tern::misuse(tern::errc::malformed_utf8)}) == failure_class::permanent);
    CHECK(classify_failure({tern::reason_code::server_busy}) == failure_class::transient);
    CHECK(classify_failure({tern::reason_code::server_shutting_down}) == failure_class::transient);
    CHECK(classify_failure({tern::reason_code::session_taken_over}) == failure_class::permanent);
    CHECK(classify_failure({tern::reason_code::bad_user_name_or_password}) == failure_class::permanent);
    // Credentials that have worked before, and a late answer to a CONNECT of this client's own.
    for (const auto code : {tern::reason_code::bad_user_name_or_password, tern::reason_code::not_authorized}) {
        CHECK(classify_failure({.error = code, .had_accepted_credentials = true}) == failure_class::lasting);
        CHECK(classify_failure({.error = code, .has_abandoned_connect = true}) == failure_class::permanent);
    }
    CHECK(classify_failure({.error = tern::reason_code::session_taken_over, .has_abandoned_connect = true}) ==
          failure_class::lasting);
    CHECK(classify_failure({tern::violation(tern::errc::unexpected_session_present)}) == failure_class::lasting);
    CHECK(classify_failure({tern::violation(tern::errc::session_present_after_clean_start)}) ==
          failure_class::permanent);
    for (const auto code :
         {tern::reason_code::unsupported_protocol_version, tern::reason_code::banned,
          tern::reason_code::client_identifier_not_valid, tern::reason_code::bad_authentication_method})
        CHECK(classify_failure({code, true, true}) == failure_class::permanent);
}
