// When and where to connect next. Time and randomness are arguments: the owner passes the one and seeds the other.
//
// Attempts go through the endpoints in turn. A round over all of them is made without a pause. Before the next round
// there is a random wait of at most `first_delay`, which doubles with each round up to `longest_delay`: thousands of
// clients that lost the same broker do not come back in step. The first round after a loss begins at once, with the
// endpoint that was lost. A connection that held longer than the next wait resets the waits, and after one on which a
// request was answered the next wait is at most `first_delay`. A connection that the broker ended by a violation counts
// as a round that failed.
//
// A broker that has moved (0x9D) puts its new endpoints before the others, for the run. Other servers to use for now
// (0x9C) are tried once, before the round goes on. Redirects in a row, without a connection that held for 30 s, have a
// limit.
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/session/event.hpp"
#include "tern/session/reconnect.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

namespace tern::detail {

/// How a broker sends its clients elsewhere.
enum class redirect_kind : std::uint8_t {
    temporary, ///< 0x9C: for the next attempts
    moved,     ///< 0x9D: from now on
};

class reconnect_schedule {
public:
    explicit reconnect_schedule(std::uint64_t seed = 0) noexcept : random_(seed) {}

    /// The owner wants to be connected.
    TERN_COLD void start(const reconnect_policy& policy, const endpoint& first, std::span<const endpoint> more) {
        growing_array<stored_endpoint> endpoints;
        endpoints.reserve(1 + more.size());
        endpoints.push_back(stored_endpoint(first));
        for (const endpoint& e : more)
            endpoints.push_back(stored_endpoint(e));
        endpoints_ = std::move(endpoints);
        policy_ = policy;
        current_ = tried_ = 0;
        rounds_ = 1; // the first round begins without a wait
        failed_rounds_ = attempts_ = 0;
        stage_ = stage::never_connected;
        redirect_.reset();
        had_accepted_credentials_ = has_abandoned_connect_ = false;
    }

    /// Where the present attempt goes.
    endpoint target() const noexcept {
        if (redirect_ && redirect_->override_target) return redirect_->override_target->view();
        if (redirect_ && redirect_->next != redirect_->temporary.size())
            return redirect_->temporary[redirect_->next].view();
        return endpoints_.empty() ? endpoint{} : endpoints_[current_].view();
    }
    /// The present attempt goes there instead.
    void override_target(const endpoint& e) {
        if (!redirect_) redirect_.emplace();
        redirect_->override_target.emplace(e);
    }
    /// The number of the present attempt since the last connection.
    unsigned attempt() const noexcept { return attempts_; }
    void on_attempt() noexcept { ++attempts_; }

    TERN_COLD void on_connected(time_point now) noexcept {
        stage_ = stage::connected;
        connected_at_ = now;
        had_accepted_credentials_ = true;
        attempts_ = 0;
    }

    /// When the broker accepted the last connection.
    time_point connected_at() const noexcept { return connected_at_; }

    /// A random number from 0 to `limit` - 1 (splitmix64).
    TERN_COLD std::int64_t random_below(std::int64_t limit) noexcept {
        std::uint64_t z = random_ += 0x9E37'79B9'7F4A'7C15U;
        z = (z ^ (z >> 30U)) * 0xBF58'476D'1CE4'E5B9U;
        z = (z ^ (z >> 27U)) * 0x94D0'49BB'1331'11EBU;
        z ^= z >> 31U;
        return static_cast<std::int64_t>((z >> 1U) % static_cast<std::uint64_t>(limit));
    }

    failure_class classify(const std::error_code& error) const noexcept {
        return policy_.classify({error, had_accepted_credentials_, has_abandoned_connect_});
    }

    /// Whether the application lets the client go to this endpoint, with its credentials.
    bool may_go_to(const endpoint& e) const noexcept { return policy_.follow_redirect && policy_.follow_redirect(e); }
    bool follows_redirects() const noexcept { return policy_.follow_redirect != nullptr; }
    /// Whether a further redirect in a row is followed.
    bool may_redirect(time_point now) const noexcept {
        if (stage_ == stage::connected && !policy_.enabled) return false;
        const unsigned count = redirect_ && !has_held(now) ? redirect_->count : 0;
        return count < policy_.max_redirects;
    }
    /// The broker sends the client to these endpoints. The next attempt follows at once. If an allocation fails,
    /// nothing has changed.
    TERN_COLD void redirect(growing_array<stored_endpoint> targets, redirect_kind kind, time_point now) {
        if (!redirect_) redirect_.emplace();
        redirection& r = *redirect_;
        if (kind == redirect_kind::moved) put_first(targets, r.moved);
        r.count = has_held(now) ? 1 : r.count + 1;
        r.temporary.clear();
        r.next = 0;
        if (kind == redirect_kind::temporary) r.temporary = std::move(targets);
        if (stage_ == stage::connected) stage_ = stage::lost;
        r.override_target.reset();
        tried_ = 0;
    }

