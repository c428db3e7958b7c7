// The client of `./dev paths`: walks through the library once to warm up and once more to have gcov record which lines
// are executed.
//
//     paths_client publish|receive|reconnect
//
// Its input and output are connected to those of the broker, another process. It uses the public interface alone, so
// that it measures the library before and after a change.
#include "tern/tern.hpp"

#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/read_until.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <unistd.h>

extern "C" {
void __gcov_reset();
void __gcov_dump();
}

namespace {

using namespace std::chrono_literals;

class walker {
public:
    walker() : client_(context_), input_(context_, STDIN_FILENO) {}

    void set_up() {
        tern::connect_options options{.host = "127.0.0.1", .client_id = "paths", .clean_start = false};
        options.port = read_port();
        options.properties.session_expiry_interval = 3600s;
        options.reconnect.first_delay = 10ms;
        wait_for_connected();
        client_.async_connect(options, [this](std::error_code error, const auto&) { check(error); });
        run();
        client_.async_subscribe({.filter = "paths/in", .max_qos = tern::qos::at_least_once},
                                [this](std::error_code error, const auto&) { finish(error); });
        run();
    }

    /// From the call to its handler, after PUBCOMP.
    void publish() {
        client_.async_publish({.topic = "paths/out", .payload = "a payload", .qos = tern::qos::exactly_once},
                              [this](std::error_code error, const auto&) { finish(error); });
        run();
    }

    /// From the call until the broker has received the acknowledgement.
    void receive() {
        client_.async_receive([this](std::error_code error, const auto&) { check(error); });
        send("publish\n");
        asio::async_read_until(input_, asio::dynamic_buffer(text_), "PUBACK\n",
                               [this](std::error_code error, std::size_t size) {
                                   text_.erase(0, size);
                                   finish(error);
                               });
        run();
    }

    /// From the cut to the event that the client is connected again, and has resumed its session.
    void reconnect() {
        wait_for_connected();
        send("drop\n");
        run();
        if (!was_resumed_) throw std::runtime_error("the session was not resumed");
    }

    /// Runs everything that the warm-up leaves behind, then begins to record. The end of the next walk ends the
    /// program.
    void record_next() {
        while (context_.run_for(100ms) != 0) {
        }
        __gcov_reset();
        is_recording_ = true;
    }

private:
    std::uint16_t read_port() {
        constexpr std::string_view prefix = "listening ";
        const std::size_t size = asio::read_until(input_, asio::dynamic_buffer(text_), '\n');
        const std::string line = text_.substr(0, size);
        text_.erase(0, size);
        if (!line.starts_with(prefix)) throw std::runtime_error("the broker does not listen");
        return static_cast<std::uint16_t>(std::stoi(line.substr(prefix.size())));
    }

    void wait_for_connected() {
        client_.async_next_event([this](std::error_code error, const tern::connection_event& event) {
            check(error);
            if (event.change != tern::connection_change::connected) return wait_for_connected();
            was_resumed_ = event.session_present;
            finish(error);
        });
    }

    static void send(std::string_view command) {
        if (::write(STDOUT_FILENO, command.data(), command.size()) < 0)
            throw std::runtime_error("the broker has ended");
    }

    static void check(std::error_code error) {
        if (error) throw std::system_error(error);
    }

    void finish(std::error_code error) {
        check(error);
        if (is_recording_) {
            __gcov_dump();
            std::_Exit(0);
        }
        is_finished_ = true;
    }

    void run() {
        is_finished_ = false;
        while (!is_finished_)
            context_.run_one();
    }

    asio::io_context context_;
    tern::client client_;
    asio::posix::stream_descriptor input_;
    std::string text_;
    bool was_resumed_ = false;
    bool is_finished_ = false;
    bool is_recording_ = false;
};

} // namespace

int main(int argc, char** argv) {
    try {
        const std::string_view name = argc == 2 ? argv[1] : "";
        const auto walk = name == "publish"     ? &walker::publish
                          : name == "receive"   ? &walker::receive
                          : name == "reconnect" ? &walker::reconnect
                                                : nullptr;
        if (walk == nullptr) throw std::runtime_error("usage: paths_client publish|receive|reconnect");
        walker w;
        w.set_up();
        (w.*walk)();
        w.record_next();
        (w.*walk)();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "paths_client: %s\n", error.what());
    }
    return 1; // a walk that succeeds ends the program
}
