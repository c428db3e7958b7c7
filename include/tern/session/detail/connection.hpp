// One connection: made when the transport is open, destroyed when it is lost. Nothing of it can be left over.
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/detail/authentication_state.hpp"
#include "tern/session/detail/careful_batch.hpp"
#include "tern/session/detail/keep_alive.hpp"
#include "tern/session/detail/receive/receiver.hpp"
#include "tern/session/detail/send/transmission.hpp"
#include "tern/session/event.hpp"
#include "tern/session/read_buffer.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace tern::detail {

/// Since when the owner has not taken the next message.
struct blocked_state {
    time_point since;
    time_point deadline;      ///< when the operations that have waited too long end
    std::uint64_t number = 0; ///< of the first queued message that may wait longer
};

/// The application leaves, but accepted messages go before DISCONNECT.
struct leaving_state {
    std::string disconnect;    // the packet
    bool keeps_session = true; // once it is written
    time_point deadline;       // it must be written by then
};

struct connection {
    transmission sending;                   ///< the broker's limits, the window, what is not acknowledged
    receiver receiving;                     ///< the acknowledgements that are due
    keep_alive alive;                       ///< pings
    receive_buffer received;                ///< bytes that are not decoded yet
    heap_optional<connection_event> reason; ///< the broker's words in DISCONNECT, or in a CONNACK that refuses
    heap_optional<leaving_state> leaving;
    heap_optional<careful_batch> careful; ///< in state `careful`, and until the connection ends
    bool first_packet_received = false;   ///< which should be CONNACK
    bool is_end_noted = false;            ///< by careful mode
    bool broker_keeps_session = false;    ///< when the connection ends, as CONNACK or DISCONNECT have it
    bool is_blocked = false;              ///< a QoS 1 or 2 message is next that the owner cannot take
    std::uint32_t ack_bytes = 0;          ///< of acknowledgements that were queued since `ack_mark`
    packet_log::position ack_mark = 0;    ///< a position in the bytes to be written
    std::size_t skip_bytes = 0;           ///< the rest of a message that is too large
    heap_optional<blocked_state> blocked;
    time_point connect_sent_at;
    std::uint64_t messages_before = 0; ///< how many messages were sent before the connection

    /// If CONNECT has an authentication method.
    heap_optional<authentication_state> authentication;

    /// Whether CONNACK stays in the receive buffer until the owner has accepted the broker.
    bool holds_connack() const noexcept {
        return sending.state == send_state::awaiting_connack && authentication &&
               authentication->step == authentication_progress::verifying;
    }

    /// Drops received bytes of a message that is skipped.
    TERN_COLD void skip_received() noexcept {
        const std::size_t count = (std::min)(skip_bytes, received.bytes().size());
        received.consume(count);
        skip_bytes -= count;
    }

    /// Frees the memory that is not in use.
    TERN_COLD void trim() noexcept {
        sending.trim();
        receiving.trim();
        alive.trim();
        received.trim();
    }
};

} // namespace tern::detail