    /// The next attempt waits for the longest delay.
    void wait_longest() noexcept { waits_longest_ = true; }
    /// A request was answered on the connection that has ended.
    void on_answered() noexcept { was_answered_ = true; }
    /// Other credentials are used from now on.
    void on_new_credentials() noexcept { had_accepted_credentials_ = false; }
    /// CONNECT was sent whole, and has no answer.
    void on_unanswered_connect() noexcept { has_abandoned_connect_ = true; }

    /// The attempt failed, or the connection was lost. Returns the wait before the next attempt, or nothing if there
    /// is no further attempt.
    TERN_COLD std::optional<std::chrono::milliseconds> on_failure(const std::error_code& error,
                                                                  time_point now) noexcept {
        const bool was_connected = stage_ == stage::connected;
        if (was_connected) stage_ = stage::lost;
        if (redirect_) redirect_->override_target.reset();
        const bool was_redirected = end_temporary_target(was_connected);
        failure_class kind = classify(error);
        if (std::exchange(waits_longest_, false) && kind == failure_class::transient) kind = failure_class::lasting;
        if (was_connected && now - connected_at_ >= std::chrono::seconds(30)) has_abandoned_connect_ = false;
        if (was_redirected && !was_connected) return std::chrono::milliseconds{0}; // others are still to be tried
        if (kind == failure_class::permanent) return std::nullopt;
        if (was_connected) {
            if (!policy_.enabled) return std::nullopt;
            if (now - connected_at_ >= longest_wait()) rounds_ = 0;
            tried_ = 0;
            if (now - connected_at_ >= std::chrono::seconds(30)) failed_rounds_ = 0;
            failed_rounds_ = end_of(error) == connection_end::violation ? failed_rounds_ + 1 : 0;
            if (policy_.max_rounds != 0 && failed_rounds_ >= policy_.max_rounds) return std::nullopt;
        } else {
            current_ = current_ + 1 == endpoints_.size() ? 0 : current_ + 1;
            if (++tried_ < endpoints_.size() && kind == failure_class::transient) return std::chrono::milliseconds{0};
            tried_ = 0;
            ++failed_rounds_;
            const bool retries = stage_ == stage::never_connected ? policy_.retry_first : policy_.enabled;
            if (!retries) return std::nullopt;
            if (policy_.max_rounds != 0 && failed_rounds_ >= policy_.max_rounds) return std::nullopt;
        }
        std::chrono::milliseconds wait{random_below(longest_wait().count() + 1)};
        // Each connection brings the session forward, so that the next one may follow soon.
        if (std::exchange(was_answered_, false)) wait = (std::min)(wait, policy_.first_delay);
        ++rounds_;
        return kind == failure_class::lasting ? policy_.longest_delay : wait;
    }

private:
    enum class stage : std::uint8_t {
        never_connected,
        connected, ///< now
        lost,      ///< was connected before
    };

    struct redirection {
        heap_optional<stored_endpoint> override_target; // of the application, for the present attempt
        growing_array<stored_endpoint> temporary;       // other servers to use for now
        std::size_t next = 0;                           // of them
        std::size_t moved = 0;                          // endpoints of a broker that has moved, before the others
        unsigned count = 0;                             // redirects in a row
    };

    bool has_held(time_point now) const noexcept {
        return stage_ == stage::connected && now - connected_at_ >= std::chrono::seconds(30);
    }
    // Replaces the first `moved` endpoints.
    TERN_COLD void put_first(growing_array<stored_endpoint>& targets, std::size_t& moved) {
        const std::size_t count = targets.size();
        targets.reserve(count + endpoints_.size() - moved);
        for (std::size_t i = moved; i != endpoints_.size(); ++i)
            targets.push_back(std::move(endpoints_[i]));
        endpoints_ = std::move(targets);
        moved = count;
        current_ = 0;
    }
    // The attempt at a temporary target, or the connection, has ended. Returns whether there was one.
    bool end_temporary_target(bool was_connected) noexcept {
        if (!redirect_ || redirect_->next == redirect_->temporary.size()) return false;
        redirect_->next = was_connected ? redirect_->temporary.size() : redirect_->next + 1;
        return true;
    }

    // Before the next round.
    TERN_COLD std::chrono::milliseconds longest_wait() const noexcept {
        using namespace std::chrono_literals;
        if (rounds_ == 0) return 0ms;
        const unsigned doublings = (std::min)(rounds_ - 1, 30U);
        if (policy_.first_delay > policy_.longest_delay / (std::int64_t{1} << doublings)) return policy_.longest_delay;
        return policy_.first_delay * (std::int64_t{1} << doublings);
    }

    reconnect_policy policy_;
    growing_array<stored_endpoint> endpoints_;
    heap_optional<redirection> redirect_; // once an attempt goes elsewhere
    unsigned current_ = 0;                // the index of the endpoint whose turn it is
    unsigned tried_ = 0;                  // endpoints in this round
    unsigned rounds_ = 0;                 // begun since a connection reset the waits
    unsigned failed_rounds_ = 0;          // in a row
    unsigned attempts_ = 0;
    stage stage_ = stage::never_connected;
    bool had_accepted_credentials_ = false;
    bool has_abandoned_connect_ = false;
    bool waits_longest_ = false;
    bool was_answered_ = false;
    time_point connected_at_;
    std::uint64_t random_;
};

} // namespace tern::detail
