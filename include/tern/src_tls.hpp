// The source of the compiled form of TLS: include it in exactly one source file of a program that includes
// `tern/client/any_client_tls.hpp`, beside the one with `tern/src.hpp`. The CMake target tern::compiled_tls does that.
#pragma once

#if !defined(TERN_SEPARATE_COMPILATION)
#error "Compile this file and all that use Tern with TERN_SEPARATE_COMPILATION"
#endif

#include "tern/client/any_client_tls.hpp"

namespace tern::detail {

template std::unique_ptr<any_stream<asio::any_io_executor>>
make_tls_stream<asio::any_io_executor>(scheme_kind kind, const asio::any_io_executor& executor);

} // namespace tern::detail
