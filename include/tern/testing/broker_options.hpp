// The options of the broker, and the violations that it reports.
#pragma once

#include "tern/codec/connect.hpp"
#include "tern/codec/packet.hpp"
#include "tern/error.hpp"
#include "tern/reason_code.hpp"

#include <functional>
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

/// Options of `broker`.
struct broker_options {
    /// Decides whether a client may connect. By default the broker accepts all clients. If 3.1.1 has no return code for
    /// the reason, the broker closes the connection without CONNACK [MQTT-3.2.2-6].
    std::function<reason_code(const connect&)> on_connect = {};

    /// Is called with each packet, for a received one before the broker processes it. The packet is a view that is
    /// valid during the call.
    std::function<void(packet_direction, std::string_view client_id, const any_packet&)> on_packet = {};

    /// The properties of a 5.0 CONNACK. The broker disconnects a client that exceeds a limit. Limits that are not set
    /// have the standard's default. 3.1.1 has no limits. The strings must outlive the broker.
    connack_properties limits = {};
};

} // namespace tern::testing
