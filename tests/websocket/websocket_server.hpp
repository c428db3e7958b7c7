// A WebSocket server in a network in memory, which passes the bytes of its clients on to a broker in the same network.
#pragma once

#include "tern/testing/network.hpp"
#include "websocket_test.hpp"

#include <asio/write.hpp>

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace websocket_test {

/// One end of a connection, with a queue of bytes to write.
class queued_link {
public:
    explicit queued_link(tern::testing::link stream) : stream_(std::move(stream)) {}

    tern::testing::link& stream() { return stream_; }

    void send(std::string_view bytes) {
        queue_ += bytes;
        if (!is_writing_) write();
    }

    /// Reads until an error, with which `on_read` is called last, without bytes.
    void read(std::function<void(std::string_view, std::error_code)> on_read) {
        stream_.async_read_some(asio::buffer(buffer_),
                                [this, on_read = std::move(on_read)](std::error_code e, std::size_t size) mutable {
                                    if (e == asio::error::operation_aborted) return;
                                    on_read({buffer_.data(), size}, e);
                                    if (!e) read(std::move(on_read));
                                });
    }

    /// Ends the connection when all is written.
    void close_after_writing() {
        closes_ = true;
        if (!is_writing_) stream_.close();
    }

private:
    void write() {
        in_flight_.swap(queue_);
        queue_.clear();
        is_writing_ = true;
        asio::async_write(stream_, asio::buffer(in_flight_), [this](std::error_code e, std::size_t) {
            if (e == asio::error::operation_aborted) return;
            is_writing_ = false;
            if (!e && !queue_.empty()) return write();
            if (closes_) stream_.close();
        });
    }

    tern::testing::link stream_;
    std::array<char, 4096> buffer_{};
    std::string queue_;
    std::string in_flight_;
    bool is_writing_ = false;
    bool closes_ = false;
};

/// How the server treats its clients.
struct server_options {
    /// The answer to the request, by default one that accepts it. Empty: none.
    std::function<std::string(const std::string& request)> answer = [](const std::string& r) { return acceptance(r); };
    bool is_fragmenting = false; ///< sends fragments of random size, with pings between them
    bool is_dropping = false;    ///< passes nothing on to the broker any more
};

/// One client of the server. It is destroyed with the server.
class server_connection {
public:
    server_connection(tern::testing::network& net, tern::testing::link stream, const server_options& options)
        : options_(options)
        , client_(std::move(stream))
        , broker_(tern::testing::link(net)) {
        client_.read([this](std::string_view bytes, std::error_code e) { e ? on_end() : on_bytes(bytes); });
    }

    const std::string& request() const { return request_; }
    const std::vector<frame>& frames() const { return frames_; } ///< from the client, without those of data
    std::size_t data_frames() const { return data_frames_; }
    bool has_ended() const { return has_ended_; }

    void send(std::string_view bytes) { client_.send(bytes); }
    void close() { client_.close_after_writing(); }

private:
    void on_bytes(std::string_view bytes) {
        input_ += bytes;
        if (request_.empty()) take_request();
        if (is_upgraded_) take_frames();
    }

    void take_request() {
        const std::size_t end = input_.find("\r\n\r\n");
        if (end == std::string::npos) return;
        request_ = input_.substr(0, end + 4);
        input_.erase(0, end + 4);
        const std::string answer = options_.answer(request_);
        client_.send(answer);
        if (answer.empty()) return;
        if (answer.find(" 101 ") == std::string::npos) return client_.close_after_writing();
        is_upgraded_ = true;
        broker_.stream().async_open({.host = "broker"}, {}, [this](std::error_code e) {
            if (e) return client_.close_after_writing();
            is_open_ = true;
            broker_.send(std::exchange(to_broker_, {}));
            broker_.read([this](std::string_view bytes, std::error_code failure) { on_broker(bytes, failure); });
        });
    }

    // Removes complete frames from the input.
    void take_frames() {
        for (;;) {
            const std::size_t size = frame_size();
            if (size == 0 || input_.size() < size) return;
            const frame f = client_frames(std::string_view(input_).substr(0, size)).at(0);
            input_.erase(0, size);
            if (f.opcode == 2)
                on_data(f.payload);
            else
                on_control(f);
        }
    }

    void on_data(const std::string& payload) {
        ++data_frames_;
        if (options_.is_dropping) return;
        if (is_open_)
            broker_.send(payload);
        else
            to_broker_ += payload;
    }

    void on_control(const frame& f) {
        frames_.push_back(f);
        if (f.opcode != 8) return;
        client_.send(close_frame(f.payload));
        client_.close_after_writing();
    }

    // The size of the first frame, 0 if its header is incomplete.
    std::size_t frame_size() const {
        if (input_.size() < 4) return 0;
        const std::size_t length = static_cast<unsigned char>(input_[1]) & 0x7FU;
        if (length < 126) return 6 + length;
        return 8 + (static_cast<std::size_t>(static_cast<unsigned char>(input_[2])) << 8U |
                    static_cast<unsigned char>(input_[3]));
    }

    void on_broker(std::string_view bytes, std::error_code e) {
        if (e) return client_.close_after_writing();
        if (!options_.is_fragmenting) return client_.send(data(std::string(bytes)));
        client_.send(first(""));
        while (!bytes.empty()) {
            const std::size_t count = std::min<std::size_t>(bytes.size(), 1 + random_() % 300);
            client_.send(more(std::string(bytes.substr(0, count))));
            bytes.remove_prefix(count);
            if (random_() % 8 == 0) client_.send(ping("between"));
        }
        client_.send(last(""));
    }

    void on_end() {
        has_ended_ = true;
        broker_.stream().close();
    }

    const server_options& options_;
    queued_link client_;
    queued_link broker_;
    std::string request_;
    std::string input_;
    std::string to_broker_; // until the connection to the broker is open
    std::vector<frame> frames_;
    std::size_t data_frames_ = 0;
    std::mt19937 random_{1};
    bool is_upgraded_ = false;
    bool is_open_ = false;
    bool has_ended_ = false;
};

/// A server at the host "ws".
class server {
public:
    explicit server(tern::testing::network& net) {
        net.listen("ws", [this, &net](tern::testing::link stream) {
            connections_.push_back(std::make_unique<server_connection>(net, std::move(stream), options));
        });
    }

    server_options options;

    std::size_t count() const { return connections_.size(); }
    server_connection& at(std::size_t i) { return *connections_.at(i); }
    server_connection& latest() { return *connections_.back(); }

private:
    std::vector<std::unique_ptr<server_connection>> connections_;
};

} // namespace websocket_test
