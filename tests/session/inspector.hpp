// The state of a session as bytes: two sessions with the same description go on in the same way.
//
// Each function takes its class apart into all of its members, so that a forgotten member does not compile. A member is
// either described or passed to `skip`, with the reason: time and counters, randomness, the place of packets in memory,
// and what follows from other members do not tell two states apart.
#pragma once

#include "tern/session/session.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Bytes that stand for a state. The client's packet identifiers are counted back from the last one, because the client
/// does not depend on how many there were before.
struct description {
    std::string bytes;
    tern::packet_id last_id = 0;

    void add(std::uint64_t value) { // small, nearly always
        for (; value >= 0x80; value >>= 7U)
            bytes += static_cast<char>((value & 0x7FU) | 0x80U);
        bytes += static_cast<char>(value);
    }
    template <class Enum>
        requires std::is_enum_v<Enum>
    void add(Enum value) {
        add(static_cast<std::uint64_t>(value));
    }
    void add(std::string_view text) {
        add(text.size());
        bytes += text;
    }
    void add_id(tern::packet_id id) { add(id == 0 ? 0U : 1U + static_cast<tern::packet_id>(last_id - id)); }
    /// A packet of the client's that is not CONNECT.
    void add_packet(std::string_view packet) {
        const auto at = [&](std::size_t i) { return static_cast<unsigned char>(packet[i]); };
        const auto type = static_cast<tern::packet_type>(at(0) >> 4U);
        const bool is_publish = type == tern::packet_type::publish;
        const bool is_qos_0 = is_publish && (at(0) & 6U) == 0;
        const bool begins = is_publish || type == tern::packet_type::pubrel || type == tern::packet_type::subscribe;
        add(at(0));
        if (is_publish) add(at(packet.size() - 1)); // the payload
        if (is_qos_0) return;
        const std::size_t offset = is_publish ? 5 : 2; // after a topic of one letter
        const auto id = static_cast<tern::packet_id>(at(offset) << 8U | at(offset + 1));
        if (begins)
            add_id(id);
        else
            add(id);
    }
};

namespace tern::detail {

struct session_inspector {
    static std::size_t memory_of_packets(const session& s) noexcept { return s.core_.log().allocated(); }

    static std::size_t memory_of_filters(const session& s) noexcept {
        const auto& data = s.core_.lasting.subscriptions.data_;
        if (!data) return 0;
        const filter_table& filters = (*data).filters;
        return filters.entries_.capacity() * sizeof(filter_entry) + filters.buckets_.capacity() * sizeof(std::uint32_t);
    }

    /// The filters that the session knows.
    static growing_array<filter_entry> filters_of(const session& s) {
        const auto& data = s.core_.lasting.subscriptions.data_;
        return data ? (*data).filters.entries_ : growing_array<filter_entry>{};
    }

    /// Nothing but messages and acknowledgements is going on if the session relies on that.
    static bool is_activity_right(const session& s) {
        return s.core_.activity == activity::any ||
               (s.core_.has_only_messages() && deadlines::next(s.core_) == s.next_deadline());
    }

    static void describe(const session& s, description& to) {
        const auto& [lasting, link, connector, settings, events, connack_body, drains, delivery, active, has_due_acks,
                     skips_large_messages, is_missing_id_reported, ends_by_peer, unanswered_connections,
                     pubacks_for_qos_2, fail_cursor, repeated, closing, now, trimmed_at, messages_received, bytes_sent,
                     bytes_received, connections, round_trip_time] = s.core_;
        skip(active);                               // follows from the rest: `is_activity_right`
        skip(connack_body, is_missing_id_reported); // for the application to see
        skip(has_due_acks);                         // follows from the acknowledgements that are due
        skip(skips_large_messages, repeated, closing, ends_by_peer, unanswered_connections, pubacks_for_qos_2, now,
             trimmed_at, messages_received, bytes_sent, bytes_received, connections, round_trip_time);
        to.last_id = lasting.out.exchanges_.last_id_;
        describe_connector(connector, to);
        describe_settings(settings, to);
        to.add(delivery);
        to.add_id(fail_cursor);
        to.add(events.size() + drains.size());
        describe_events(events, to);
        describe_lasting(lasting, connector, to);
        to.add(link ? 1U : 0U);
        if (link) describe_connection(*link, lasting, to);
    }

