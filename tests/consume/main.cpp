// The program that most projects of tests/consume build and run. It needs Asio and nothing else.
#include "tern/tern.hpp"

#include <asio/io_context.hpp>

int main() {
    asio::io_context context;
    const tern::client client(context);
    return client.is_connected() ? 1 : 0;
}
