// Passes the packets of a connection to an observer.
//
// The engine uses only the base class. The decoder of all packets is compiled only in files that make a tap.
#pragma once

#include "tern/codec/any_packet.hpp"
#include "tern/types.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

namespace tern::detail {

/// The observer of a connection's bytes, as the engine sees it.
class tap {
public:
    tap() = default;
    tap(const tap&) = delete;
    tap& operator=(const tap&) = delete;
    virtual ~tap() = default;

    /// Starts with a new connection. Before the first connection, and after bytes that form no valid packet, the tap is
    /// silent.
    virtual void start() noexcept = 0;
    /// Becomes silent for good. The observer may call this.
    virtual void stop() noexcept = 0;

    void on_received(std::string_view bytes) { see(packet_direction::received, bytes); }

    /// Observes that the first `count` bytes of these pieces were sent.
    template <class Pieces>
    void on_sent(const Pieces& pieces, std::size_t count) {
        for (const std::string_view piece : pieces) {
            if (count == 0) return;
            const std::string_view sent = piece.substr(0, count);
            see(packet_direction::sent, sent);
            count -= sent.size();
        }
    }

private:
    virtual void see(packet_direction where, std::string_view bytes) = 0;
};

/// Makes the tap that decodes packets. For an empty function it returns null.
template <class AnyPacket>
std::shared_ptr<tap> make_packet_tap(std::function<void(packet_direction, const AnyPacket&)> observer);

} // namespace tern::detail
