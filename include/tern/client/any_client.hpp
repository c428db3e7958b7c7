// `tern::any_client`, for files that construct one: the client whose transport is chosen by the scheme of the endpoint,
// which is usually that of a URL. The schemes with TLS are in `any_client_tls.hpp`.
//
//     const auto url = tern::broker_url::parse("unix:/run/mosquitto.sock");
//     tern::any_client client{context};
//     client.async_connect(url->options({.client_id = "sensor-1"}), token);
//
// In the compiled form, a file that sets options of the transport includes `tern/transport/any.hpp`, too.
#pragma once

#include "tern/fwd.hpp"
#include "tern/url.hpp"

#if defined(TERN_SEPARATE_COMPILATION)

#include "tern/client/basic_client.hpp"
#include "tern/client/detail/build_settings.hpp"
#include "tern/client/detail/engine_base.hpp"

#include <asio/any_io_executor.hpp>

#include <memory>

namespace tern::detail {

extern template std::shared_ptr<engine_base<asio::any_io_executor>>
make_engine<any_transport, asio::any_io_executor>(const asio::any_io_executor& executor);
extern template std::shared_ptr<engine_base<asio::any_io_executor>>
make_engine_on<any_transport, asio::any_io_executor>(any_transport transport);

} // namespace tern::detail

#else

#include "tern/client/engine.hpp"
#include "tern/transport/any.hpp"

#endif
