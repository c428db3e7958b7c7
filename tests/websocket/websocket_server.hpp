// A WebSocket server in a network in memory. It is the stream on which the broker of the testing library serves a
// client.
#pragma once

#include "tern/testing/broker.hpp"
#include "tern/testing/network.hpp"
#include "websocket_test.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/buffer.hpp>
#include <asio/post.hpp>
#include <asio/write.hpp>

#include <algorithm>
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

/// How the server treats its clients.
struct server_options {
    /// The answer to the request, by default one that accepts it. Empty: none.
    std::function<std::string(const std::string& request)> answer = [](const std::string& r) { return acceptance(r); };
    bool is_fragmenting = false; ///< sends fragments of random size, with pings between them
    bool is_dropping = false;    ///< passes nothing on to the broker any more
};

/// The server's end of one connection, and what has happened on it.
class server_connection : public std::enable_shared_from_this<server_connection> {
public:
    using handler_type = std::function<void(std::error_code, std::size_t)>;

    server_connection(tern::testing::link stream, std::shared_ptr<const server_options> options)
        : stream_(std::move(stream))
        , options_(std::move(options)) {}

    const std::string& request() const { return request_; }
    const std::vector<frame>& frames() const { return frames_; } ///< from the client, without those of data
    std::size_t data_frames() const { return data_frames_; }
    bool has_ended() const { return has_ended_; }

    /// Sends bytes to the client.
    void send(std::string_view bytes) {
        queue_ += bytes;
        if (!is_writing_) write_queue();
    }

    // ---- for the broker

    tern::testing::link& stream() { return stream_; }

    void read(asio::mutable_buffer into, handler_type handler) {
        into_ = into;
        on_read_ = std::move(handler);
        if (plain_.empty() && !end_) return read_raw();
        asio::post(stream_.get_executor(), [self = shared_from_this()] { self->finish_read(); });
    }

    void write(std::string_view bytes, handler_type handler) {
        on_written_ = std::move(handler);
        written_ = bytes.size();
        options_->is_fragmenting ? send_fragments(bytes) : send(data(std::string(bytes)));
    }

    void shutdown() {
        send(close_frame(1000));
        is_shutting_down_ = true;
        if (!is_writing_) stream_.shutdown_send();
    }

    void close() {
        stream_.close();
        has_ended_ = true;
        on_read_ = {};
        on_written_ = {};
    }

private:
    void read_raw() {
        stream_.async_read_some(asio::buffer(raw_), [self = shared_from_this()](std::error_code e, std::size_t size) {
            if (self->has_ended_) return;
            self->end_ = e;
            self->has_ended_ = e == asio::error::eof || e == asio::error::connection_reset;
            self->on_bytes({self->raw_.data(), size});
            self->plain_.empty() && !self->end_ ? self->read_raw() : self->finish_read();
        });
    }

