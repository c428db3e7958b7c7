// Incoming messages: QoS 2 duplicates are dropped, topic aliases resolved, acknowledgements sent in the order
// in which the messages came.
//
//     QoS 1   PUBLISH -> deliver; released -> PUBACK
//     QoS 2   PUBLISH -> deliver, the identifier is open; released -> PUBREC; PUBREL -> PUBCOMP, it is free
//             PUBLISH while open -> PUBREC in its turn, not delivered [MQTT-4.3.3-10]
//             PUBREL before PUBREC was sent: the broker cannot know that the message has arrived, an error
//
// Open identifiers belong to the session. Acknowledgements that are due belong to the connection: on the next
// one the broker sends again what it misses. A QoS 1 message is delivered anew. A QoS 2 message is not: it gets its
// PUBREC as soon as the one that was delivered is released.
#pragma once

#include "tern/codec/publish.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/detail/incoming_ids.hpp"
#include "tern/session/detail/ring.hpp"
#include "tern/session/detail/topic_aliases.hpp"
#include "tern/session/event.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tern::detail {

class receiver {
public:
    /// An acknowledgement that is due.
    struct ack {
        tern::packet_id packet_id = 0;
        bool exactly_once : 1 = false; // PUBREC, otherwise PUBACK
        bool released : 1 = false;     // it may be sent
        bool repeated : 1 = false;     // PUBREC has been sent before
    };

    /// A new connection, on which the broker may have so many messages unacknowledged and use so many
    /// aliases.
    void start(std::uint16_t receive_maximum, std::uint16_t alias_maximum) {
        receive_maximum_ = receive_maximum;
        aliases_.start(alias_maximum);
    }

    /// The connection is gone: its acknowledgements will not be sent.
    void stop() {
        for (held& h : held_)
            h.due_as = message_token::none;
        for (std::size_t i = 0; i != due_.size(); ++i) {
            const ack& due = due_[i];
            if (due.exactly_once && !due.released && !find_held(due.packet_id))
                held_.push_back({due.packet_id, token_at(i)});
        }
        first_token_ += due_.size();
        due_.clear();
        ids_.end_connection();
        unacknowledged_ = 0;
    }

    /// There is no session any more: nothing that came before can come again.
    void forget() noexcept {
        ids_.clear();
        held_.clear();
    }

    /// Takes in a PUBLISH. `deliver`, which is false before, says whether it is for the application, then with
    /// its token.
    errc on_publish(publish& p, bool& deliver, message_token& token) {
        if (const errc error = aliases_.check(p.message); error != errc::none) return error;
        aliases_.on_received(p.message);
        if (p.message.qos == qos::exactly_once) return on_exactly_once(p.packet_id, deliver, token);
        if (p.message.qos == qos::at_least_once) return on_at_least_once(p.packet_id, deliver, token);
        deliver = true;
        return errc::none;
    }

    /// PUBREL: the broker will not send the message again. `known` says whether there was one.
    errc on_pubrel(tern::packet_id id, bool& known) noexcept {
        const incoming_state state = ids_[id];
        known = state != incoming_state::none;
        if (!known) return errc::none;
        if (state == incoming_state::due && !withdraw(id)) return errc::unexpected_acknowledgement;
        if (state != incoming_state::earlier) --unacknowledged_;
        ids_.change(id, state, incoming_state::none);
        drop_held(id);
        return errc::none;
    }

    /// The application is done with the message.
    void release(message_token token) noexcept {
        if (token == message_token::none) return;
        if (!held_.empty()) [[unlikely]]
            token = release_held(token);
        const std::uint64_t index = static_cast<std::uint64_t>(token) - first_token_;
        if (index < due_.size()) due_[index].released = true;
    }

    /// The application could not take the message: it is to come again, on the next connection.
    void give_back(message_token token) noexcept {
        const std::uint64_t index = static_cast<std::uint64_t>(token) - first_token_;
        if (token == message_token::none || index >= due_.size()) return;
        ack& due = due_[index];
        if (due.released) return; // it has been taken after all
        if (due.exactly_once) ids_.change(due.packet_id, incoming_state::due, incoming_state::none);
        due.exactly_once = false;
    }

