// Passes the steps of an authentication to the application's authenticator, and its answers to the session.
//
// The application receives an `authentication_step`. Its serial number distinguishes the step that waits from earlier
// ones, whose answers are ignored. Without an authenticator, CONNECT has the data of the options, and the broker may
// only accept or refuse it: AUTH violates the protocol.
#pragma once

#include "tern/client/authentication_step.hpp"
#include "tern/client/detail/transport/driver.hpp"
#include "tern/client/detail/transport/exclusive_use.hpp"
#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/authentication.hpp"
#include "tern/session/session.hpp"
#include "tern/transport/concept.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::detail {

using authenticator_hook = std::function<void(authentication_step)>;

template <transport Transport>
class authenticator final : public authentication_owner {
public:
    explicit authenticator(transport_driver<Transport>& driver) noexcept : driver_(driver) {}

    TERN_COLD void set_hook(authenticator_hook hook) {
        hook_ = hook ? std::make_shared<authenticator_hook>(std::move(hook)) : nullptr;
    }

    /// Begins a re-authentication.
    TERN_COLD errc reauthenticate(op_id op) {
        if (!hook_ && driver_.served_session().is_connected()) return errc::authentication_not_supported;
        return driver_.served_session().reauthenticate(op, driver_.now());
    }

    /// The session asks for a step.
    TERN_COLD void on_request(const authentication_request& request) {
        session& s = driver_.served_session();
        ++serial_;
        if (!hook_ && request.stage == authentication_stage::answer)
            return s.fail_authentication(violation(errc::unexpected_authentication), driver_.turn_time());
        if (!hook_) return (void)s.authenticate(std::nullopt, driver_.turn_time());
        const auto called = hook_; // the hook may set another one
        const std::shared_ptr<authentication_owner> self(driver_.owner().keep_alive(), this);
        (*called)(authentication_step(self, serial_, request));
    }

    TERN_COLD std::error_code answer(std::uint64_t serial, std::optional<std::string_view> data) override {
        const exclusive_use::scope inside(driver_.use());
        if (serial != serial_) return {};
        driver_.owner().request_turn();
        errc error = errc::none;
        driver_.guard_memory([&] { error = driver_.served_session().authenticate(data, driver_.now()); });
        if (error == errc::none) return {};
        driver_.served_session().fail_authentication(misuse(error), driver_.now());
        return misuse(error);
    }

    TERN_COLD void fail(std::uint64_t serial, std::error_code why) noexcept override {
        const exclusive_use::scope inside(driver_.use());
        if (serial != serial_) return;
        driver_.served_session().fail_authentication(why, driver_.now());
        driver_.wake_owner();
    }

private:
    transport_driver<Transport>& driver_;
    std::shared_ptr<authenticator_hook> hook_;
    std::uint64_t serial_ = 0; // of the last step that the application received
};

} // namespace tern::detail
