// A program that uses a library that uses Tern.
#include "tern/tern.hpp"

#include <asio/io_context.hpp>

#include <house.hpp>

int main() {
    asio::io_context context;
    return is_at_home(tern::client(context)) ? 1 : 0;
}
