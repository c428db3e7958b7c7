// The broker of `./dev paths`, a process of its own: it obeys lines from its input and reports on its output.
//
// It writes "listening PORT", and "PUBACK" whenever it receives one. "publish" makes it send a QoS 1 message to its
// subscribers, "drop" makes it cut the client's connection. It ends with its input.
#include "tern/testing/broker.hpp"

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/read_until.hpp>

#include <cstdio>
#include <string>
#include <system_error>
#include <unistd.h>
#include <variant>

namespace {

class commands {
public:
    commands(asio::io_context& context, tern::testing::broker& broker)
        : context_(context)
        , broker_(broker)
        , input_(context, STDIN_FILENO) {}

    void read() {
        asio::async_read_until(input_, asio::dynamic_buffer(text_), '\n',
                               [this](std::error_code error, std::size_t size) {
                                   if (error) return context_.stop();
                                   obey(text_.substr(0, size - 1));
                                   text_.erase(0, size);
                                   read();
                               });
    }

private:
    void obey(const std::string& command) {
        if (command == "publish")
            broker_.publish({.topic = "paths/in", .payload = "a payload", .qos = tern::qos::at_least_once});
        if (command == "drop") broker_.drop("paths");
    }

    asio::io_context& context_;
    tern::testing::broker& broker_;
    asio::posix::stream_descriptor input_;
    std::string text_;
};

void report(const std::string& line) {
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
}

} // namespace

int main() {
    asio::io_context context;
    tern::testing::broker_options options;
    options.on_packet = [](tern::packet_direction direction, auto, const tern::any_packet& packet) {
        if (direction == tern::packet_direction::received && std::holds_alternative<tern::puback>(packet))
            report("PUBACK");
    };
    tern::testing::broker broker{context.get_executor(), options};
    report("listening " + std::to_string(broker.listen()));
    commands input(context, broker);
    input.read();
    context.run();
}
