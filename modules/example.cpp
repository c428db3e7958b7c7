// A program that imports the module: it publishes to a broker that is not there, and prints why that fails.
#include <cstdio>
#include <system_error>

import tern;

int main() {
    asio::io_context io;
    tern::client client{io};
    bool ended = false;
    client.async_publish({.topic = "a", .payload = "b"},
                         [&](std::error_code, const tern::acknowledgement&) { ended = true; });
    client.async_connect({.host = "127.0.0.1", .port = 1, .client_id = "module", .reconnect = {.enabled = false}},
                         [](std::error_code error, const tern::connect_result&) {
                             std::printf("connecting: %s\n", error.message().c_str());
                         });
    io.run();
    return ended ? 0 : 1;
}
