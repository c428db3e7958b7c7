// TLS over another transport, with OpenSSL: `tern::basic_client<tern::tls>` is a client over TLS. Needs tern::tls of
// CMake, or OpenSSL 1.1.1 or newer.
#pragma once

#include "tern/fwd.hpp"
#include "tern/transport/detail/layer.hpp"
#include "tern/transport/detail/tls_machine.hpp"
#include "tern/transport/tcp.hpp"
#include "tern/transport/tls_context.hpp"
#include "tern/transport/tls_error.hpp"
#include "tern/transport/tls_options.hpp"

#include <utility>

namespace tern {

/// A transport that encrypts the bytes of another one, and verifies the server.
///
///     tern::basic_client<tern::tls> client(context);
///     client.transport().set_options({.ca_file = "ca.pem"});
///     client.async_connect({.host = "broker.example", .port = 8883}, token);
///
/// The default options trust the system's authorities and verify the host of the endpoint. The errors of the category
/// `tls_category()` say what was wrong. Those about certificates and options are permanent, so the client does not try
/// again. A server of TLS 1.3 that requires a client certificate reports its absence only after the handshake: the
/// attempt then ends in the phase `connection_phase::handshake`.
template <class Next>
class basic_tls : public detail::layer<Next, detail::tls_machine> {
public:
    using detail::layer<Next, detail::tls_machine>::layer;

    static constexpr bool is_encrypted = true; ///< for WebSocket above it: another default port

    template <class Executor>
    struct rebind_executor {
        using other = basic_tls<typename Next::template rebind_executor<Executor>::other>;
    };

    /// Sets the options of the next openings. The hook before each attempt may call it too, to renew what is not in a
    /// file. Sessions of connections with other options are not resumed.
    void set_options(tls_options options) { set_context(tls_context(std::move(options))); }

    /// The same, with options that transports share: their certificates are loaded once.
    void set_context(tls_context context) noexcept { this->settings().context = std::move(context); }

    /// Whether the present or the last connection has continued the TLS session of an earlier one.
    bool is_resumed() const noexcept { return this->machine() != nullptr && this->machine()->is_resumed(); }
};

} // namespace tern
