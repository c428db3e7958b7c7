// A transport of one's own: MQTT over a serial line. POSIX only.
//
// The line is a pseudo-terminal. A gateway at its other end forwards all bytes to a broker, as a radio module or a
// microcontroller would.
//
//     custom_transport [host [port]]
#include "support/own_broker.hpp"
#include "tern/client/engine.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/compose.hpp>
#include <asio/connect.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fcntl.h>
#include <string>
#include <system_error>
#include <termios.h>
#include <unistd.h>
#include <utility>

namespace {

using asio::use_awaitable;

int checked(int result) {
    if (result < 0) throw std::system_error(errno, std::generic_category());
    return result;
}

// Opens a terminal for bytes: no echo, no line ends, no signals.
int open_line(const std::string& device) {
    const int line = checked(::open(device.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    termios settings{};
    if (::tcgetattr(line, &settings) == 0) {
        ::cfmakeraw(&settings);
        ::tcsetattr(line, TCSANOW, &settings);
    }
    return line;
}

// The transport: all that a client needs. `endpoint::path` is the device.
class serial_line {
public:
    using executor_type = asio::any_io_executor;

    template <class>
    struct rebind_executor {
        using other = serial_line; // this one has a single executor type
    };

    explicit serial_line(const executor_type& executor) : line_(executor) {}

    executor_type get_executor() { return line_.get_executor(); }

    // The handler is called later, never inside this function. A line that cannot be opened is an error of the attempt.
    template <class Token>
    auto async_open(const tern::endpoint& where, const tern::open_timeouts&, Token&& token) {
        auto open = [this, device = std::string(where.path), posted = false](auto& self) mutable {
            if (!std::exchange(posted, true)) return asio::post(line_.get_executor(), std::move(self));
            try {
                line_.assign(open_line(device));
                self.complete({});
            } catch (const std::system_error& error) {
                self.complete(error.code());
            }
        };
        return asio::async_compose<Token, void(std::error_code)>(std::move(open), token, line_);
    }

    tern::connection_phase opening_phase() const noexcept { return tern::connection_phase::connecting; }

    template <class Token>
    auto async_read_some(asio::mutable_buffer buffer, Token&& token) {
        return line_.async_read_some(buffer, std::forward<Token>(token));
    }

    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        return line_.async_write_some(buffers, std::forward<Token>(token));
    }

    void shutdown_send() noexcept {} // a line has no end of a direction

    void close() noexcept {
        std::error_code ignored;
        line_.close(ignored);
    }

private:
    asio::posix::stream_descriptor line_;
};

static_assert(tern::transport<serial_line>);

template <class From, class To>
asio::awaitable<void> forward(From& from, To& to) {
    std::array<char, 4096> buffer{};
    std::error_code error;
    while (!error) {
        const std::size_t size =
            co_await from.async_read_some(asio::buffer(buffer), asio::redirect_error(use_awaitable, error));
        if (!error)
            co_await asio::async_write(to, asio::buffer(buffer, size), asio::redirect_error(use_awaitable, error));
    }
    from.close(error);
    to.close(error);
}

// The other end of the line, which is connected to the broker.
class gateway {
public:
    gateway(asio::io_context& context, const example::broker_address& broker) : line_(context), socket_(context) {
        const int terminal = checked(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
        line_.assign(terminal);
        checked(::grantpt(terminal));
        checked(::unlockpt(terminal));
        device_ = ::ptsname(terminal);
        ready_ = open_line(device_); // a terminal has an error at this end while no program has the line open
        asio::ip::tcp::resolver resolver(context);
        asio::connect(socket_, resolver.resolve(broker.host, std::to_string(broker.port)));
        asio::co_spawn(context, forward(line_, socket_), asio::detached);
        asio::co_spawn(context, forward(socket_, line_), asio::detached);
    }
    ~gateway() { ::close(ready_); }
    gateway(const gateway&) = delete;
    gateway& operator=(const gateway&) = delete;

    const std::string& device() const { return device_; }

private:
    asio::posix::stream_descriptor line_;
    asio::ip::tcp::socket socket_;
    std::string device_;
    int ready_ = -1;
};

asio::awaitable<void> publish_and_receive(const std::string& device) {
    tern::basic_client<serial_line> client{co_await asio::this_coro::executor};
    co_await client.async_connect({.path = device, .client_id = "tern-serial"}, use_awaitable);
    std::printf("connected over the line %s\n", device.c_str());
    co_await client.async_subscribe({.filter = "tern/serial", .max_qos = tern::qos::exactly_once}, use_awaitable);
    const std::string payload(20'000, 'x');
    const tern::message_view message{.topic = "tern/serial", .payload = payload, .qos = tern::qos::exactly_once};
    co_await client.async_publish(message, use_awaitable);
    const tern::received_message m = co_await client.async_receive(use_awaitable);
    std::printf("received %zu bytes\n", m.payload.size());
    co_await client.async_disconnect(use_awaitable);
    std::puts("disconnected");
}

} // namespace

int main(int argc, char** argv) {
    try {
        asio::io_context context;
        const example::broker_address broker(context.get_executor(), argc, argv);
        const gateway other_end(context, broker);
        asio::co_spawn(context, publish_and_receive(other_end.device()), [&](const std::exception_ptr& error) {
            context.stop(); // the embedded broker would keep run() busy
            if (error) std::rethrow_exception(error);
        });
        context.run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
