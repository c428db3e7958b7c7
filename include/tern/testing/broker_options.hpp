// The options of the broker, and the violations that it reports.
#pragma once

#include "tern/codec/connect.hpp"
#include "tern/codec/packet.hpp"
#include "tern/error.hpp"
#include "tern/reason_code.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace tern::testing {

/// The direction of a packet from the broker's point of view.
using tern::packet_direction;

/// A violation of the standard by a client.
struct violation {
    std::string client_id; ///< empty before CONNECT
    errc error;            ///< the kind of violation
    std::string statement; ///< the violated statement or section of the standard, such as "MQTT-3.1.0-2"
    std::string text;      ///< a description of the violation
};

/// The broker's answer in an exchange of enhanced authentication.
struct authentication_answer {
    /// `success`: the client is authenticated. `continue_authentication`: it has to answer. A failure: it is refused,
    /// or disconnected if it was connected before.
    tern::reason_code reason_code = tern::reason_code::success;
    std::optional<std::string> data = {}; ///< the data of CONNACK or AUTH
};

/// An exchange of enhanced authentication. Is called with the data of each packet of the client, beginning with
/// CONNECT, or with the AUTH that asks for re-authentication. It stores the state of the exchange.
using authentication_exchange = std::function<authentication_answer(std::optional<std::string_view> data)>;

/// Options of `broker`.
struct broker_options {
    /// Decides whether a client may connect. By default the broker accepts all clients. If 3.1.1 has no return code for
    /// the reason, the broker closes the connection without CONNACK [MQTT-3.2.2-6].
    std::function<reason_code(const connect&)> on_connect = {};

    /// Begins an exchange of enhanced authentication with this client and method, after `on_connect` has let the client
    /// connect, and for each re-authentication. By default, and if the exchange is empty, the broker refuses the method
    /// with `reason_code::bad_authentication_method`.
    std::function<authentication_exchange(std::string_view client_id, std::string_view method)> on_authenticate = {};

    /// Is called with each packet, for a received one before the broker processes it. The packet is a view that is
    /// valid during the call.
    std::function<void(packet_direction, std::string_view client_id, const any_packet&)> on_packet = {};

    /// The properties of a 5.0 CONNACK. The broker disconnects a client that exceeds a limit. Limits that are not set
    /// have the standard's default. 3.1.1 has no limits. The strings must outlive the broker.
    connack_properties limits = {};
};

} // namespace tern::testing
