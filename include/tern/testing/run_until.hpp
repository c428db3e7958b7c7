// Runs an io_context until a condition holds or a timeout has passed.
#pragma once

#include <chrono>

namespace tern::testing {

/// Runs the `asio::io_context` handler by handler until `done()` is true. Returns false if `done()` is still false
/// after `timeout` or when there is no work left. For tests.
///
///     REQUIRE(tern::testing::run_until(io, [&] { return received == 3; }));
template <class Context, class Predicate>
bool run_until(Context& context, Predicate done, std::chrono::milliseconds timeout = std::chrono::seconds(10)) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    context.restart();
    while (!done()) {
        if (context.run_one_until(deadline) == 0) return done();
    }
    return true;
}

} // namespace tern::testing