    void finish_read() {
        if (!on_read_) return;
        const std::size_t size = plain_.copy(static_cast<char*>(into_.data()), into_.size());
        plain_.erase(0, size);
        std::exchange(on_read_, {})(size == 0 ? end_ : std::error_code(), size);
    }

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
        const std::string answer = options_->answer(request_);
        is_upgraded_ = answer.find(" 101 ") != std::string::npos;
        send(answer);
        if (!is_upgraded_ && !answer.empty()) end_ = asio::error::eof;
    }

    // Removes complete frames from the input.
    void take_frames() {
        for (std::size_t size = first_frame(input_); size != 0; size = first_frame(input_)) {
            const frame f = client_frames(std::string_view(input_).substr(0, size)).at(0);
            input_.erase(0, size);
            f.opcode == 2 ? on_data(f.payload) : on_control(f);
        }
    }

    void on_data(const std::string& payload) {
        ++data_frames_;
        if (!options_->is_dropping) plain_ += payload;
    }

    void on_control(const frame& f) {
        frames_.push_back(f);
        if (f.opcode != 8) return;
        if (!is_shutting_down_) send(close_frame(f.payload));
        end_ = asio::error::eof;
    }

    // The size of the first frame, 0 if it is incomplete. Clients send at most 64 KiB in one.
    static std::size_t first_frame(std::string_view bytes) {
        if (bytes.size() < 6) return 0;
        auto byte = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(bytes[i])); };
        const std::size_t length = byte(1) & 0x7FU;
        const std::size_t size = length < 126 ? 6 + length : 8 + (byte(2) << 8U | byte(3));
        return bytes.size() < size ? 0 : size;
    }

    void send_fragments(std::string_view bytes) {
        std::string frames = first("");
        while (!bytes.empty()) {
            const std::size_t count = std::min<std::size_t>(bytes.size(), 1 + random_() % 300);
            frames += more(std::string(bytes.substr(0, count)));
            bytes.remove_prefix(count);
            if (random_() % 8 == 0) frames += ping("between");
        }
        send(frames + last(""));
    }

    void write_queue() {
        in_flight_.swap(queue_);
        queue_.clear();
        is_writing_ = !in_flight_.empty();
        if (!is_writing_) return;
        asio::async_write(stream_, asio::buffer(in_flight_),
                          [self = shared_from_this()](std::error_code e, std::size_t) {
                              self->is_writing_ = false;
                              if (!e && !self->queue_.empty()) return self->write_queue();
                              if (!e && self->is_shutting_down_) self->stream_.shutdown_send();
                              if (self->on_written_) std::exchange(self->on_written_, {})(e, e ? 0 : self->written_);
                          });
    }

    tern::testing::link stream_;
    std::shared_ptr<const server_options> options_;
    std::array<char, 4096> raw_{};
    std::string input_; // of the client, not yet decoded
    std::string plain_; // decoded, not yet read by the broker
    std::error_code end_;
    asio::mutable_buffer into_;
    handler_type on_read_;
    std::string queue_;
    std::string in_flight_;
    std::size_t written_ = 0;
    handler_type on_written_;
    std::string request_;
    std::vector<frame> frames_;
    std::size_t data_frames_ = 0;
    std::mt19937 random_{1};
    bool is_upgraded_ = false;
    bool is_writing_ = false;
    bool is_shutting_down_ = false;
    bool has_ended_ = false;
};

/// A stream for the broker.
class server_stream {
public:
    explicit server_stream(std::shared_ptr<server_connection> connection) : connection_(std::move(connection)) {}

    asio::any_io_executor get_executor() { return connection_->stream().get_executor(); }

    template <class Handler>
    void async_read_some(asio::mutable_buffer buffer, Handler handler) {
        connection_->read(buffer, std::move(handler));
    }
    template <class Handler>
    void async_write_some(asio::const_buffer buffer, Handler handler) {
        connection_->write({static_cast<const char*>(buffer.data()), buffer.size()}, std::move(handler));
    }
    void shutdown_send() { connection_->shutdown(); }
    void close() { connection_->close(); }

private:
    std::shared_ptr<server_connection> connection_;
};

/// Accepts connections for a broker.
inline auto websocket_acceptor(tern::testing::broker& broker,
                               std::shared_ptr<const server_options> options = std::make_shared<server_options>(),
                               std::function<void(std::shared_ptr<server_connection>)> on_accepted = {}) {
    return [accept = broker.acceptor(), options = std::move(options),
            on_accepted = std::move(on_accepted)](tern::testing::link stream) {
        const auto connection = std::make_shared<server_connection>(std::move(stream), options);
        if (on_accepted) on_accepted(connection);
        accept(server_stream(connection));
    };
}

/// A server at the host "ws", and all connections that it has accepted.
class server {
public:
    server(tern::testing::network& net, tern::testing::broker& broker) {
        net.listen("ws", websocket_acceptor(broker, options_, [this](std::shared_ptr<server_connection> accepted) {
                       connections_.push_back(std::move(accepted));
                   }));
    }

    server_options& options() { return *options_; }
    std::size_t count() const { return connections_.size(); }
    server_connection& at(std::size_t i) { return *connections_.at(i); }
    server_connection& latest() { return *connections_.back(); }

private:
    std::shared_ptr<server_options> options_ = std::make_shared<server_options>();
    std::vector<std::shared_ptr<server_connection>> connections_;
};

} // namespace websocket_test