    /// Gives the next acknowledgement, if it is its turn [MQTT-4.6.0-2, MQTT-4.6.0-3].
    TERN_INLINE bool next_ack(ack& next) noexcept {
        for (; !due_.empty() && due_.front().released; drop_ack()) {
            next = due_.front();
            if (next.packet_id != 0) return true; // or else it was withdrawn
        }
        return false;
    }
    /// That one has been sent.
    TERN_INLINE void take_ack(const ack& next) noexcept {
        if (next.exactly_once)
            ids_.change(next.packet_id, incoming_state::due, incoming_state::open);
        else
            --unacknowledged_;
        drop_ack();
    }

private:
    friend struct session_inspector;

    // The acknowledgement for which a message of an earlier connection is due on this one.
    message_token release_held(message_token token) noexcept {
        const auto h =
            std::find_if(held_.begin(), held_.end(), [&](const held& each) { return each.token == token; });
        if (h == held_.end()) return token;
        const message_token due_as = h->due_as;
        held_.erase(h);
        return due_as;
    }

    // A QoS 2 message of an earlier connection that was delivered, but not yet released.
    struct held {
        tern::packet_id packet_id = 0;
        message_token token = message_token::none;
        message_token due_as = message_token::none; // if it has come again on this connection
    };

    void drop_ack() noexcept {
        due_.drop_front();
        ++first_token_;
    }

    message_token token_at(std::size_t index) const noexcept {
        return static_cast<message_token>(first_token_ + index);
    }
    // There must be room for it.
    TERN_INLINE message_token push(const ack& due) noexcept {
        due_.next_reserved() = due;
        return token_at(due_.size() - 1);
    }

    TERN_INLINE errc on_at_least_once(tern::packet_id id, bool& deliver, message_token& token) {
        if (unacknowledged_ == receive_maximum_) return errc::receive_maximum_exceeded;
        due_.reserve(1); // a message must not be known and yet not delivered
        ++unacknowledged_;
        token = push({.packet_id = id});
        deliver = true;
        return errc::none;
    }

    TERN_INLINE errc on_exactly_once(tern::packet_id id, bool& deliver, message_token& token) {
        if (const incoming_state state = ids_[id]; state != incoming_state::none) [[unlikely]]
            return on_repetition(id, state);
        if (unacknowledged_ == receive_maximum_) return errc::receive_maximum_exceeded;
        due_.reserve(1);
        ids_.reserve();
        ++unacknowledged_;
        ids_.change(id, incoming_state::none, incoming_state::due);
        token = push({.packet_id = id, .exactly_once = true});
        deliver = true;
        return errc::none;
    }

    // A QoS 2 message comes again: it is acknowledged as soon as the one that was delivered has been released.
    TERN_NOINLINE errc on_repetition(tern::packet_id id, incoming_state state) {
        if (state == incoming_state::due) return errc::none;
        if (state == incoming_state::earlier) {
            if (unacknowledged_ == receive_maximum_) return errc::receive_maximum_exceeded;
            ++unacknowledged_;
        }
        due_.reserve(1);
        ids_.change(id, state, incoming_state::due);
        held* const h = find_held(id);
        const message_token due =
            push({.packet_id = id, .exactly_once = true, .released = !h, .repeated = !h});
        if (h) h->due_as = due;
        return errc::none;
    }

    held* find_held(tern::packet_id id) noexcept {
        const auto h =
            std::find_if(held_.begin(), held_.end(), [&](const held& each) { return each.packet_id == id; });
        return h == held_.end() ? nullptr : &*h;
    }
    void drop_held(tern::packet_id id) noexcept {
        if (held_.empty()) return;
        if (const held* const h = find_held(id)) held_.erase(held_.begin() + (h - held_.data()));
    }

    // A PUBREC that is due once more, but must wait for its turn, is pointless when PUBREL has come
    // meanwhile.
    bool withdraw(tern::packet_id id) noexcept {
        for (std::size_t i = due_.size(); i-- != 0;) {
            ack& due = due_[i];
            if (!due.exactly_once || due.packet_id != id) continue;
            if (!due.repeated) return false;
            due.packet_id = 0;
            return true;
        }
        return false;
    }

    ring<ack> due_;    // in order of arrival
    incoming_ids ids_; // of QoS 2, before their PUBREL
    std::vector<held> held_;
    topic_aliases aliases_;
    std::uint64_t first_token_ = 1;
    std::uint32_t unacknowledged_ = 0;
    std::uint32_t receive_maximum_ = 65'535;
};

} // namespace tern::detail
