// What can be asked of the broker, and what it reports.
#pragma once

#include "tern/codec/connect.hpp"
#include "tern/codec/packet.hpp"
#include "tern/error.hpp"
#include "tern/reason_code.hpp"

#include <functional>
#include <string>
#include <string_view>

namespace tern::testing {

/// Here from the broker's point of view.
using tern::packet_direction;

/// A rule of the standard that a client has broken.
struct violation {
    std::string client_id; ///< empty before CONNECT
    errc error;            ///< the kind of mistake
    std::string statement; ///< the statement or section that was broken, such as "MQTT-3.1.0-2"
    std::string text;      ///< a sentence that says what was wrong
};

/// How a `broker` behaves.
struct broker_options {
    /// Decides whether a client may connect; the default accepts everybody. A 3.1.1 client whose
    /// refusal 3.1.1 cannot express is disconnected without an answer [MQTT-3.2.2-6].
    std::function<reason_code(const connect&)> on_connect = {};

    /// Is told of each packet, before a received one is acted upon. The packet borrows.
    std::function<void(packet_direction, std::string_view client_id, const any_packet&)> on_packet = {};

    /// What a 5.0 CONNACK announces. Limits are enforced: who exceeds them is disconnected. What is not set
    /// here is not announced and has the standard's default; 3.1.1 knows no limits. Borrows its strings.
    connack_properties limits = {};
};

} // namespace tern::testing
