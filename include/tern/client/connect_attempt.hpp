// The attempt that a before-connect hook receives and decides about.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/session/reconnect.hpp"

#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>

namespace tern {
namespace detail {

// The client's side of an attempt. The serial number distinguishes the attempt that waits from earlier ones.
class attempt_owner {
public:
    virtual std::error_code proceed(std::uint64_t serial, const connect_overrides* renewed) = 0;
    virtual void fail(std::uint64_t serial, std::error_code why) = 0;

    attempt_owner() = default;
    attempt_owner(const attempt_owner&) = delete;
    attempt_owner& operator=(const attempt_owner&) = delete;

protected:
    ~attempt_owner() = default;
};

} // namespace detail

/// An attempt to connect that waits for a decision of the application.
///
/// The application calls `proceed` or `fail`, immediately or later, on the client's executor. An attempt destroyed
/// without a decision fails with `std::errc::operation_canceled`. Once the client has been disconnected, cancelled or
/// destroyed, the attempt ignores further calls.
class connect_attempt {
public:
    connect_attempt(connect_attempt&&) noexcept = default;
    connect_attempt& operator=(connect_attempt&& other) noexcept {
        connect_attempt taken(std::move(other));
        owner_.swap(taken.owner_);
        std::swap(serial_, taken.serial_);
        std::swap(target_, taken.target_);
        std::swap(number_, taken.number_);
        std::swap(last_error_, taken.last_error_);
        return *this;
    }
    connect_attempt(const connect_attempt&) = delete;
    connect_attempt& operator=(const connect_attempt&) = delete;
    TERN_COLD ~connect_attempt() { fail(std::make_error_code(std::errc::operation_canceled)); }

    /// Returns the endpoint to connect to. The result borrows from this object.
    endpoint target() const noexcept { return target_.view(); }

    /// Returns the number of this attempt since the last connection, from 1.
    unsigned number() const noexcept { return number_; }

    /// Returns the error that ended the previous attempt or connection. There is no error before the first attempt.
    std::error_code last_error() const noexcept { return last_error_; }

    /// Connects.
    void proceed() {
        if (const auto owner = take_owner()) (void)owner->proceed(serial_, nullptr);
    }

    /// Connects with another user name or password, which later attempts use too, or to another endpoint, for this
    /// attempt only. The function copies the data that the overrides point to. If they are invalid, the function
    /// returns the reason, and the attempt fails with it.
    std::error_code proceed(const connect_overrides& renewed) {
        const auto owner = take_owner();
        return owner ? owner->proceed(serial_, &renewed) : std::error_code{};
    }

    /// Fails this attempt. `reconnect_policy::classify` decides whether another one follows, as for any failure.
    void fail(std::error_code why) {
        if (const auto owner = take_owner())
            owner->fail(serial_, why ? why : std::make_error_code(std::errc::operation_canceled));
    }

    connect_attempt(std::weak_ptr<detail::attempt_owner> owner, std::uint64_t serial, const endpoint& target,
                    unsigned number, std::error_code last_error)
        : owner_(std::move(owner))
        , serial_(serial)
        , target_(target)
        , number_(number)
        , last_error_(last_error) {}

private:
    std::shared_ptr<detail::attempt_owner> take_owner() noexcept { return std::exchange(owner_, {}).lock(); }

    std::weak_ptr<detail::attempt_owner> owner_; // empty once the decision is made
    std::uint64_t serial_;
    detail::stored_endpoint target_;
    unsigned number_;
    std::error_code last_error_;
};

} // namespace tern
