// Programs that listen on a free port of 127.0.0.1, among them the proxies that several tests use.
#pragma once

#include "process.hpp"

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace interop {

inline std::uint16_t free_port() {
    asio::io_context io;
    return asio::ip::tcp::acceptor(io, {asio::ip::address_v4::loopback(), 0}).local_endpoint().port();
}

/// A program that listens on a free port.
class server {
public:
    /// The arguments are made for a port and a directory.
    using make_arguments = std::function<std::vector<std::string>(const std::string&, const temporary_directory&)>;

    /// If the program is not installed, this one prints that and exits, which ctest reports as skipped.
    server(std::string_view name, const make_arguments& arguments) : name_(name) {
        const std::filesystem::path program = find_program(name);
        if (program.empty()) {
            std::printf("SKIPPED: %s is not installed\n", name_.c_str());
            std::fflush(stdout);
            std::_Exit(0);
        }
        for (int attempt = 0; attempt != 5 && !is_running(); ++attempt) { // another process may take the port
            port_ = free_port();
            words_ = arguments(port(), directory_);
            words_.insert(words_.begin(), program.string());
            start();
        }
        if (!is_running()) fail("start");
    }

    std::string port() const { return std::to_string(port_); }

    void kill() { process_->kill(); }

    /// Starts it again, on the same port.
    void restart() {
        const auto end = std::chrono::steady_clock::now() + start_limit;
        do // a connection of another process may use the port meanwhile
            start();
        while (!is_running() && std::chrono::steady_clock::now() < end);
        if (!is_running()) fail("restart");
    }

private:
    static constexpr std::chrono::seconds start_limit{120}; // RabbitMQ needs 15 s on an idle machine

    void start() {
        asio::io_context io;
        process_ = std::make_unique<process>(words_, directory_ / "out", directory_ / "err");
        const auto end = std::chrono::steady_clock::now() + start_limit;
        std::error_code refused = std::make_error_code(std::errc::connection_refused);
        while (refused && is_running() && std::chrono::steady_clock::now() < end) {
            asio::ip::tcp::socket socket(io);
            socket.connect({asio::ip::address_v4::loopback(), port_}, refused);
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
    bool is_running() { return process_ && !process_->exit_status(); }

    [[noreturn]] void fail(const std::string& what) const {
        throw std::runtime_error(name_ + " does not " + what + ":\n" + read_file(directory_ / "err"));
    }

    std::string name_;
    std::vector<std::string> words_;
    temporary_directory directory_;
    std::unique_ptr<process> process_;
    std::uint16_t port_ = 0;
};

inline server tinyproxy(const std::string& configuration) {
    return server("tinyproxy", [&](const std::string& port, const temporary_directory& directory) {
        const std::filesystem::path file = directory / "tinyproxy.conf";
        write_file(file, "Port " + port + "\nListen 127.0.0.1\nTimeout 600\nMaxClients 20\n" + configuration);
        return std::vector<std::string>{"-d", "-c", file.string()};
    });
}

inline server microsocks(std::vector<std::string> options) {
    return server("microsocks", [&](const std::string& port, const temporary_directory&) {
        std::vector<std::string> all = options;
        all.insert(all.end(), {"-i", "127.0.0.1", "-p", port});
        return all;
    });
}

} // namespace interop
