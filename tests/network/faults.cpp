// Each operation, timer and allocation fails once, and each end happens at every point. No operation is lost, no
// memory leaks, and the client continues or can connect again.
#include "catch.hpp"
#include "faults_run.hpp"

#include <cstdio>

namespace {

using tern::testing::step;

// Makes runs, and prints their number.
class runs {
public:
    explicit runs(std::string_view what) : what_(what) {}
    runs(const runs&) = delete;
    runs& operator=(const runs&) = delete;
    ~runs() { std::printf("%s: %zu runs, %zu operations unfinished\n", what_.c_str(), count_, unfinished_); }

    void make(const script& s, tern::protocol_version version, const faults& f) {
        const report seen = run(s, version, f);
        ++count_;
        unfinished_ += seen.unfinished;
        if (seen.wrong.empty()) return;
        CAPTURE(s.name, version == tern::protocol_version::v5, f.step, f.operation, f.hangs, f.timer, f.allocation,
                f.allocations, f.point, f.at_point, f.throwing);
        FAIL_CHECK(seen.wrong);
    }

    // Makes a run for each n from 1 to `last`. `set(n)` returns its faults.
    template <class Set>
    void each(const script& s, tern::protocol_version version, std::size_t last, Set set) {
        for (std::size_t n = 1; n <= last; ++n)
            make(s, version, set(n));
    }

private:
    std::string what_;
    std::size_t count_ = 0;
    std::size_t unfinished_ = 0;
};

// Calls `f` with each script in each version, and with the report of a run without faults.
template <class F>
void for_each_script(F f) {
    for (const auto version : {tern::protocol_version::v3_1_1, tern::protocol_version::v5}) {
        for (const script& s : scripts()) {
            run(s, version, {}); // Asio keeps memory that the first run allocates
            const report usual = run(s, version, {});
            CAPTURE(s.name);
            CHECK(usual.wrong.empty());
            CHECK(usual.unfinished == 0);
            f(s, version, usual);
        }
    }
}

TEST_CASE("The client survives when any operation of the network fails or never ends") {
    runs all("operations");
    for_each_script([&](const script& s, tern::protocol_version version, const report& usual) {
        for (const step kind : {step::any, step::resolve, step::connect, step::read, step::write})
            for (const bool hangs : {false, true})
                all.each(s, version, usual.operations[static_cast<std::size_t>(kind)],
                         [&](std::size_t n) { return faults{.step = kind, .operation = n, .hangs = hangs}; });
    });
}

TEST_CASE("The client survives when any timer ends early with an error") {
    runs all("timers");
    for_each_script([&](const script& s, tern::protocol_version version, const report& usual) {
        all.each(s, version, usual.timers, [](std::size_t n) { return faults{.timer = n}; });
    });
}

TEST_CASE("The client survives when any allocation fails") {
    runs all("allocations");
    for_each_script([&](const script& s, tern::protocol_version version, const report& usual) {
        if (s.has_coroutine) return; // Asio's coroutines do not survive a failed allocation
        for (const std::size_t count : {1U, 5U})
            all.each(s, version, usual.allocations,
                     [=](std::size_t n) { return faults{.allocation = n, .allocations = count}; });
    });
}

TEST_CASE("The client, its operations and its context can end at any point") {
    runs all("points");
    for_each_script([&](const script& s, tern::protocol_version version, const report& usual) {
        for (const action a : {action::cancel_operations, action::cancel_client, action::destroy_client,
                               action::destroy_context, action::assign})
            all.each(s, version, usual.points, [&](std::size_t n) { return faults{.point = n, .at_point = a}; });
    });
}

TEST_CASE("The client survives when any handler throws") {
    runs all("throwing handlers");
    for_each_script([&](const script& s, tern::protocol_version version, const report& usual) {
        all.each(s, version, usual.handlers, [](std::size_t n) { return faults{.throwing = n}; });
    });
}

} // namespace
