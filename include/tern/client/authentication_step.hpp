// The step of an authentication that an authenticator receives and answers.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/message.hpp"
#include "tern/session/authentication.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern {
namespace detail {

// The client's side of a step. The serial number distinguishes the step that waits from earlier ones.
class authentication_owner {
public:
    virtual std::error_code answer(std::uint64_t serial, std::optional<std::string_view> data) = 0;
    virtual void fail(std::uint64_t serial, std::error_code why) noexcept = 0;

    authentication_owner() = default;
    authentication_owner(const authentication_owner&) = delete;
    authentication_owner& operator=(const authentication_owner&) = delete;

protected:
    ~authentication_owner() = default;
};

} // namespace detail

/// A step of an authentication that waits for an answer of the application [§4.12].
///
/// The application calls `answer` or `fail`, immediately or later, on the client's executor. A step destroyed without
/// an answer fails with `std::errc::operation_canceled`. Once the connection has ended, the step ignores further calls.
/// It owns what the broker has sent.
class authentication_step {
public:
    authentication_step(authentication_step&&) noexcept = default;
    authentication_step& operator=(authentication_step&& other) noexcept {
        authentication_step taken(std::move(other));
        owner_.swap(taken.owner_);
        std::swap(serial_, taken.serial_);
        std::swap(request_, taken.request_);
        return *this;
    }
    authentication_step(const authentication_step&) = delete;
    authentication_step& operator=(const authentication_step&) = delete;
    TERN_COLD ~authentication_step() { fail(std::make_error_code(std::errc::operation_canceled)); }

    /// Returns what the client needs: the first data, the answer to the broker's AUTH, or the verdict on the broker.
    authentication_stage stage() const noexcept { return request_.view().stage; }
    /// Returns whether this is for CONNECT, or for `async_reauthenticate`.
    authentication_purpose purpose() const noexcept { return request_.view().purpose; }
    /// Returns the Authentication Method of CONNECT. This and what follows borrows from this object.
    std::string_view method() const noexcept { return request_.view().method; }
    /// Returns the Authentication Data of the broker's AUTH or CONNACK. It may have none.
    std::optional<std::string_view> data() const noexcept { return request_.view().data; }
    /// Returns the Reason String of the broker's AUTH or CONNACK.
    std::optional<std::string_view> reason_string() const noexcept { return request_.view().reason_string; }
    /// Returns the User Properties of the broker's AUTH or CONNACK.
    user_properties_view user_properties() const noexcept { return request_.view().user_properties; }

    /// Continues, with Authentication Data, which the function copies. In the stage `verify` this accepts the broker,
    /// and the data is not sent. If no packet can carry the data, the function returns the reason, and the
    /// authentication fails with it.
    std::error_code answer(std::string_view data) { return answer_with(data); }
    /// Continues without data. In the stage `begin`, CONNECT has the data of `connect_options`.
    std::error_code answer() { return answer_with(std::nullopt); }

    /// Fails the authentication. Unless nothing was sent for a re-authentication, this closes the connection, which
    /// ends with the error. `reconnect_policy::classify` decides whether an attempt to connect follows. In
    /// `protocol_category()`, as the default is, DISCONNECT has the reason code of the error, otherwise
    /// `reason_code::unspecified_error`.
    void fail(std::error_code why = violation(errc::authentication_failed)) noexcept {
        if (const auto owner = take_owner())
            owner->fail(serial_, why ? why : std::make_error_code(std::errc::operation_canceled));
    }

    authentication_step(std::weak_ptr<detail::authentication_owner> owner, std::uint64_t serial,
                        const authentication_request& request)
        : owner_(std::move(owner))
        , serial_(serial)
        , request_(request) {}

private:
    std::error_code answer_with(std::optional<std::string_view> data) {
        const auto owner = take_owner();
        return owner ? owner->answer(serial_, data) : std::error_code{};
    }
    std::shared_ptr<detail::authentication_owner> take_owner() noexcept { return std::exchange(owner_, {}).lock(); }

    std::weak_ptr<detail::authentication_owner> owner_; // empty once the step is answered
    std::uint64_t serial_;
    owned<authentication_request> request_;
};

} // namespace tern
