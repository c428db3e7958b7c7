#include "support/tool.hpp"

#include "tern/client/any_client.hpp"
#include "tern/format.hpp"

#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <fmt/format.h>

#include <cstdio>
#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#endif

namespace example {

tern::any_client make_client(const asio::any_io_executor& executor, const connection_arguments& args) {
    tern::any_client client(executor);
    args.transport.apply(client.transport());
    if (args.debug)
        client.set_packet_tap([](tern::packet_direction direction, const tern::any_packet& packet) {
            const bool sent = direction == tern::packet_direction::sent;
            fmt::print(stderr, "{} {}\n", sent ? "-->" : "<--", packet);
            std::fflush(stderr); // Windows may hold it back
        });
    return client;
}

asio::awaitable<exit_code> connect(tern::any_client& client, const tern::connect_options& options) {
    std::error_code error;
    co_await client.async_connect(options, asio::redirect_error(asio::use_awaitable, error));
    if (!error) co_return success;
    if (error == tern::errc::disconnected) co_return interrupted; // by this program
    const bool is_path = options.scheme == "unix";
    const std::string activity = is_path ? fmt::format("connecting to {}", options.path)
                                         : fmt::format("connecting to {}:{}", options.host, options.port);
    co_return report(activity, error, cannot_connect);
}

exit_code report(std::string_view activity, std::error_code error, exit_code code) {
    fmt::print(stderr, "Error: {}: {}\n", activity, error.message());
    return error.category() == tern::usage_category() ? wrong_arguments : code;
}

void use_binary_streams() {
#ifdef _WIN32
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
#endif
}

} // namespace example
