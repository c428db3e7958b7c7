// When and where to connect again. Time and chance are arguments: the owner passes the one and seeds the other.
//
// Attempts go through the endpoints in turn. A round over all of them is made without a pause; before the next
// one a random time is waited, of at most `first_delay`, and twice as much with each round, up to `longest_delay`:
// thousands of clients that lost the same broker do not come back in step. The first round after a loss begins
// at once, with the endpoint that was lost. A connection that held longer than the wait that would be next proves
// itself: after it the waits begin anew.
#pragma once

#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/reason_code.hpp"
#include "tern/session/detail/box.hpp"
#include "tern/session/event.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace tern {

/// What may change from one attempt to connect to the next. What is not set stays as it was.
struct connect_overrides {
    std::optional<std::string_view> user_name = {};
    std::optional<std::string_view> password = {};
    std::optional<endpoint> target =
        {}; ///< where this attempt goes, instead of the endpoint whose turn it is
};

/// Whether it is of use to try again.
enum class failure_class : std::uint8_t {
    transient, ///< it may be better next time
    permanent, ///< it will be the same, or do harm, until somebody changes something
};

/// Tern's classes: permanent are the refusals that a better moment does not change, such as wrong credentials,
/// a bad client id, a protocol version that the broker does not speak, or another client that took the session
/// over (two clients of the same id would throw each other out for ever), a session of which this client has no
/// state, and what the caller did wrong. Everything else is transient.
inline failure_class classify_failure(const std::error_code& error) noexcept {
    if (error.category() == usage_category() || error == errc::unexpected_session_present)
        return failure_class::permanent;
    if (error.category() != refusal_category()) return failure_class::transient;
    switch (static_cast<reason_code>(error.value())) {
    case reason_code::unsupported_protocol_version:
    case reason_code::client_identifier_not_valid:
    case reason_code::bad_user_name_or_password:
    case reason_code::not_authorized:
    case reason_code::banned:
    case reason_code::bad_authentication_method:
    case reason_code::session_taken_over:
    case reason_code::topic_name_invalid:
    case reason_code::packet_too_large:
    case reason_code::payload_format_invalid:
    case reason_code::retain_not_supported:
    case reason_code::qos_not_supported:
    case reason_code::server_moved: return failure_class::permanent;
    default: return failure_class::transient;
    }
}

/// How to come back after the connection is lost.
struct reconnect_policy {
    bool enabled = true;
    /// Keep trying from the start. Otherwise the first connect ends when all endpoints have been tried once.
    bool retry_first = false;
    /// The longest wait before the second round of attempts; it doubles with each round.
    std::chrono::milliseconds first_delay{1'000};
    std::chrono::milliseconds longest_delay{60'000};
    /// How many rounds in a row may fail; 0: any number.
    unsigned max_rounds = 0;
    /// The class of an error. One's own function can call `classify_failure` for the rest.
    failure_class (*classify)(const std::error_code&) = &classify_failure;
};

namespace detail {

class reconnect {
public:
    explicit reconnect(std::uint64_t seed = 0) noexcept : random_(seed) {}

    /// The owner wants to be connected.
    void start(const reconnect_policy& policy, const endpoint& first, std::span<const endpoint> more) {
        std::vector<stored_endpoint> places{stored_endpoint{first}};
        for (const endpoint& e : more)
            places.emplace_back(e);
        places_ = std::move(places);
        policy_ = policy;
        current_ = tried_ = 0;
        rounds_ = 1; // the first begins without a wait
        failed_ = attempts_ = 0;
        ever_connected_ = connected_ = false;
        elsewhere_.reset();
    }

    /// Where the present attempt goes, and its number since the last connection.
    endpoint target() const noexcept {
        if (elsewhere_) return elsewhere_->view();
        if (places_.empty()) return {};
        return places_[current_].view();
    }
    /// The present attempt goes there instead.
    void set_target(const endpoint& e) { elsewhere_.emplace(stored_endpoint{e}); }
    unsigned attempt() const noexcept { return attempts_; }
    void on_attempt() noexcept { ++attempts_; }

    void on_connected(time_point now) noexcept {
        connected_ = ever_connected_ = true;
        since_ = now;
        failed_ = attempts_ = 0;
    }

    /// A number from 0 to `limit` - 1.
    std::int64_t below(std::int64_t limit) noexcept { // splitmix64
        std::uint64_t z = random_ += 0x9E37'79B9'7F4A'7C15U;
        z = (z ^ (z >> 30U)) * 0xBF58'476D'1CE4'E5B9U;
        z = (z ^ (z >> 27U)) * 0x94D0'49BB'1331'11EBU;
        z ^= z >> 31U;
        return static_cast<std::int64_t>((z >> 1U) % static_cast<std::uint64_t>(limit));
    }

    bool is_permanent(const std::error_code& error) const noexcept {
        return policy_.classify(error) == failure_class::permanent;
    }

    /// The attempt failed, or the connection was lost: how long to wait before the next attempt; nothing: there
    /// will be none.
    std::optional<std::chrono::milliseconds> on_failure(const std::error_code& error,
                                                        time_point now) noexcept {
        const bool lost = std::exchange(connected_, false);
        elsewhere_.reset();
        if (is_permanent(error)) return std::nullopt;
        if (lost) {
            if (!policy_.enabled) return std::nullopt;
            if (now - since_ >= longest_wait()) rounds_ = 0;
            tried_ = 0;
        } else {
            current_ = current_ + 1 == places_.size() ? 0 : current_ + 1;
            if (++tried_ < places_.size()) return std::chrono::milliseconds{0};
            tried_ = 0;
            ++failed_;
            if (ever_connected_ ? !policy_.enabled : !policy_.retry_first) return std::nullopt;
            if (policy_.max_rounds != 0 && failed_ >= policy_.max_rounds) return std::nullopt;
        }
        const std::chrono::milliseconds wait{below(longest_wait().count() + 1)};
        ++rounds_;
        return wait;
    }

private:
    // Before the next round.
    std::chrono::milliseconds longest_wait() const noexcept {
        using namespace std::chrono_literals;
        if (rounds_ == 0) return 0ms;
        const unsigned doublings = std::min(rounds_ - 1, 30U);
        if (policy_.first_delay > policy_.longest_delay / (std::int64_t{1} << doublings))
            return policy_.longest_delay;
        return policy_.first_delay * (std::int64_t{1} << doublings);
    }

    reconnect_policy policy_;
    std::vector<stored_endpoint> places_;
    box<stored_endpoint> elsewhere_;
    unsigned current_ = 0; // of the places
    unsigned tried_ = 0;   // in this round
    unsigned rounds_ = 0;  // that were begun since a connection proved itself
    unsigned failed_ = 0;  // in a row
    unsigned attempts_ = 0;
    bool ever_connected_ = false;
    bool connected_ = false;
    time_point since_;
    std::uint64_t random_;
};

} // namespace detail
} // namespace tern
