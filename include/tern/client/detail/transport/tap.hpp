// Shows the packets of a connection to an observer.
//
// The engine sees only the base class, and the decoder of all packets is compiled only where a tap is made.
#pragma once

#include "tern/codec/any_packet.hpp"
#include "tern/detail/declare.hpp"
#include "tern/types.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

namespace tern::detail {

/// What the engine tells of a connection.
class tap {
public:
    tap() = default;
    tap(const tap&) = delete;
    tap& operator=(const tap&) = delete;
    virtual ~tap() = default;

    /// A connection begins. Before the first, and after bytes that are no packet, nothing is shown.
    virtual void start() noexcept = 0;

    void on_received(std::string_view bytes) { see(packet_direction::received, bytes); }

    /// The first `count` bytes of these pieces were sent.
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

/// Makes the tap that decodes packets. No function: no tap.
TERN_DECLARE std::unique_ptr<tap> make_packet_tap(std::function<void(packet_direction, const any_packet&)> observer);

} // namespace tern::detail
