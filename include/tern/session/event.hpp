// What a session tells its owner.
#pragma once

#include "tern/codec/ack.hpp"
#include "tern/codec/connect.hpp"
#include "tern/codec/control.hpp"
#include "tern/codec/subscribe.hpp"
#include "tern/message.hpp"
#include "tern/owned.hpp"

#include <chrono>
#include <cstdint>
#include <system_error>
#include <variant>

namespace tern {

/// A point of the time that the owner of a session passes to it. Any clock will do: a session only compares
/// and adds.
using time_point = std::chrono::steady_clock::time_point;

/// A number by which the owner of a session recognises what it asked for. `none`: nobody waits for the end.
enum class op_id : std::uint64_t { none = 0 };

/// Stands for a received message until it is acknowledged. `none`: QoS 0, there is nothing to acknowledge.
enum class message_token : std::uint64_t { none = 0 };

/// How the broker answered PUBLISH, SUBSCRIBE, UNSUBSCRIBE or PINGREQ. Borrows from the packet.
struct acknowledgement_view {
    /// PUBLISH: of PUBACK, PUBREC or PUBCOMP. SUBSCRIBE and UNSUBSCRIBE: of the first filter that was
    /// refused, or of the first filter.
    tern::reason_code reason_code = tern::reason_code::success;
    /// SUBSCRIBE: one code per filter, the granted QoS or a failure. UNSUBSCRIBE: the same in 5.0, empty
    /// in 3.1.1.
    reason_codes_view reason_codes = {};
    ack_properties properties = {}; ///< 5.0 only

    friend constexpr bool operator==(const acknowledgement_view&, const acknowledgement_view&) = default;

    /// For `owned`: calls `f` on all that the view borrows.
    template <class F>
    static void visit(acknowledgement_view& view, F&& f) {
        f(view.reason_codes);
        detail::visit_borrowed(view.properties, f, ack_properties::fields{});
    }
};

/// How the broker answered; owns what it holds.
struct acknowledgement : owned<acknowledgement_view> {
    using owned::owned;
};

/// CONNACK has come: the connection is open, or the broker refused it and it will be closed.
struct connected {
    std::error_code error = {}; ///< the refusal, or none
    connack packet = {};
};

/// A message has come. Release its token when the application is done with it.
struct received {
    message_view message = {};
    bool dup = false;
    message_token token = message_token::none;
};

/// What was asked for has ended.
struct completed {
    op_id op = op_id::none;
    std::error_code error = {};
    acknowledgement_view answer = {};
};

/// The connection is over, and everything that depended on it has completed.
struct closed {
    std::error_code error = {}; ///< none: the owner asked for it
};

/// What `session::poll_event` gives. What it borrows is valid until the session is called again.
using event = std::variant<connected, received, completed, closed>;

} // namespace tern