    /// Where the acknowledgement lies that a token stands for.
    static unsigned place_of(const session& s, message_token token) {
        return place_of(s.core_.lasting.in, s.core_.link ? &s.core_.link->receiving : nullptr, token);
    }

    /// Nothing is unfinished, in either direction. `unreported`: apart from what the broker has forgotten and could not
    /// report.
    static bool is_at_rest(const session& s, bool unreported) {
        const outgoing& out = s.core_.lasting.out;
        const incoming& in = s.core_.lasting.in;
        const bool is_connection_at_rest =
            !s.core_.link || (s.core_.link->sending.in_flight == 0 && s.core_.link->sending.resend_cursor == 0 &&
                              s.core_.link->sending.unwritten_messages.empty() &&
                              s.core_.link->receiving.due_.empty() && s.core_.link->receiving.unacknowledged_ == 0);
        return is_connection_at_rest && out.exchanges_.empty() && out.awaited_publishes_ == 0 && out.queue_.empty() &&
               (!in.has_open_ids() || unreported) && !in.has_unreleased() && out.log_.empty();
    }

private:
    template <class... Member>
    static void skip(const Member&...) noexcept {}

    static unsigned place_of(const incoming& in, const receiver* r, message_token token) {
        if (token == message_token::none) return 0;
        if (r) {
            const std::uint64_t index = static_cast<std::uint64_t>(token) - r->first_token_;
            if (index < r->due_.size()) return static_cast<unsigned>(1 + index);
        }
        unsigned place = 64;
        for (const unreleased_message* const m : unreleased_of(in)) {
            if (m->token == token) return place;
            ++place;
        }
        return 127; // it belongs to an earlier connection
    }

    static std::vector<const unreleased_message*> unreleased_of(const incoming& in) {
        std::vector<const unreleased_message*> found;
        if (!in.unreleased_) return found;
        for (const unreleased_message& m : in.unreleased_->messages_)
            if (!m.removed) found.push_back(&m);
        return found;
    }

    static void describe_connector(const connector& c, description& to) {
        const auto& [schedule, deadline, cause, step, run, phase, disconnects_sent] = c;
        skip(schedule, deadline, disconnects_sent); // time and randomness
        to.add(cause.message());
        to.add(step);
        to.add(run);
        to.add(phase);
    }

    static void describe_settings(const session_settings& s, description& to) {
        const auto& [connect_packet, attempt, connack_timeout, ack_timeout, disconnect_timeout, maximum_packet_bytes,
                     session_expiry_interval, receive_maximum, most_unacknowledged, max_in_flight, topic_alias_maximum,
                     automatic_topic_aliases, keep_alive, max_renewal_filters, refusal_limit, on_ack_timeout,
                     on_invalid_message, clean_start, assume_session, resubscribe, republish_qos_2,
                     wants_problem_information, wants_response_information] = s;
        to.add(connect_packet);
        to.add(clean_start ? 1U : 0U);
        // Each test has one set of options.
        skip(attempt, connack_timeout, ack_timeout, disconnect_timeout, maximum_packet_bytes, session_expiry_interval,
             receive_maximum, most_unacknowledged, max_in_flight, topic_alias_maximum, automatic_topic_aliases,
             keep_alive, max_renewal_filters, refusal_limit, on_ack_timeout, on_invalid_message, assume_session,
             resubscribe, republish_qos_2, wants_problem_information, wants_response_information);
    }

    static void describe_events(const connection_events& e, description& to) {
        const auto& [events, front] = e;
        skip(events); // their number is described
        to.add(front);
    }

    static void describe_lasting(const lasting_state& s, const connector& c, description& to) {
        const auto& [out, in, subscriptions, aliases, client_id, expiry_interval, status, outcome] = s;
        skip(aliases, client_id); // the tests use no aliases, and CONNECT has the identifier
        to.add(expiry_interval);
        to.add(status);
        to.add(outcome);
        describe_outgoing(out, c.step() == connector_step::handshake, to);
        describe_incoming(in, to);
        describe_subscriptions(subscriptions, out.exchanges_, to);
    }

