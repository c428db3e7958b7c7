// A transport that passes each packet to an observer, and its bytes to the transport below.
//
// It is also an example of a custom transport: a client runs on any class with these members.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/transport/any.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/buffer.hpp>
#include <asio/compose.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>

namespace example {

/// From the client's point of view.
enum class direction { sent, received };

/// Is called with each packet. The packet is a view that is valid during the call only.
using packet_observer = std::function<void(direction, const tern::any_packet&)>;

/// Decodes a copy of the bytes. Without an observer it does nothing but forward.
class tap {
public:
    using executor_type = asio::any_io_executor;

    template <class>
    struct rebind_executor {
        using other = tap;
    };

    explicit tap(const executor_type& executor, packet_observer observer = {})
        : next_(executor)
        , observer_(std::move(observer)) {}

    executor_type get_executor() noexcept { return next_.get_executor(); }
    tern::any_transport& next_layer() noexcept { return next_; }

    template <class Token>
    auto async_open(const tern::endpoint& where, const tern::open_timeouts& timeouts, Token&& token) {
        sent_.clear();
        received_.clear();
        return next_.async_open(where, timeouts, std::forward<Token>(token));
    }

    tern::connection_phase opening_phase() const noexcept { return next_.opening_phase(); }

    template <class Token>
    auto async_read_some(asio::mutable_buffer buffer, Token&& token) {
        auto read = [this, buffer, started = false](auto& self, std::error_code error = {},
                                                    std::size_t size = 0) mutable {
            if (!std::exchange(started, true)) return next_.async_read_some(buffer, std::move(self));
            observe(direction::received, received_, {static_cast<const char*>(buffer.data()), size});
            self.complete(error, size);
        };
        return asio::async_compose<Token, void(std::error_code, std::size_t)>(std::move(read), token, get_executor());
    }

    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        auto write = [this, buffers, started = false](auto& self, std::error_code error = {},
                                                      std::size_t size = 0) mutable {
            if (!std::exchange(started, true)) return next_.async_write_some(buffers, std::move(self));
            for (std::size_t left = size; const asio::const_buffer part : buffers) {
                const std::size_t written = std::min(left, part.size());
                observe(direction::sent, sent_, {static_cast<const char*>(part.data()), written});
                left -= written;
            }
            self.complete(error, size);
        };
        return asio::async_compose<Token, void(std::error_code, std::size_t)>(std::move(write), token, get_executor());
    }

    void shutdown_send() noexcept { next_.shutdown_send(); }
    void close() noexcept { next_.close(); }

private:
    // Bytes arrive in pieces of any size: `pending` holds the beginning of an incomplete packet.
    void observe(direction direction, std::string& pending, std::string_view bytes) {
        if (!observer_) return;
        pending += bytes;
        std::size_t done = 0;
        for (;;) {
            const auto found = tern::next_frame(std::string_view(pending).substr(done));
            if (!found || !found->complete) break; // the client detects errors and handles them
            const auto packet = tern::decode(found->frame, version_);
            if (!packet) break;
            if (const auto* const connect = std::get_if<tern::connect>(&*packet)) version_ = connect->version;
            observer_(direction, *packet);
            done += found->size;
        }
        pending.erase(0, done);
    }

    tern::any_transport next_;
    packet_observer observer_;
    tern::protocol_version version_ = tern::protocol_version::v5; // until CONNECT determines it
    std::string sent_;
    std::string received_;
};

} // namespace example
