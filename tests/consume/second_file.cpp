// A second file of a program in the compiled form: the engine is not compiled again, and Asio is not defined twice.
#include "tern/tern.hpp"

#include <asio/io_context.hpp>

#include <system_error>

void publish(tern::client& client) {
    client.async_publish({.topic = "a", .payload = "b"}, [](std::error_code, const tern::acknowledgement&) {});
}
