// The state of a session as bytes: two sessions with the same description behave in the same way. It omits the time,
// the counters, the delay before the next attempt, and the positions of packets in memory.
#pragma once

#include "tern/session/session.hpp"

#include <cstdint>
#include <string>
#include <string_view>

/// The bytes that describe a state. The client's packet identifiers are counted back from the last one, because their
/// absolute values do not affect its behaviour.
struct description {
    std::string bytes;
    tern::packet_id last_id = 0;

    void add(std::uint64_t value) { // nearly always small
        for (; value >= 0x80; value >>= 7U)
            bytes += static_cast<char>((value & 0x7FU) | 0x80U);
        bytes += static_cast<char>(value);
    }
    void add(std::string_view text) {
        add(text.size());
        bytes += text;
    }
    void add_id(tern::packet_id id) { add(id == 0 ? 0U : 1U + static_cast<tern::packet_id>(last_id - id)); }
    /// Adds a packet of the client other than CONNECT.
    void add_packet(std::string_view packet) {
        const auto at = [&](std::size_t i) { return static_cast<unsigned char>(packet[i]); };
        const auto type = static_cast<tern::packet_type>(at(0) >> 4U);
        const bool is_publish = type == tern::packet_type::publish;
        const bool is_qos_0 = is_publish && (at(0) & 6U) == 0;
        const bool begins =
            is_publish || type == tern::packet_type::pubrel || type == tern::packet_type::subscribe;
        add(at(0));
        if (is_publish) add(at(packet.size() - 1)); // the payload
        if (is_qos_0) return;
        const std::size_t place = is_publish ? 5 : 2; // after a topic of one letter
        const auto id = static_cast<tern::packet_id>(at(place) << 8U | at(place + 1));
        if (begins)
            add_id(id);
        else
            add(id);
    }
};

namespace tern::detail {

struct session_inspector {
    static std::size_t memory_of_packets(const session& s) noexcept { return s.out_.allocated(); }

    static void describe(session& s, description& to) {
        to.last_id = s.sender_.exchanges_.last_id_;
        to.add(static_cast<unsigned>(s.state_));
        to.add((s.clean_start_ ? 1U : 0U) | (s.has_state_ ? 2U : 0U) | (s.keeps_session_ ? 4U : 0U));
        to.add(s.connect_packet_);
        to.add(s.in_.bytes());
        to.add(s.told_.size() + s.pings_.size());
        for (std::string_view part : s.out_.pending()) {
            for (; !part.empty(); part.remove_prefix(next_frame(part)->size)) {
                const std::string_view packet = part.substr(0, next_frame(part)->size);
                if (s.state_ == session::state::handshake)
                    to.add(packet);
                else
                    to.add_packet(packet);
            }
        }
        to.add(0U);
        to.add((s.subscriptions_.empty() ? 0U : 1U) | (s.subscriptions_.has_more() ? 2U : 0U) |
               (s.renewal_due_ ? 4U : 0U) | (s.unanswered_ ? 8U : 0U) | (s.asked_ ? 16U : 0U) |
               (s.pings_lost_ ? 32U : 0U));
        describe(s.sender_, s.out_, to);
        describe(s.receiver_, to);
    }

    /// The position of the acknowledgement that belongs to a token.
    static unsigned place_of(const receiver& r, message_token token) {
        const std::uint64_t index = static_cast<std::uint64_t>(token) - r.first_token_;
        if (token == message_token::none) return 0;
        if (index < r.due_.size()) return static_cast<unsigned>(1 + index);
        for (unsigned i = 0; i != r.held_.size(); ++i)
            if (r.held_[i].token == token) return 64 + i;
        return 127; // the token belongs to an earlier connection
    }
    static unsigned place_of(const session& s, message_token token) { return place_of(s.receiver_, token); }

    /// Whether nothing is unfinished, in either direction. With `untold`, incoming identifiers may be left.
    static bool is_at_rest(const session& s, bool untold) {
        const sender& out = s.sender_;
        const receiver& in = s.receiver_;
        return out.exchanges_.empty() && out.in_flight_ == 0 && out.publishes_ == 0 && out.queue_.empty() &&
               out.resend_from_ == 0 && out.unwritten_messages_.empty() && in.due_.empty() &&
               (in.ids_.empty() || untold) && in.held_.empty() && in.unacknowledged_ == 0 && s.out_.empty();
    }

private:
    static void describe(sender& s, outbox& out, description& to) {
        to.add(s.connected_ ? 1U : 0U);
        to.add_id(s.resend_from_);
        to.add(s.in_flight_);
        to.add(s.publishes_);
        to.add(s.exchanges_.size());
        for (const exchange* e = s.exchanges_.first(); e; e = s.exchanges_.next(*e)) {
            to.add_id(e->id);
            const bool written = e->sent && e->sent_at_position <= out.written();
            to.add(static_cast<unsigned>(e->state) | (e->sent ? 8U : 0U) | (e->tried ? 16U : 0U) |
                   (written ? 32U : 0U) | (e->given_up ? 64U : 0U));
            to.add(static_cast<std::uint64_t>(e->op));
            if (e->state != exchange_state::pubrel) to.add_packet(out.view(e->packet));
        }
        to.add(s.queue_.acknowledged_.size());
        for (std::size_t i = 0; i != s.queue_.acknowledged_.size(); ++i)
            describe(s.queue_.acknowledged_[i].op, s.queue_.acknowledged_[i].packet, out, to);
        to.add(s.queue_.at_most_once_.size());
        for (std::size_t i = 0; i != s.queue_.at_most_once_.size(); ++i) {
            const queued_message& m = s.queue_.at_most_once_[i];
            describe(m.op, m.packet, out, to);
            for (std::size_t j = 0; j != s.queue_.acknowledged_.size(); ++j)
                to.add(s.queue_.acknowledged_[j].number < m.number ? 1U : 0U);
        }
        to.add(s.queue_.ended_.size());
        to.add(s.unwritten_messages_.size());
        for (std::size_t i = 0; i != s.unwritten_messages_.size(); ++i)
            describe(s.unwritten_messages_[i].op, s.unwritten_messages_[i].packet, out, to);
    }

    static void describe(op_id op, const outbox::place& packet, const outbox& out, description& to) {
        to.add(static_cast<std::uint64_t>(op));
        if (packet.size == 0) return;
        // The first byte suffices, and the identifier's field may still contain an earlier one.
        to.add(static_cast<unsigned char>(out.view(packet).front()));
    }

    static void describe(const receiver& r, description& to) {
        to.add(r.due_.size());
        for (std::size_t i = 0; i != r.due_.size(); ++i) {
            const auto& due = r.due_[i];
            to.add(due.packet_id);
            to.add((due.exactly_once ? 1U : 0U) | (due.released ? 2U : 0U) | (due.repeated ? 4U : 0U));
        }
        for (packet_id id = 1; id != 8; ++id) // the test's broker uses only a few identifiers
            to.add((r.ids_[id] != incoming_state::none ? 1U : 0U) |
                   (r.ids_[id] == incoming_state::earlier ? 2U : 0U));
        to.add(r.held_.size());
        for (const auto& h : r.held_) {
            to.add(h.packet_id);
            to.add(place_of(r, h.due_as));
        }
        to.add(r.unacknowledged_);
    }
};

} // namespace tern::detail
