// The common part of publish and subscribe: making a client, connecting, reporting errors.
#pragma once

#include "support/arguments.hpp"
#include "tern/client/basic_client.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <string_view>
#include <system_error>

namespace example {

/// Makes a client, which prints its packets if `args.debug` is set.
tern::any_client make_client(const asio::any_io_executor& executor, const connection_arguments& args);

/// Connects, and reports an error if that fails.
asio::awaitable<exit_code> connect(tern::any_client& client, const tern::connect_options& options);

/// Prints the error and returns the exit code: `wrong_arguments` if the request was invalid, `code` otherwise.
exit_code report(std::string_view activity, std::error_code error, exit_code code);

/// Keeps Windows from translating line breaks in payloads.
void use_binary_streams();

} // namespace example
