// What a before-connect hook gets: the attempt that waits for it.
#pragma once

#include "tern/endpoint.hpp"
#include "tern/session/reconnect.hpp"

#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>

namespace tern {
namespace detail {

// The client's side of an attempt. The serial number tells an attempt that is over from the one that waits.
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

/// An attempt to connect that waits until the application is ready for it.
///
/// Whoever holds it decides: `proceed` or `fail`, at once or later, on the client's executor. Destroyed without
/// either, it fails with `std::errc::operation_canceled`. An attempt that is over meanwhile, because the client
/// was disconnected, cancelled or destroyed, does not mind what is said of it.
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
    ~connect_attempt() { fail(std::make_error_code(std::errc::operation_canceled)); }

    /// Where it goes. Borrows from this object.
    endpoint target() const noexcept { return target_.view(); }

    /// Counts the attempts since the last connection, from 1.
    unsigned number() const noexcept { return number_; }

    /// Why the attempt before, or the connection, has ended; no error before the first.
    std::error_code last_error() const noexcept { return last_error_; }

    /// Connects.
    void proceed() {
        if (const auto owner = take_owner()) (void)owner->proceed(serial_, nullptr);
    }

    /// Connects with another user name or password, from now on, or to another place, this time. What it points to
    /// is copied. If it is wrong, returns why, and the attempt fails with it.
    std::error_code proceed(const connect_overrides& renewed) {
        const auto owner = take_owner();
        return owner ? owner->proceed(serial_, &renewed) : std::error_code{};
    }

    /// Gives up this attempt. Whether there will be another one is decided as for any failure, by
    /// `reconnect_policy::classify`.
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

    std::weak_ptr<detail::attempt_owner> owner_; // none: it has been decided
    std::uint64_t serial_;
    detail::stored_endpoint target_;
    unsigned number_;
    std::error_code last_error_;
};

} // namespace tern
