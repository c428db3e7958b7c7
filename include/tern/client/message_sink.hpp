// An object that sees each received message before the client delivers it.
#pragma once

#include "tern/session/event.hpp"

#include <cstdint>

namespace tern {

/// What a sink does with a received message.
enum class message_route : std::uint8_t {
    finished, ///< The sink is done with the message: the client acknowledges it.
    held,     ///< The sink has the message. It calls `acknowledge` of the client later, whatever the connection's mode.
    passed,   ///< The message is not for the sink: the client delivers it as it does without a sink.
};

/// Why a client calls its sink no longer.
enum class client_end : std::uint8_t {
    destroyed,         ///< The client is destroyed. Its executor still calls handlers.
    context_shut_down, ///< The execution context is destroyed. It calls no more handlers.
    replaced,          ///< The client gets another sink, or none. During the call the sink may still acknowledge.
};

/// Sees each received message before the client delivers it, and each connection event. `message_router` is one.
///
/// The client calls these functions while it processes packets. They must not call functions of the application, and of
/// the client only `acknowledge`.
class message_sink {
public:
    message_sink() = default;
    message_sink(const message_sink&) = delete;
    message_sink& operator=(const message_sink&) = delete;
    virtual ~message_sink() = default;

    /// A message was received. It borrows its contents, which are valid during the call. If this throws
    /// `std::bad_alloc`, the connection ends, and a message of QoS 1 or 2 comes again on the next one.
    virtual message_route on_message(const received& message) = 0;
    /// Whether the sink can take more messages. The client asks after each message that the sink has held, and after
    /// each acknowledgement.
    virtual delivery wanted_delivery() const noexcept = 0;
    /// The connection has changed.
    virtual void on_event(const connection_event_view& event) noexcept = 0;
    /// The client calls the sink no longer. The sink must not use the client after this call.
    virtual void on_client_end(client_end end) noexcept = 0;
};

} // namespace tern
