// Publishing with a topic alias that the application has chosen.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/detail/send/outgoing.hpp"
#include "tern/session/detail/send/outgoing_aliases.hpp"
#include "tern/session/detail/send/publish.hpp"
#include "tern/session/detail/send/transmission.hpp"
#include "tern/session/event.hpp"
#include "tern/session/time.hpp"

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
        const bool acknowledged = message.qos != qos::at_most_once;
        const bool at_once = link_ && publishing(out_, *link_).sends_checked_at_once(acknowledged);
        if (const errc error = aliases_.validate(message, at_once); error != errc::none)
            return error; // [MQTT-3.2.2-17]
        aliases_.reserve(message, out_.log().written());
        const packet_log::position before = out_.log().queued();
        const message_view sent = aliases_.to_send(message, at_once);
        const errc error = publishing::send_or_queue(out_, link_, sent, expires, op, now);
        if (error == errc::none) aliases_.on_sent(message, at_once, before);
        return error;
    }

private:
    outgoing& out_;
    transmission* link_;
    outgoing_aliases& aliases_;
};

} // namespace tern::detail
