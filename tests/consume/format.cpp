// A program that formats packets, in the projects of tests/consume that ask for tern::format.
#include "tern/format.hpp"

#include "tern/tern.hpp"

#include <asio/io_context.hpp>
#include <fmt/format.h>

int main() {
    asio::io_context context;
    const tern::client client(context);
    const tern::publish packet{.message = {.topic = "home/kitchen", .payload = "21.5"}};
    fmt::print("{}\n", packet);
    return 0;
}
