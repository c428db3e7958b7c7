// What publish and subscribe have in common: how they connect, and how they say what went wrong.
#pragma once

#include "support/arguments.hpp"
#include "tern/client/basic_client.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <string_view>
#include <system_error>

namespace example {

/// A client that shows its packets if `debug` was asked for.
tern::client make_client(const asio::any_io_executor& executor, const connection_arguments& args);

/// Connects; says why not, if it fails.
asio::awaitable<exit_code> connect(tern::client& client, const tern::connect_options& options);

/// Says what went wrong. What was asked for and cannot be sent is the fault of the arguments.
exit_code report(std::string_view doing, std::error_code error, exit_code code);

/// Payloads are bytes: Windows must not translate line ends in them.
void use_binary_streams();

} // namespace example
