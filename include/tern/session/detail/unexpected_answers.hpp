// Acknowledgements of messages that no exchange expects: for an unknown identifier, of another kind than the exchange
// awaits, or in doubt whether the broker still has the session.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/codec/publish.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/detail/send/publish.hpp"
#include "tern/session/detail/session_core.hpp"
#include "tern/session/detail/violations.hpp"
#include "tern/session/event.hpp"
#include "tern/types.hpp"

#include <system_error>

namespace tern::detail {

class unexpected_answers {
public:
    explicit unexpected_answers(session_core& core) noexcept : s_(core) {}

    /// PUBACK, PUBREC or PUBCOMP that ended no exchange. Fills in `next` if there is an event, and returns a
    /// violation.
    template <class Packet>
    TERN_COLD errc on_answer(ack_effect effect, packet_id id, polled_event& next) {
        s_.activity = activity::any;
        if constexpr (Packet::type == packet_type::pubcomp)
            if (on_pubcomp_in_doubt(id, next)) return errc::none;
        if (effect == ack_effect::violation) {
            const exchange_state asked = s_.lasting.out.exchanges().find(id)->state;
            const errc error = violations(s_).on_wrong_answer(id);
            if (Packet::type == packet_type::puback && asked == exchange_state::publish_2) s_.count_puback_for_qos_2();
            return error;
        }
        if (effect == ack_effect::unknown_identifier && Packet::type == packet_type::pubrec)
            s_.send_ack(packet_type::pubrel, id,
                        s_.version() == protocol_version::v5 ? reason_code::packet_identifier_not_found
                                                             : reason_code::success);
        return errc::none;
    }

private:
    // If PUBREC came before the session was in doubt, a new session would answer PUBREL by PUBCOMP, too.
    TERN_COLD bool on_pubcomp_in_doubt(packet_id id, polled_event& next) {
        publishing publisher(s_.lasting.out, s_.link->sending);
        const ack_outcome outcome = publisher.on_pubcomp_in_doubt(id, s_.now);
        if (outcome.effect != ack_effect::finished) return false;
        const bool is_certain = s_.lasting.in.doubt() == session_doubt::none;
        const std::error_code error = is_certain ? std::error_code{} : outcome_unknown(errc::session_lost);
        if (outcome.op != op_id::none) next.emplace<completed>(outcome.op, error);
        return true;
    }

    session_core& s_;
};

} // namespace tern::detail
