// The client, for files that construct one over TCP. It includes the engine, or in the compiled form its declaration.
#pragma once

#if defined(TERN_SEPARATE_COMPILATION)

#include "tern/client/basic_client.hpp"
#include "tern/client/detail/build_settings.hpp"
#include "tern/client/detail/engine_base.hpp"
#include "tern/fwd.hpp"

#include <asio/any_io_executor.hpp>

#include <memory>

namespace tern::detail {

extern template std::shared_ptr<engine_base<asio::any_io_executor>>
make_engine<tcp, asio::any_io_executor>(const asio::any_io_executor& executor);
extern template std::shared_ptr<engine_base<asio::any_io_executor>>
make_engine_on<tcp, asio::any_io_executor>(tcp transport);

} // namespace tern::detail

#else

#include "tern/client/engine.hpp"
#include "tern/transport/tcp.hpp"

#endif
