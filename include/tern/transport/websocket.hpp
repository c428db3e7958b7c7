// WebSocket, as a layer over another transport.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/fwd.hpp"
#include "tern/transport/concept.hpp"
#include "tern/transport/detail/layer.hpp"
#include "tern/transport/detail/websocket_machine.hpp"
#include "tern/transport/tcp.hpp"
#include "tern/transport/websocket_error.hpp"
#include "tern/transport/websocket_options.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace tern {

namespace detail {

/// Whether the bytes of a transport are encrypted, which decides on the default port of a URL.
template <class T>
inline constexpr bool is_encrypted = requires { requires T::is_encrypted; };

} // namespace detail

/// MQTT in the binary messages of a WebSocket connection (RFC 6455, MQTT 5.0 §6) over the transport below.
///
/// `endpoint::path` is the path of the resource with its query, by default `/mqtt`. The server must select the
/// subprotocol `mqtt`. The upgrade has the time limit `open_timeouts::upgrade` and the phase
/// `connection_phase::upgrading`.
///
///     tern::basic_client<tern::websocket> client{context};
///     client.transport().set_options({.headers = {{"Authorization", "Bearer " + token}}});
///     co_await client.async_connect({.host = "broker.example", .port = 80, .path = "/mqtt"}, asio::use_awaitable);
///
/// Errors of the upgrade are an HTTP status of the category "tern.http", after which `refusal()` has the details, or a
/// `websocket_errc`. A message that violates a rule ends the connection with its `websocket_errc`. Close from the
/// server is `asio::error::eof`, as the end of any transport.
///
/// The layer answers pings of the server. They are no signs of life of a broker behind a proxy.
template <class Next>
class basic_websocket : public detail::layer<Next, detail::websocket_machine> {
    using base = detail::layer<Next, detail::websocket_machine>;

public:
    /// The same transport on another executor.
    template <class Other>
    struct rebind_executor {
        using other = basic_websocket<typename Next::template rebind_executor<Other>::other>;
    };

    explicit basic_websocket(const typename base::executor_type& executor) : basic_websocket(Next(executor)) {}
    explicit basic_websocket(Next next) : base(std::move(next)) {
        if constexpr (detail::is_encrypted<Next>) this->settings().default_port = 443;
        if constexpr (seeded_transport<Next>) this->settings().seed = seed_from(this->seed());
    }

    /// Sets the options of later connections. They may change for each attempt, in the hook that prepares it.
    TERN_COLD void set_options(websocket_options options) { this->settings().options = std::move(options); }

    /// The answer of the server if it refused the last upgrade. A redirect is not followed.
    TERN_COLD websocket_refusal refusal() const {
        return this->machine() ? this->machine()->refusal() : websocket_refusal();
    }

private:
    // A test's randomness makes its bytes repeatable.
    static detail::mask_seed seed_from(std::uint64_t number) noexcept {
        return {static_cast<std::uint32_t>(number), static_cast<std::uint32_t>(number >> 32U)};
    }
};

} // namespace tern
