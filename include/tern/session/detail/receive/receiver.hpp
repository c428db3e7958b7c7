// Receiving on one connection: PUBLISH and PUBREL. QoS 2 duplicates are dropped, topic aliases resolved, and
// acknowledgements sent in the order in which the messages came.
//
//     QoS 1   PUBLISH -> deliver; released -> PUBACK
//     QoS 2   PUBLISH -> deliver, the identifier is open; released -> PUBREC; PUBREL -> PUBCOMP, it is free
//             PUBLISH while open -> PUBREC in its turn, not delivered [MQTT-4.3.3-10]
//             PUBREL before PUBREC was sent: the broker cannot know that the message has arrived, an error
//
// Acknowledgements that are due belong to the connection: on the next one the broker sends again what is not
// acknowledged. A QoS 1 message is delivered again, and its owner may supersede the earlier copy. A QoS 2 message is
// not: its PUBREC follows when the application releases the message that was delivered.
#pragma once

#include "tern/codec/publish.hpp"
#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/detail/memory/packet_id_set.hpp"
#include "tern/session/detail/receive/incoming.hpp"
#include "tern/session/detail/receive/rejections.hpp"
#include "tern/session/event.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tern::detail {

/// The topic aliases that the broker has set on the connection [§3.3.2.3.4].
class incoming_aliases {
public:
    void set_maximum(std::uint16_t maximum) noexcept { maximum_ = maximum; }

    /// Sets the alias of a message that has a topic, or the topic of a message that has only an alias.
    TERN_INLINE errc resolve(message_view& message) {
        return message.properties.topic_alias ? resolve_alias(message) : errc::none;
    }

private:
    TERN_NOINLINE errc resolve_alias(message_view& message) {
        const std::size_t number = *message.properties.topic_alias;
        if (number == 0 || number > maximum_) return errc::invalid_topic_alias;
        if (number > topics_.size()) topics_.resize(number);
        std::string& topic = topics_[number - 1];
        if (!message.topic.empty() && message.topic != topic) {
            bytes_ += static_cast<std::uint32_t>(message.topic.size() - topic.size());
            if (bytes_ > most_bytes) return errc::topic_aliases_too_large;
            topic = message.topic;
        }
        if (topic.empty()) return errc::unknown_topic_alias;
        message.topic = topic;
        message.properties.topic_alias.reset(); // it has no meaning for the application
        return errc::none;
    }

    static constexpr std::uint32_t most_bytes = std::uint32_t{1} << 20U;

    std::uint32_t bytes_ = 0; // of all topics
    std::uint32_t maximum_ = 0;
    growing_array<std::string> topics_; // by their numbers less one; empty: the alias is not set
};

class receiver {
public:
    /// An acknowledgement that is due.
    struct ack {
        tern::packet_id packet_id = 0; // 0: nothing is due any more
        bool exactly_once : 1 = false; // PUBREC, otherwise PUBACK
        bool released : 1 = false;     // it may be sent
        bool repeated : 1 = false; // PUBREC has been sent before: it is due again while `repeated_` has the identifier
        bool refused : 1 = false;  // with a failure, because the message was not delivered. It is never released
    };

    /// Begins a connection on which the broker should have at most `window` messages unacknowledged, may have
    /// `most_unacknowledged`, and may use this number of aliases.
    void start(const incoming& lasting, std::uint32_t window, std::uint32_t most_unacknowledged,
               std::uint16_t alias_maximum) noexcept {
        window_ = window;
        most_unacknowledged_ = most_unacknowledged;
        aliases_.set_maximum(alias_maximum);
        first_token_ = lasting.first_token();
    }

    /// The connection is lost, and its acknowledgements are not sent. If this throws, it is to be called again.
    TERN_COLD void end_connection(incoming& lasting) {
        const auto is_new = [&](const ack& due) {
            return due.exactly_once && !due.released && !due.refused && !lasting.find_unreleased(due.packet_id);
        };
        std::size_t count = 0;
        for (std::size_t i = 0; i != due_.size(); ++i)
            count += is_new(due_[i]) ? 1U : 0U;
        lasting.reserve_unreleased(count);
        for (std::size_t i = 0; i != due_.size(); ++i)
            if (is_new(due_[i])) lasting.add_unreleased(due_[i].packet_id, token_at(i));
        for (std::size_t i = 0; i != due_.size(); ++i)
            if (due_[i].refused) forget_refused(lasting, due_[i]);
        first_token_ += due_.size();
        due_.clear(); // from now on the lasting state knows what is unreleased
        repeated_.clear();
        rejections_.reset();
        lasting.end_connection(first_token_);
    }

    /// PUBLISH. Sets `deliver`, which is false before, if the message is for the application, and then its token.
    TERN_INLINE errc on_publish(incoming& lasting, received& p, bool& deliver, message_token& token) {
        if (const errc error = aliases_.resolve(p); error != errc::none) return error;
        if (p.qos == qos::exactly_once) return on_exactly_once(lasting, p, deliver, token);
        if (p.qos == qos::at_least_once) return on_at_least_once(p.packet_id, deliver, token);
        deliver = true;
        return errc::none;
    }

