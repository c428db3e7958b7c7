// Publishing with a topic alias that the application has chosen.
//
// A message that is sent at once carries the alias. A message that waits, or is sent again, carries its topic.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/detail/send/outgoing.hpp"
#include "tern/session/detail/send/outgoing_aliases.hpp"
#include "tern/session/detail/send/publish.hpp"
#include "tern/session/detail/send/transmission.hpp"
#include "tern/session/event.hpp"
#include "tern/session/time.hpp"

#include <cstdint>

namespace tern::detail {

class alias_publishing {
public:
    /// `link` is null while there is no connection.
    alias_publishing(outgoing& out, transmission* link, outgoing_aliases& aliases) noexcept
        : out_(out)
        , link_(link)
        , aliases_(aliases) {}

    TERN_COLD errc publish(const message_view& message, time_point expires, op_id op, time_point now) {
        if (out_.version() == protocol_version::v3_1_1) return errc::requires_v5; // not only when it is encoded
        if (static_cast<unsigned>(message.qos) > 2) return errc::invalid_qos;
        const std::uint16_t number = *message.properties.topic_alias;
        const bool acknowledged = message.qos != qos::at_most_once;
        const bool at_once = link_ && publishing(out_, *link_).sends_checked_at_once(acknowledged);
        if (number == 0 || (at_once && !is_free(number))) return errc::invalid_topic_alias; // [MQTT-3.2.2-17]
        message_view sent = message;
        sent.topic = aliases_.topic_of(message);
        sent.properties.topic_alias.reset();
        if (sent.topic.empty()) return errc::unknown_topic_alias;
        aliases_.reserve(message);
        if (at_once && !link_->aliases) link_->aliases.emplace(std::uint16_t{0}, link_->limits.maximum_packet_bytes);
        const errc error = at_once ? publishing(out_, *link_, number).publish_any(sent, expires, op, now)
                                   : publishing::send_or_queue(out_, link_, sent, expires, op, now);
        if (error == errc::none) aliases_.remember(message);
        return error;
    }

private:
    // Whether the broker accepts the alias, and the client does not use it itself.
    bool is_free(std::uint16_t number) const noexcept {
        return number <= link_->limits.topic_alias_maximum && (!link_->aliases || number > link_->aliases->own());
    }

    outgoing& out_;
    transmission* link_;
    outgoing_aliases& aliases_;
};

} // namespace tern::detail
