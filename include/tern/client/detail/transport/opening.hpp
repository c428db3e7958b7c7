// The beginning of an attempt to connect. The before-connect hook decides about the attempt, and may change its
// endpoint.
//
// The hook receives a `connect_attempt`. Its serial number distinguishes the attempt that waits from earlier ones.
#pragma once

#include "tern/client/connect_attempt.hpp"
#include "tern/client/detail/transport/driver.hpp"
#include "tern/client/detail/transport/exclusive_use.hpp"
#include "tern/client/detail/transport/seed.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/event.hpp"
#include "tern/session/reconnect.hpp"
#include "tern/session/session.hpp"
#include "tern/transport/concept.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <system_error>
#include <utility>

namespace tern::detail {

/// Returns the seed for the random waits between attempts. A transport for tests provides its own, as it provides its
/// own time.
template <transport Transport>
TERN_COLD std::uint64_t seed_of(Transport& t) {
    if constexpr (seeded_transport<Transport>) {
        return t.seed();
    } else {
        return random_seed();
    }
}

using before_connect = std::function<void(connect_attempt)>;

template <transport Transport>
class opening final : public attempt_owner {
public:
    explicit opening(transport_driver<Transport>& driver) noexcept : driver_(driver) {}

    TERN_COLD void set_hook(before_connect hook) {
        hook_ = hook ? std::make_shared<before_connect>(std::move(hook)) : nullptr;
    }

    /// Discards the error of an earlier run.
    void reset() noexcept { last_error_ = {}; }
    /// Records the number and the error that the next attempt shows to the hook.
    void on_event(const connection_event_view& e) noexcept {
        if (e.change == connection_change::connecting) attempt_number_ = e.attempt;
        if (e.change == connection_change::disconnected) last_error_ = e.error;
    }

    /// Begins an attempt. It proceeds immediately, or after the hook's decision.
    TERN_COLD void prepare() {
        if (!hook_) return driver_.served_session().on_prepared(driver_.turn_time());
        const auto hook = hook_; // the hook may set another one
        connect_attempt attempt(std::shared_ptr<attempt_owner>(driver_.owner().keep_alive(), this), ++serial_,
                                driver_.served_session().target(), attempt_number_, last_error_);
        driver_.begin_preparing();
        (*hook)(std::move(attempt));
    }

    TERN_COLD std::error_code proceed(std::uint64_t serial, const connect_overrides* overrides) override {
        const exclusive_use::scope inside(driver_.use());
        if (!is_awaited(serial)) return {};
        driver_.owner().request_turn();
        driver_.end_preparing();
        if (!overrides) {
            driver_.served_session().on_prepared(driver_.now());
        } else if (const errc error = driver_.served_session().on_prepared(*overrides, driver_.now());
                   error != errc::none) {
            driver_.close(misuse(error));
            return misuse(error);
        }
        return {};
    }

    TERN_COLD void fail(std::uint64_t serial, std::error_code why) override {
        const exclusive_use::scope inside(driver_.use());
        if (!is_awaited(serial)) return;
        driver_.fail(why);
        driver_.wake_owner();
    }

private:
    bool is_awaited(std::uint64_t serial) const noexcept { return driver_.is_preparing() && serial == serial_; }

    transport_driver<Transport>& driver_;
    std::shared_ptr<before_connect> hook_;
    std::error_code last_error_;  // of the previous attempt or connection
    std::uint32_t serial_ = 0;    // of the last attempt that the hook received
    unsigned attempt_number_ = 0; // counted since the last connection
};

} // namespace tern::detail
