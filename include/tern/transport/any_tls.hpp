// The schemes of `any_transport` that need TLS. Including this header provides them in the whole program.
#pragma once

#include "tern/detail/schemes.hpp"
#include "tern/fwd.hpp"
#include "tern/transport/any.hpp"
#include "tern/transport/detail/any_stream.hpp"
#include "tern/transport/proxy.hpp"
#include "tern/transport/tcp.hpp"
#include "tern/transport/tls.hpp"
#include "tern/transport/tls_context.hpp"
#include "tern/transport/tls_options.hpp"
#include "tern/transport/websocket.hpp"

#include <asio/any_io_executor.hpp>

#include <memory>
#include <utility>

namespace tern::detail {

/// Options that many clients share, see `tls_context`.
inline void set_option(any_options& all, tls_context context) {
    all.tls = std::make_shared<const tls_context>(std::move(context));
}
inline void set_option(any_options& all, tls_options options) {
    set_option(all, tls_context(std::move(options)));
}

template <class Next>
void configure(basic_tls<Next>& transport, const any_options& options) {
    if (options.tls) transport.set_context(*static_cast<const tls_context*>(options.tls.get()));
    configure(transport.next_layer(), options);
}

template <class Executor>
std::unique_ptr<any_stream<Executor>> make_tls_stream(scheme_kind kind, const Executor& executor) {
    using encrypted = basic_tls<basic_proxy<basic_tcp<Executor>>>;
    if (kind == scheme_kind::tls) return std::make_unique<any_stream_of<encrypted>>(executor);
    return std::make_unique<any_stream_of<basic_websocket<encrypted>>>(executor);
}

#if defined(TERN_SEPARATE_COMPILATION) // tern::compiled_tls
extern template std::unique_ptr<any_stream<asio::any_io_executor>>
make_tls_stream<asio::any_io_executor>(scheme_kind kind, const asio::any_io_executor& executor);
#endif

/// Provides the schemes on this executor. Call it before the first client is made.
template <class Executor>
bool provide_tls_schemes() noexcept {
    make_secure_stream<Executor> = &make_tls_stream<Executor>;
    return true;
}

// Runs before `main`.
inline const bool tls_schemes_are_provided = provide_tls_schemes<asio::any_io_executor>();

} // namespace tern::detail