    /// A message that is not delivered: its acknowledgement is a failure, in its turn. False if the message repeats one
    /// that was delivered, or if there are too many.
    TERN_COLD bool refuse(incoming& lasting, tern::packet_id id, qos level) {
        const bool exactly_once = level == qos::exactly_once;
        const incoming_state state = exactly_once ? lasting.state_of(id) : incoming_state::none;
        const bool is_new = state == incoming_state::none || state == incoming_state::earlier_connection;
        if (!is_new || unacknowledged_ == most_unacknowledged_) return false;
        due_.reserve(1);
        if (exactly_once) lasting.reserve_ids();
        ++unacknowledged_;
        if (exactly_once) lasting.set_state(id, state, incoming_state::pubrec_due);
        push({.packet_id = id, .exactly_once = exactly_once, .refused = true});
        return true;
    }
    /// The application refuses a message. The acknowledgement says so in its turn. A message of an earlier connection
    /// that has not come again is forgotten, and is new when it comes.
    TERN_COLD errc reject(incoming& lasting, message_token token, const rejection& answer) {
        const bool is_of_connection = static_cast<std::uint64_t>(token) >= lasting.first_token();
        if (unreleased_message* const m = lasting.find_unreleased(token)) {
            if (m->due_as == message_token::none) lasting.forget_unreleased(token);
            token = m->due_as;
        }
        ack* const due = find_due(token);
        if (!due) return is_of_connection ? errc::already_acknowledged : errc::none;
        if (due->released || due->refused) return errc::already_acknowledged;
        if (!rejections_) rejections_.emplace();
        rejections_->push(token, due->exactly_once ? answer.encode<pubrec>(due->packet_id)
                                                   : answer.encode<puback>(due->packet_id));
        due->refused = true;
        return errc::none;
    }
    bool has_rejections() const noexcept { return rejections_ && !rejections_->empty(); }
    TERN_COLD bool is_rejected(message_token token) noexcept {
        const ack* const due = find_due(token);
        return due && due->refused;
    }

    /// Whether its turn has come.
    bool is_refusal_next() const noexcept { return !due_.empty() && due_.front().refused; }
    ack refusal() const noexcept { return due_.front(); }
    /// Its packet, if the application has refused the message.
    std::string_view rejection_packet() const noexcept {
        return rejections_ ? rejections_->find(token_at(0)) : std::string_view{};
    }
    /// It has been sent. A PUBREC with a failure ends the exchange [§4.3.3].
    TERN_COLD void take_refusal(incoming& lasting) noexcept {
        forget_refused(lasting, due_.front());
        if (rejections_) rejections_->pop(token_at(0));
        --unacknowledged_;
        drop_ack();
    }

    /// PUBREL: the broker will not send the message again. Sets `known` if there was one.
    errc on_pubrel(incoming& lasting, tern::packet_id id, bool& known) noexcept {
        const incoming_state state = lasting.state_of(id);
        known = state != incoming_state::none;
        if (!known) return errc::none;
        if (state == incoming_state::pubrec_due) [[unlikely]] {
            if (!repeated_.contains(id)) return errc::unexpected_acknowledgement;
            repeated_.erase(id); // a PUBREC that is due once more, but waits for its turn, is useless now
        }
        if (state == incoming_state::earlier_connection)
            lasting.resolve_doubt(id);
        else
            --unacknowledged_;
        lasting.set_state(id, state, incoming_state::none);
        lasting.remove_unreleased(id);
        return errc::none;
    }

    /// The application is done with the message.
    void release(message_token token) noexcept {
        const std::uint64_t index = index_of(token); // without find_due: every message passes here
        if (index < due_.size()) due_[index & SIZE_MAX].released = true;
    }

    /// A QoS 1 message came again while the application had not released it. The newer copy is acknowledged instead.
    TERN_COLD void supersede(message_token token) noexcept {
        ack* const due = find_due(token);
        if (token == message_token::none || !due || due->released || due->refused || due->exactly_once) return;
        *due = {.released = true, .repeated = true}; // no PUBREC is due for the identifier 0
        --unacknowledged_;
    }

    /// The application could not take the message: it comes again on the next connection.
    void return_undelivered(incoming& lasting, message_token token) noexcept {
        ack* const due = find_due(token);
        if (token == message_token::none || !due || due->released) return;
        if (due->exactly_once) lasting.set_state(due->packet_id, incoming_state::pubrec_due, incoming_state::none);
        due->exactly_once = false;
    }

    /// Whether `update_window` may have an effect. To be called after the acknowledgements that are due have been sent.
    bool may_change_window() const noexcept {
        return due_.size() >= window_ || window_state_ == window_state::exhausted;
    }
    /// Returns whether the application now holds a whole window of messages, once until it holds less than half a
    /// window.
    TERN_COLD bool update_window() noexcept {
        const bool is_new = window_state_ == window_state::open && due_.size() >= window_;
        if (is_new) window_state_ = window_state::exhausted;
        if (due_.size() < (window_ + 1) / 2) window_state_ = window_state::open;
        return is_new;
    }

