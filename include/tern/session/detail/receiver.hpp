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
#include "tern/session/detail/packet_id_set.hpp"
#include "tern/session/detail/ring.hpp"
#include "tern/session/detail/topic_aliases.hpp"
#include "tern/session/event.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace tern::detail {

class receiver {
public:
    /// An acknowledgement that may be sent now.
    struct ack {
        tern::packet_id packet_id = 0;
        bool exactly_once = false; // PUBREC, otherwise PUBACK
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
            const due_ack& due = due_[i];
            if (due.packet.exactly_once && !due.released && !find_held(due.packet.packet_id))
                held_.push_back({due.packet.packet_id, token_at(i)});
        }
        first_token_ += due_.size();
        due_.clear();
        due_exactly_once_.clear();
        earlier_ = open_;
        unacknowledged_ = 0;
    }

    /// There is no session any more: nothing that came before can come again.
    void forget() noexcept {
        open_.clear();
        earlier_.clear();
        held_.clear();
    }

    /// Takes in a PUBLISH. `deliver` says whether it is for the application, then with its token.
    errc on_publish(publish& p, bool& deliver, message_token& token) {
        if (const errc error = aliases_.check(p.message); error != errc::none) return error;
        aliases_.on_received(p.message);
        deliver = p.message.qos == qos::at_most_once;
        return deliver ? errc::none : on_acknowledged_publish(p, deliver, token);
    }

    /// The same, for QoS 1 and 2.
    errc on_acknowledged_publish(const publish& p, bool& deliver, message_token& token) {
        const bool exactly_once = p.message.qos == qos::exactly_once;
        const bool again = exactly_once && open_.contains(p.packet_id);
        if (!again || earlier_.contains(p.packet_id)) {
            if (unacknowledged_ == receive_maximum_) return errc::receive_maximum_exceeded;
            ++unacknowledged_;
            if (again) earlier_.erase(p.packet_id);
        }
        due_.reserve(1); // a message must not be known and yet not delivered
        if (exactly_once) {
            due_exactly_once_.reserve();
            open_.reserve();
        }
        if (again) {
            if (due_exactly_once_.contains(p.packet_id)) return errc::none;
            held* const h = find_held(p.packet_id);
            token = push({{p.packet_id, true}, !h, !h});
            if (h) h->due_as = std::exchange(token, message_token::none);
            return errc::none;
        }
        if (exactly_once) open_.insert(p.packet_id);
        token = push({{p.packet_id, exactly_once}, false, false});
        deliver = true;
        return errc::none;
    }

    /// PUBREL: the broker will not send the message again. `known` says whether there was one.
    errc on_pubrel(tern::packet_id id, bool& known) noexcept {
        known = open_.contains(id);
        if (!known) return errc::none;
        if (due_exactly_once_.contains(id) && !withdraw(id)) return errc::unexpected_acknowledgement;
        open_.erase(id);
        drop_held(id);
        if (earlier_.contains(id))
            earlier_.erase(id);
        else
            --unacknowledged_;
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
        ack& packet = due_[index].packet;
        if (!std::exchange(packet.exactly_once, false)) return;
        open_.erase(packet.packet_id);
        due_exactly_once_.erase(packet.packet_id);
    }

    /// Takes out the next acknowledgement, if it is its turn [MQTT-4.6.0-2, MQTT-4.6.0-3].
    bool next_ack(ack& next) noexcept {
        while (!due_.empty() && due_.front().released) {
            next = due_.pop_front().packet;
            ++first_token_;
            if (next.packet_id == 0) continue; // withdrawn
            if (next.exactly_once)
                due_exactly_once_.erase(next.packet_id);
            else
                --unacknowledged_;
            return true;
        }
        return false;
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

    struct due_ack {
        ack packet;
        bool released = false;
        bool repeated = false; // PUBREC has been sent before
    };

    // A QoS 2 message of an earlier connection that was delivered, but not yet released.
    struct held {
        tern::packet_id packet_id = 0;
        message_token token = message_token::none;
        message_token due_as = message_token::none; // if it has come again on this connection
    };

    message_token token_at(std::size_t index) const noexcept {
        return static_cast<message_token>(first_token_ + index);
    }
    message_token push(const due_ack& due) {
        due_.push_back(due);
        if (due.packet.exactly_once) due_exactly_once_.insert(due.packet.packet_id);
        return token_at(due_.size() - 1);
    }

    held* find_held(tern::packet_id id) noexcept {
        const auto h =
            std::find_if(held_.begin(), held_.end(), [&](const held& each) { return each.packet_id == id; });
        return h == held_.end() ? nullptr : &*h;
    }
    void drop_held(tern::packet_id id) noexcept {
        if (const held* const h = find_held(id)) held_.erase(held_.begin() + (h - held_.data()));
    }

    // A PUBREC that is due once more, but must wait for its turn, is pointless when PUBREL has come
    // meanwhile.
    bool withdraw(tern::packet_id id) noexcept {
        for (std::size_t i = due_.size(); i-- != 0;) {
            due_ack& due = due_[i];
            if (!due.packet.exactly_once || due.packet.packet_id != id) continue;
            if (!due.repeated) return false;
            due.packet.packet_id = 0;
            due_exactly_once_.erase(id);
            return true;
        }
        return false;
    }

    ring<due_ack> due_;              // in order of arrival
    packet_id_set due_exactly_once_; // the identifiers of QoS 2 in it
    packet_id_set open_;             // QoS 2 identifiers before their PUBREL
    packet_id_set earlier_;          // those of them that have not come on this connection
    std::vector<held> held_;
    topic_aliases aliases_;
    std::uint64_t first_token_ = 1;
    std::uint32_t unacknowledged_ = 0;
    std::uint32_t receive_maximum_ = 65'535;
};

} // namespace tern::detail
