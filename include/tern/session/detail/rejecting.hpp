// Refusing received messages: the application's answer is a PUBACK or PUBREC with a failure, in its turn [§4.6].
//
//     the message                                   after the refusal
//     of this connection                            PUBACK or PUBREC with the reason, then its exchange is over
//     QoS 2, of an earlier one, has come again      the same
//     QoS 2, of an earlier one, has not come again  it is forgotten, and is delivered when it comes again
//     QoS 1, of an earlier one                      nothing: it is delivered when it comes again
//     acknowledged on this connection               an error
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/codec/publish.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/reason_code.hpp"
#include "tern/session/detail/receive/rejections.hpp"
#include "tern/session/detail/session_core.hpp"
#include "tern/session/event.hpp"

namespace tern::detail {

class rejecting {
public:
    explicit rejecting(session_core& core) noexcept : s_(core) {}

    TERN_COLD errc reject(message_token token, reason_code code, const ack_properties& properties) {
        if (s_.version() == protocol_version::v3_1_1) return errc::requires_v5;
        if (!is_rejection(code)) return errc::invalid_reason_code;
        if (token == message_token::none) return errc::no_acknowledgement;
        const auto size = encoded_size(puback{1, code, properties}, s_.version());
        if (!size) return size.error();
        if (!s_.link) {
            s_.lasting.in.forget_unreleased(token);
            return errc::none;
        }
        s_.activity = activity::any;
        const rejection answer{code, properties, s_.link->sending.limits.maximum_packet_bytes};
        const errc error = s_.link->receiving.reject(s_.lasting.in, token, answer);
        s_.has_due_acks = true;
        return error;
    }

    /// Releases a message, also while there are messages of earlier connections, or refused ones.
    TERN_NOINLINE void release(message_token token) noexcept {
        token = s_.lasting.in.release(token);
        if (!s_.link || s_.link->receiving.is_rejected(token)) return;
        s_.link->receiving.release(token);
        s_.has_due_acks = true;
    }

private:
    session_core& s_;
};

} // namespace tern::detail
