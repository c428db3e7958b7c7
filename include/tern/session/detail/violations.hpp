// Packets of the broker that violate a rule. They end the connection. If it is always the same message, which the
// broker sends again on each connection, that is reported, and the client waits for the longest delay, or refuses the
// message if the application wants that.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/codec/publish.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/detail/receive/large_message.hpp"
#include "tern/session/detail/session_core.hpp"
#include "tern/session/detail/subscribe/subscribe.hpp"
#include "tern/session/event.hpp"
#include "tern/session/options.hpp"
#include "tern/types.hpp"

#include <cstdint>
#include <string_view>
#include <utility>

namespace tern::detail {

/// What servers of other protocols send first. None of it begins a packet.
struct foreign_answer {
    std::string_view beginning;
    errc error;
};
inline constexpr foreign_answer foreign_answers[] = {
    {"HTTP/", errc::http_answer},
    {"SSH-", errc::ssh_answer},
    {"\x15\x03", errc::tls_answer}, // an alert
    {"\x16\x03", errc::tls_answer}, // a handshake
};

class violations {
public:
    explicit violations(session_core& core) noexcept : s_(core) {}

    TERN_COLD void on_violation(errc error, const frame& frame) {
        if (error == errc::topic_aliases_too_large) s_.settings.topic_alias_maximum = 0; // later CONNECTs announce none
        if (frame.type() == packet_type::publish && note_repetition(error, frame)) {
            if (refuse(frame)) return;
            s_.connector.schedule().wait_longest();
        }
        s_.close_for_violation(error);
    }

    /// The next bytes are no packet that the client accepts. A larger PUBLISH than it accepts is skipped if the broker
    /// cannot know the limit, or does not keep to it.
    TERN_COLD void on_framing_error(errc error) {
        s_.activity = activity::any;
        connection& link = *s_.link;
        const std::string_view bytes = link.received.bytes();
        const bool is_publish =
            static_cast<unsigned char>(bytes.front()) >> 4U == static_cast<unsigned>(packet_type::publish);
        if (error != errc::packet_too_large || !is_publish ||
            (s_.version() == protocol_version::v5 && !s_.skips_large_messages))
            return s_.close_for_violation(error);
        large_message m;
        if (const errc invalid = read_large_message(bytes, m); invalid != errc::none)
            return s_.close_for_violation(invalid);
        if (bytes.size() < m.need) return link.received.expect(m.need);
        s_.events.push({.change = connection_change::message_skipped,
                        .error = violation(errc::packet_too_large),
                        .filter = m.head.topic,
                        .packet_bytes = m.size});
        bool deliver = false;
        message_token token{};
        const errc refused = link.receiving.on_publish(s_.lasting.in, m.head, deliver, token);
        if (refused != errc::none) return s_.close_for_violation(refused);
        link.receiving.release(token);
        s_.has_due_acks = true;
        link.skip_bytes = m.size;
        link.skip_received();
    }

    /// The first bytes are no packet. Names the protocol that they belong to, as soon as that is known.
    TERN_COLD void on_invalid_answer(errc error) {
        const std::string_view bytes = s_.link->received.bytes();
        for (const foreign_answer& each : foreign_answers) {
            if (bytes.starts_with(each.beginning)) return s_.close_for_violation(each.error);
            if (each.beginning.starts_with(bytes)) return s_.link->received.expect(each.beginning.size());
        }
        s_.close_for_violation(error);
    }

    /// An answer of another kind than the request has, such as PUBACK for QoS 2: the broker will hardly answer better
    /// if the packet is sent again. So the operation ends, and the exchange is withheld.
    TERN_COLD errc on_wrong_answer(packet_id id) {
        outgoing& out = s_.lasting.out;
        const exchange& e = *out.exchanges().find(id);
        out.queue().reserve_completions(1);
        if (e.is_request()) subscribing(out, &s_.link->sending, s_.lasting.subscriptions).abandon(e);
        if (const op_id op = out.withhold(e); op != own_request)
            out.queue().add_completion(op, outcome_unknown(errc::unexpected_acknowledgement));
        return errc::unexpected_acknowledgement;
    }

private:
    // Returns whether the same message has violated the same rule too often.
    TERN_COLD bool note_repetition(errc error, const frame& frame) {
        if (!s_.repeated) s_.repeated.emplace();
        reader in(frame.body);
        const std::string_view topic = in.binary();
        repeated_violation& last = *s_.repeated;
        const bool is_same = last.error == error && last.topic == topic;
        last.count = is_same ? last.count + 1 : 1;
        last.error = error;
        last.topic = topic;
        if (last.count < repeated_violation::most) return false;
        s_.events.push({.change = connection_change::message_invalid,
                        .error = violation(error),
                        .filter = check_string(topic) == errc::none ? topic : std::string_view{}});
        return true;
    }

    // Acknowledges and drops an invalid message. Returns whether that is wanted and possible.
    TERN_COLD bool refuse(const frame& frame) {
        const bool is_wanted = s_.settings.on_invalid_message == invalid_message_action::refuse;
        if (!is_wanted || s_.version() != protocol_version::v5) return false;
        publish p;
        if (decode_into(p, frame, s_.version()) == errc::none) return false; // the violation is not in the message
        reader in(frame.body);
        (void)in.binary(); // the topic
        const auto level = static_cast<qos>((frame.flags() & qos_bits) >> 1);
        const packet_id id = level == qos::at_most_once ? packet_id{0} : in.id();
        if (in.error() != errc::none) return false;
        if (std::exchange(s_.settings.topic_alias_maximum, std::uint16_t{0}) != 0) return false; // it may set an alias
        if (id != 0 && !s_.link->receiving.refuse(s_.lasting.in, id, level)) return false;
        s_.has_due_acks = true;
        ++s_.repeated->refused;
        return true;
    }

    session_core& s_;
};

} // namespace tern::detail
