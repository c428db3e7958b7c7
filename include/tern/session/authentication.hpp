// Enhanced authentication [§4.12]: what an authenticator is asked for, and in which exchange.
#pragma once

#include "tern/property.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace tern {

/// The part of an exchange that the authenticator answers.
enum class authentication_stage : std::uint8_t {
    begin,  ///< The exchange begins. The answer is the first data, in CONNECT or AUTH.
    answer, ///< The broker has sent AUTH. The answer is the data of the client's next AUTH.
    verify, ///< The broker has accepted the client. Without an answer, which has no data, the client does not go on.
};

/// The reason for an exchange.
enum class authentication_purpose : std::uint8_t {
    connect,        ///< CONNECT, at the first connection or a later one.
    reauthenticate, ///< The application renews the authentication of a connection.
};

/// A step of an exchange, as an event of a session. Borrows from the packet. The owner calls `session::authenticate` or
/// `session::fail_authentication`, at once or later. Nothing of the session shows the data to anything else.
struct authentication_request {
    authentication_stage stage = authentication_stage::begin;
    authentication_purpose purpose = authentication_purpose::connect;
    std::string_view method = {};
    std::optional<std::string_view> data = {};          ///< of the broker's packet, which may have none
    std::optional<std::string_view> reason_string = {}; ///< the same
    user_properties_view user_properties = {};          ///< the same

    friend constexpr bool operator==(const authentication_request&, const authentication_request&) = default;

    /// For `owned`: calls `f` on all that the view borrows.
    template <class F>
    static void visit(authentication_request& view, F&& f) {
        f(view.method);
        f(view.data);
        f(view.reason_string);
        f(view.user_properties);
    }
};

} // namespace tern
