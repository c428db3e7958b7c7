// The smallest program that publishes and subscribes. compile.py measures the time that it takes to compile.
#include "tern/tern.hpp"

#include <asio/io_context.hpp>

#include <cstdio>
#include <string>
#include <system_error>

int main() {
    asio::io_context context;
    tern::client client(context);
    client.async_connect({.host = "localhost"}, [](std::error_code, const tern::connect_result&) {});
    client.async_receive([&](std::error_code error, const tern::received_message& message) {
        if (!error) std::puts(std::string(message.payload).c_str());
        client.async_disconnect([](std::error_code) {});
    });
    client.async_subscribe({.filter = "a/b"}, [&](std::error_code error, const tern::acknowledgement&) {
        if (error) return;
        client.async_publish({.topic = "a/b", .payload = "hello"},
                             [](std::error_code, const tern::acknowledgement&) {});
    });
    context.run();
}