    static void describe_subscriptions(const subscription_registry& s, const exchange_table& exchanges,
                                       description& to) {
        const auto& [data, connection] = s;
        skip(connection); // it is only shown
        if (!data) return to.add(0U);
        const auto& [filters, requests, compact_at, own_requests, last_number] = *data;
        skip(requests, compact_at, own_requests, last_number); // the exchanges are described
        const auto& [entries, buckets, first_due, last_due] = filters;
        skip(buckets, first_due, last_due); // they follow from the entries: the tests have one filter
        to.add(entries.size());
        for (const filter_entry& e : entries) {
            const auto& [filter, identifier, decided, unanswered, options, granted_qos, standing, connection_number,
                         next_in_bucket, previous_due, next_due] = e;
            skip(filter, identifier, options, granted_qos, connection_number, next_in_bucket, previous_due, next_due);
            to.add(unanswered);
            to.add(standing);
            for (const exchange* x = exchanges.first(); x; x = exchanges.next(*x)) // which requests may decide
                if (x->is_request()) to.add(x->request_number < decided ? 1U : 0U);
        }
    }

    static void describe_outgoing(const outgoing& o, bool has_connect, description& to) {
        const auto& [log, exchanges, queue, indexes, version, awaited_publishes, withheld, unsent, compacted_to, sent,
                     resent] = o;
        skip(indexes, version, withheld, unsent, compacted_to, sent, resent);
        for (std::string_view part : pending_bytes(log)) {
            for (; !part.empty(); part.remove_prefix(next_frame(part)->size)) {
                const std::string_view packet = part.substr(0, next_frame(part)->size);
                if (has_connect)
                    to.add(packet);
                else
                    to.add_packet(packet);
            }
        }
        to.add(0U);
        to.add(awaited_publishes);
        to.add(exchanges.size());
        for (const exchange* e = exchanges.first(); e; e = exchanges.next(*e))
            describe_exchange(*e, log, to);
        describe_queue(queue, log, to);
    }

    static void describe_exchange(const exchange& e, const packet_log& log, description& to) {
        const auto& [id, previous, next, state, owner, transmission, earlier, in_lost_session, op, packet,
                     request_number, expires, expiry_counted_from, end, sent_at] = e;
        skip(previous, next, request_number, expires, expiry_counted_from, sent_at); // their order, the packet, time
        to.add_id(id);
        to.add(state);
        to.add(exchange_owner{owner});
        to.add(transmission_state{transmission});
        to.add(static_cast<unsigned>(earlier) * 4U | (in_lost_session ? 1U : 0U) |
               (e.is_sent() && end <= log.written() ? 2U : 0U));
        to.add(op);
        if (packet.size != 0) to.add_packet(log.view(packet));
    }

    static void describe_queue(const send_queue& q, const packet_log& log, description& to) {
        const auto& [options, acknowledged, at_most_once, completions, first_number, next_number, bytes,
                     at_most_once_bytes, messages, at_most_once_messages, gaps, indexes, dropped, expiry] = q;
        skip(options, first_number, next_number, indexes, dropped, expiry); // time, and what follows
        skip(bytes, at_most_once_bytes, messages, at_most_once_messages, gaps);
        to.add(acknowledged.size());
        for (std::size_t i = 0; i != acknowledged.size(); ++i)
            describe_message(acknowledged[i].op, acknowledged[i].packet, log, to);
        to.add(at_most_once.size());
        for (std::size_t i = 0; i != at_most_once.size(); ++i) {
            const queued_message& m = at_most_once[i];
            describe_message(m.op, m.packet, log, to);
            for (std::size_t j = 0; j != acknowledged.size(); ++j)
                to.add(acknowledged[j].number < m.number ? 1U : 0U);
        }
        to.add(completions.size());
        for (std::size_t i = 0; i != completions.size(); ++i)
            to.add(completions[i].op);
    }

