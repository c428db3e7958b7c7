// A socket and a timer of Asio with callbacks: what a small program with Asio alone takes to compile.
#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>

#include <array>
#include <cstddef>
#include <system_error>

int main() {
    asio::io_context context;
    asio::ip::tcp::socket stream(context);
    asio::steady_timer timer(context);
    std::array<char, 16> bytes{};
    timer.async_wait([&](std::error_code) {
        stream.async_write_some(asio::buffer(bytes), [](std::error_code, std::size_t) {});
        stream.async_read_some(asio::buffer(bytes), [](std::error_code, std::size_t) {});
    });
    context.run();
}