    /// Frees the memory that is not in use.
    void trim() noexcept {
        if (due_.empty()) due_.clear();
        repeated_.trim();
        if (!has_rejections()) rejections_.reset();
    }

    /// The next acknowledgement whose turn it is [MQTT-4.6.0-2, MQTT-4.6.0-3]. False if there is none.
    TERN_INLINE bool next_ack(ack& next) noexcept {
        for (; !due_.empty() && due_.front().released; drop_ack()) {
            next = due_.front();
            if (!next.repeated || repeated_.contains(next.packet_id)) [[likely]]
                return true;
        }
        return false;
    }
    /// The result of `next_ack` has been sent.
    TERN_INLINE void take_ack(incoming& lasting, const ack& sent) noexcept {
        if (sent.exactly_once) {
            lasting.set_state(sent.packet_id, incoming_state::pubrec_due, incoming_state::open);
            if (sent.repeated) [[unlikely]]
                repeated_.erase(sent.packet_id);
        } else {
            --unacknowledged_;
        }
        drop_ack();
    }

private:
    friend struct session_inspector;

    enum class window_state : std::uint8_t {
        open,      ///< the application may hold more messages
        exhausted, ///< it has held a whole window, and has not held less than half of it since
    };

    static void forget_refused(incoming& lasting, const ack& due) noexcept {
        if (!due.exactly_once) return;
        lasting.set_state(due.packet_id, incoming_state::pubrec_due, incoming_state::none);
        lasting.remove_unreleased(due.packet_id);
    }

    void drop_ack() noexcept {
        due_.drop_front();
        ++first_token_;
    }

    message_token token_at(std::size_t index) const noexcept {
        return static_cast<message_token>(first_token_ + index);
    }
    // The acknowledgement with the token, or null if it is not due any more.
    TERN_INLINE ack* find_due(message_token token) noexcept {
        const std::uint64_t index = index_of(token);
        return index < due_.size() ? &due_[index & SIZE_MAX] : nullptr;
    }
    std::uint64_t index_of(message_token token) const noexcept {
        return static_cast<std::uint64_t>(token) - first_token_;
    }
    // There must be room for it.
    TERN_INLINE message_token push(const ack& due) noexcept {
        due_.next_reserved() = due;
        return token_at(due_.size() - 1);
    }

    TERN_INLINE errc on_at_least_once(tern::packet_id id, bool& deliver, message_token& token) {
        if (unacknowledged_ == most_unacknowledged_) return errc::receive_maximum_exceeded;
        due_.reserve(1); // first: a message that is counted must be delivered
        ++unacknowledged_;
        token = push({.packet_id = id});
        deliver = true;
        return errc::none;
    }

    TERN_INLINE errc on_exactly_once(incoming& lasting, const received& p, bool& deliver, message_token& token) {
        const tern::packet_id id = p.packet_id;
        if (const incoming_state state = lasting.state_of(id); state != incoming_state::none) [[unlikely]]
            if (!lasting.free_doubted(id, p.dup)) return on_repetition(lasting, id, state);
        if (unacknowledged_ == most_unacknowledged_) return errc::receive_maximum_exceeded;
        due_.reserve(1);
        lasting.reserve_ids();
        ++unacknowledged_;
        lasting.set_state(id, incoming_state::none, incoming_state::pubrec_due);
        token = push({.packet_id = id, .exactly_once = true});
        deliver = true;
        return errc::none;
    }

    // A QoS 2 message comes again: its PUBREC is due when the message that was delivered has been released.
    TERN_NOINLINE errc on_repetition(incoming& lasting, tern::packet_id id, incoming_state state) {
        if (state == incoming_state::pubrec_due) return errc::none;
        if (state == incoming_state::earlier_connection) {
            if (unacknowledged_ == most_unacknowledged_) return errc::receive_maximum_exceeded;
            ++unacknowledged_;
        }
        due_.reserve(1);
        unreleased_message* const m = lasting.find_unreleased(id);
        if (!m) repeated_.reserve();
        lasting.set_state(id, state, incoming_state::pubrec_due);
        const message_token due = push({.packet_id = id, .exactly_once = true, .released = !m, .repeated = !m});
        if (m)
            m->due_as = due;
        else
            repeated_.insert(id);
        return errc::none;
    }

    ring<ack> due_; // in the order of arrival
    incoming_aliases aliases_;
    heap_optional<rejections> rejections_; // by the application
    packet_id_set repeated_;               // whose PUBREC is due once more, and whose PUBREL has not come
    std::uint64_t first_token_ = 1;        // of the first acknowledgement in `due_`
    std::uint32_t unacknowledged_ = 0;
    std::uint32_t most_unacknowledged_ = 65'535;
    std::uint32_t window_ = 65'535; // the Receive Maximum of the client
    window_state window_state_ = window_state::open;
};

} // namespace tern::detail
