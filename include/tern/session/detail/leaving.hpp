// Leaving: DISCONNECT, behind the messages that were accepted before.
#pragma once

#include "tern/codec/control.hpp"
#include "tern/codec/packet.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/detail/run.hpp"
#include "tern/session/detail/send/resend.hpp"
#include "tern/session/detail/session_core.hpp"
#include "tern/session/time.hpp"

#include <cstddef>
#include <string>
#include <utility>

namespace tern::detail {

class leaving {
public:
    explicit leaving(session_core& core) noexcept : s_(core) {}

    /// The application leaves: sends DISCONNECT behind everything that was sent before. A broker that has received the
    /// whole of CONNECT would otherwise publish the will.
    TERN_COLD errc begin(const disconnect& packet) {
        const auto size = encoded_size(packet, s_.version());
        if (!size) return size.error();
        if (is_for_server_only(packet.reason_code)) return errc::invalid_reason_code; // [MQTT-3.14.2-1]
        if (packet.properties.server_reference) return errc::property_not_allowed;
        if (!s_.connector.is(connector_step::connected) && !is_connect_written()) {
            run(s_).stop({});
            return errc::none;
        }
        if (const errc error = s_.link->sending.limits.check_size(*size); error != errc::none) return error;
        const auto expiry = packet.properties.session_expiry_interval;
        if (expiry && expiry->count() != 0 && s_.settings.session_expiry_interval == 0)
            return errc::invalid_property_value; // CONNECT has said 0 [§3.14.2.2.2]
        if (s_.connector.is(connector_step::handshake)) {
            s_.send(packet);
            s_.connector.stop_run();
            s_.close_after_flush({});
            return errc::none;
        }
        accept_nothing_more(packet, *size);
        go_on();
        return errc::none;
    }

    /// Sends DISCONNECT when no accepted message can be sent any more, or when half the time is over: the other half is
    /// for the packet that is being written.
    TERN_COLD void go_on() {
        connection& link = *s_.link;
        const bool is_over = s_.now >= s_.connector.deadline();
        if (!is_over && resending(s_.lasting.out, link.sending).can_send_waiting()) return;
        const leaving_state& state = *link.leaving;
        s_.log().queue(s_.log().copy(state.disconnect));
        link.broker_keeps_session = state.keeps_session;
        link.sending.state = send_state::closed;
        s_.connector.flush({}, state.deadline);
    }

private:
    // Acknowledgements that are due go out.
    TERN_COLD void accept_nothing_more(const disconnect& packet, std::size_t size) {
        connection& link = *s_.link;
        std::string bytes(size, '\0');
        (void)encode(packet, s_.version(), bytes);
        const auto expiry = packet.properties.session_expiry_interval;
        const auto time = s_.settings.disconnect_timeout;
        s_.send_acks();
        link.leaving.emplace(std::move(bytes), expiry ? expiry->count() != 0 : link.broker_keeps_session,
                             time.count() == 0 ? (time_point::max)() : s_.now + time);
        link.sending.state = send_state::leaving;
        s_.connector.stop_run();
        s_.connector.leave_until(time.count() == 0 ? (time_point::max)() : s_.now + time / 2);
        if (link.careful) s_.connector.leave_until(s_.now); // not one at a time
    }

    // Whether CONNECT was sent whole, and the broker has not answered it.
    bool is_connect_written() const noexcept {
        return s_.connector.is(connector_step::handshake) && s_.link->sending.answered_end <= s_.log().written();
    }

    session_core& s_;
};

} // namespace tern::detail
