// What each way to use Tern must be able to build and run.
#include "tern/format.hpp"
#include "tern/tern.hpp"

#include <asio.hpp>
#include <fmt/format.h>

int main() {
    asio::io_context context;
    context.run();
    return fmt::format("{}", tern::qos::at_least_once).empty() ? 1 : 0;
}
