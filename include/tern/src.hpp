// The source of the compiled form: include it in exactly one source file of a program, and compile all of its files
// with TERN_SEPARATE_COMPILATION. The CMake target tern::compiled does that.
//
// With ASIO_SEPARATE_COMPILATION this is Asio's source, too. If another library of the program has that already, define
// TERN_WITHOUT_ASIO_SOURCE here.
#pragma once

// Asio looks at macros of the standard library without including it. It has to find the same ones here as in a file
// that includes another header first: otherwise one allocates with std::aligned_alloc, and the other releases with
// delete.
#include <cstddef>

#if !defined(TERN_SEPARATE_COMPILATION)
#error "Compile this file and all that use Tern with TERN_SEPARATE_COMPILATION"
#endif

#include <asio/detail/config.hpp>

#if defined(ASIO_SEPARATE_COMPILATION) && !defined(TERN_WITHOUT_ASIO_SOURCE)
#include <asio/impl/src.hpp>
#endif

#include "tern/client/any_client.hpp"
#include "tern/client/client.hpp"
#include "tern/client/detail/build_settings.hpp"
#include "tern/client/detail/delivery/event_log_lines.hpp"
#include "tern/client/detail/make_engine.hpp"
#include "tern/client/detail/packet_tap.hpp"
#include "tern/transport/any.hpp"
#include "tern/transport/detail/lookup_pool.hpp"
#include "tern/transport/detail/native_socket_options.hpp"
#include "tern/transport/tcp.hpp"

namespace tern::detail {

template std::shared_ptr<engine_base<asio::any_io_executor>>
make_engine<tcp, asio::any_io_executor>(const asio::any_io_executor& executor);
template std::shared_ptr<engine_base<asio::any_io_executor>>
make_engine<any_transport, asio::any_io_executor>(const asio::any_io_executor& executor);
template std::shared_ptr<engine_base<asio::any_io_executor>>
make_engine_on<any_transport, asio::any_io_executor>(any_transport transport);
template std::shared_ptr<tap> make_packet_tap<any_packet>(std::function<void(packet_direction, const any_packet&)>);
template std::shared_ptr<engine_base<asio::any_io_executor>> make_engine_on<tcp, asio::any_io_executor>(tcp transport);

} // namespace tern::detail

namespace tern::library_built_with {

const char TERN_BUILD_SETTINGS = 0;

} // namespace tern::library_built_with
