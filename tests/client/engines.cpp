// The engines of the clients that several files use, compiled once.
#include "client_test.hpp"
#include "network_test.hpp"
#include "tern/client/engine.hpp"

template std::shared_ptr<tern::detail::engine_base<asio::any_io_executor>>
    tern::detail::make_engine_on<probe, asio::any_io_executor>(probe);
template std::shared_ptr<tern::detail::engine_base<asio::any_io_executor>>
    tern::detail::make_engine_on<tern::testing::link, asio::any_io_executor>(tern::testing::link);
