// The client that is measured: over TCP, or over TLS or WebSocket if the program is built for them.
#ifndef TERN_BENCHMARKS_SUPPORT_CLIENT_HPP
#define TERN_BENCHMARKS_SUPPORT_CLIENT_HPP

#include "support/bench.hpp"
#include "tern/tern.hpp"

#if defined(TERN_BENCHMARKS_TLS)
#include "tern/transport/tls.hpp"
#elif defined(TERN_BENCHMARKS_WEBSOCKET)
#include "tern/transport/websocket.hpp"
#endif

namespace bench {

#if defined(TERN_BENCHMARKS_TLS)

using client = tern::basic_client<tern::tls>;

// All clients share their options, and so one SSL_CTX.
inline void prepare(client& c, const options& o) {
    static const tern::tls_context shared({.ca_file = o.ca});
    c.transport().set_context(shared);
}

#elif defined(TERN_BENCHMARKS_WEBSOCKET)

using client = tern::basic_client<tern::websocket>;
inline void prepare(client&, const options&) {}

#else

using client = tern::client;
inline void prepare(client&, const options&) {}

#endif

} // namespace bench

#endif