    static void describe_message(op_id op, const packet_slice& packet, const packet_log& log, description& to) {
        to.add(op);
        if (packet.size == 0) return;
        // The first byte is enough. The identifier may still be one that the packet had before.
        to.add(static_cast<unsigned char>(log.view(packet).front()));
    }

    static void describe_incoming(const incoming& in, description& to) {
        const auto& [words, unreleased, doubted, first_token, session_start, doubt] = in;
        to.add(doubt);
        skip(words, unreleased, first_token, session_start); // tokens count the messages
        for (packet_id id = 1; id != 8; ++id)                // the broker of the tests uses only a few
            to.add((doubted.contains(id) ? 4U : 0U) | static_cast<unsigned>(in.state_of(id)));
        to.add(unreleased_of(in).size());
    }

    static void describe_connection(const connection& c, const lasting_state& lasting, description& to) {
        const auto& [sending, receiving, alive, received, reason, leaving, careful, first_packet_received, is_end_noted,
                     broker_keeps_session, is_blocked, ack_bytes, ack_mark, skip_bytes, blocked, connect_sent_at,
                     messages_before, authentication] = c;
        skip(careful, is_end_noted); // the tests that describe sessions have turned careful mode off
        skip(authentication, skip_bytes, ack_bytes, ack_mark, blocked, connect_sent_at, messages_before);
        to.add(is_blocked ? 1U : 0U);
        describe_transmission(sending, lasting.out, to);
        describe_receiver(receiving, lasting.in, to);
        const auto& [sent, heard, asked, stalled_since, ping_end, pings, interval, ping, reading] = alive;
        skip(sent, heard, asked, stalled_since, ping_end, interval, reading); // time, and what the session has, too
        to.add(pings.size());
        to.add(ping);
        to.add(received.bytes());
        to.add((reason ? 2U : 0U) | (leaving ? 16U : 0U) | (first_packet_received ? 4U : 0U) |
               (broker_keeps_session ? 8U : 0U));
    }

    static void describe_transmission(const transmission& t, const outgoing& out, description& to) {
        const auto& [limits, window, state, when_late, has_room, has_answers, watched, resend_cursor, in_flight,
                     ack_timeout, unwritten_packets, unwritten_messages, ack_deadline, answered_at, answered_end, late,
                     aliases] = t;
        // Each test has one set of limits. The exchanges know which packets are unwritten.
        skip(limits, window, when_late, ack_timeout, unwritten_packets, has_answers, watched, ack_deadline, answered_at,
             answered_end, late, aliases); // the tests that describe sessions use no aliases
        to.add(state);
        to.add(has_room ? 1U : 0U);
        to.add_id(resend_cursor);
        to.add(in_flight);
        to.add(unwritten_messages.size());
        for (std::size_t i = 0; i != unwritten_messages.size(); ++i)
            describe_message(unwritten_messages[i].op, unwritten_messages[i].packet, out.log(), to);
    }

    static void describe_receiver(const receiver& r, const incoming& in, description& to) {
        const auto& [due, aliases, rejected, repeated_ids, first_token, unacknowledged, most_unacknowledged, window,
                     window_state] = r;
        skip(aliases, first_token, most_unacknowledged, window, window_state); // the last only decides about an event
        to.add(rejected ? 1U : 0U); // the tests that describe sessions refuse no messages
        to.add(due.size());
        for (std::size_t i = 0; i != due.size(); ++i) {
            const auto& [id, exactly_once, released, repeated, refused] = due[i];
            to.add(repeated && !repeated_ids.contains(id) ? tern::packet_id{0} : id); // 0: it is not sent
            to.add((exactly_once ? 1U : 0U) | (released ? 2U : 0U) | (repeated ? 4U : 0U) | (refused ? 8U : 0U));
        }
        for (const unreleased_message* const m : unreleased_of(in)) {
            const auto& [id, removed, token, due_as] = *m;
            skip(removed, token);
            to.add(id);
            to.add(place_of(in, &r, due_as));
        }
        to.add(unacknowledged);
    }
};

} // namespace tern::detail
