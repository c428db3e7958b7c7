// A connection of the network in memory: two flows of bytes, each with a pending reader and a pending writer.
//
// Written bytes arrive when their latency has passed. The end of a writer and the end of the connection
// follow the bytes in order:
//
//     write --latency--> arrived --> read
#pragma once

#include "tern/testing/detail/clock_state.hpp"
#include "tern/testing/detail/random_source.hpp"
#include "tern/testing/detail/waiting.hpp"
#include "tern/testing/network_options.hpp"

#include <asio/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::testing::detail {

class link_connection;

class link_flow {
public:
    link_flow(link_connection& connection, const direction_options& options)
        : connection_(connection)
        , options_(options) {}
    link_flow(const link_flow&) = delete;
    link_flow& operator=(const link_flow&) = delete;

    void read(waiting_ptr operation) {
        if (reader_) return complete(operation, asio::error::already_started);
        if (operation->read_into.empty()) return complete(operation, {});
        reader_ = std::move(operation);
        serve_reader();
    }
    void write(waiting_ptr operation) {
        if (writer_) return complete(operation, asio::error::already_started);
        if (fin_sent_) return complete(operation, asio::error::broken_pipe);
        writer_ = std::move(operation);
        serve_writer();
    }
    bool has_been_read() const noexcept { return has_been_read_; }
    waiting_ptr take_reader() { return std::move(reader_); }
    waiting_ptr take_writer() { return std::move(writer_); }

    // The reader's end is closed: bytes that arrive later are discarded.
    void close_reader() {
        reader_closed_ = true;
        complete(reader_, asio::error::operation_aborted);
        held_ -= arrived_.size() - read_;
        arrived_.clear();
        read_ = 0;
        serve_writer();
    }
    // The writer sends nothing more. If its whole end is closed, it does not read either.
    void close_writer(bool whole_end) {
        complete(writer_, asio::error::operation_aborted);
        if (!std::exchange(fin_sent_, true) || whole_end) send({whole_end ? parcel::close : parcel::fin});
    }

    void begin() {
        if (options_.cut && options_.cut->after == 0) end_after(options_.cut->how);
    }
    // The connection ends when all bytes written so far have arrived.
    void end_after(ending how) {
        send({parcel::end, {}, how});
        silent_ = true;
    }
    // Bytes in transit are lost.
    void finish(ending how) {
        if (how == ending::stall) {
            stalled_ = true;
            return;
        }
        stalled_ = false;
        silent_ = true;
        held_ = arrived_.size() - read_;
        under_way_ = {};
        const bool reset = how == ending::reset;
        end_ = reset ? asio::error::connection_reset : std::error_code(asio::error::eof);
        break_writer(reset ? asio::error::connection_reset : asio::error::broken_pipe);
        serve_reader();
    }
    void break_writer(std::error_code error) {
        writer_error_ = error;
        serve_writer();
    }

private:
    enum class parcel : std::uint8_t { bytes, fin, close, end };
    struct sent {
        parcel what;
        std::string bytes = {};
        ending how = {};
    };

    void serve_reader() {
        if (!reader_) return;
        if (const std::size_t left = arrived_.size() - read_; left != 0) {
            const std::size_t size = (std::min)({left, reader_->read_into.size(), piece()});
            arrived_.copy(reader_->read_into.data(), size, read_);
            read_ += size;
            held_ -= size;
            has_been_read_ = true;
            complete(reader_, {}, size);
            serve_writer();
        } else if (end_) {
            complete(reader_, end_);
        }
    }

    // Accepts as many bytes as fit into the capacity. The writer waits if none fit.
    void serve_writer() {
        if (!writer_) return;
        if (writer_error_) return complete(writer_, writer_error_);
        std::size_t room = std::max<std::size_t>(options_.capacity, 1);
        if (held_ >= room) return;
        room = (std::min)(room - held_, piece());
        std::string bytes;
        for (const std::string_view part : writer_->write_from)
            bytes += part.substr(0, room - bytes.size());
        complete(writer_, {}, bytes.size());
        send(std::move(bytes));
    }

    void send(std::string bytes) {
        held_ += bytes.size();
        if (stalled_) return;
        const std::size_t allowed = options_.cut ? options_.cut->after - count_ : bytes.size();
        if (bytes.size() > allowed) {
            if (options_.cut->how != ending::stall) held_ -= bytes.size() - allowed;
            bytes.resize(allowed);
        }
        count_ += bytes.size();
        if (!bytes.empty()) send({parcel::bytes, std::move(bytes)});
        if (options_.cut && options_.cut->after == count_) end_after(options_.cut->how);
    }

    void send(sent what);
    void arrive(sent what);

    std::size_t piece();

    link_connection& connection_;
    direction_options options_;
    std::queue<sent> under_way_;
    clock_state::time_point last_arrival_ = {};
    std::string arrived_;
    std::size_t read_ = 0;  // how many of them have been read
    std::size_t held_ = 0;  // bytes in transit or not yet read
    std::size_t count_ = 0; // the number of bytes sent
    waiting_ptr reader_;
    waiting_ptr writer_;
    std::error_code end_;          // the reader gets it after the last byte
    std::error_code writer_error_; // set when the other end does not read any more
    bool has_been_read_ = false;
    bool reader_closed_ = false;
    bool fin_sent_ = false;
    bool silent_ = false;  // the flow carries nothing more
    bool stalled_ = false; // bytes in transit do not arrive either
};

class link_connection : public std::enable_shared_from_this<link_connection> {
public:
    link_connection(std::shared_ptr<clock_state> time, std::shared_ptr<random_source> chance,
                    const link_options& options)
        : clock(std::move(time))
        , random(std::move(chance))
        , to_server(*this, options.to_server)
        , to_client(*this, options.to_client) {}

    void begin() {
        to_server.begin();
        to_client.begin();
    }
    void finish(ending how) {
        to_server.finish(how);
        to_client.finish(how);
    }
    link_flow& against(const link_flow& flow) { return &flow == &to_server ? to_client : to_server; }

    std::shared_ptr<clock_state> clock;
    std::shared_ptr<random_source> random;
    link_flow to_server;
    link_flow to_client;
};

inline void link_flow::send(sent what) {
    if (stalled_ || silent_) return;
    clock_state& clock = *connection_.clock;
    auto at = clock.now + options_.latency;
    if (options_.jitter.count() > 0) {
        const auto most = static_cast<std::uint64_t>(options_.jitter.count()) + 1;
        at += std::chrono::nanoseconds(connection_.random->below(most));
    }
    last_arrival_ = at = (std::max)(at, last_arrival_);
    if (at <= clock.now && under_way_.empty()) return arrive(std::move(what));
    under_way_.push(std::move(what));
    clock.call_at(at, [this, alive = connection_.weak_from_this()] {
        const auto connection = alive.lock();
        if (!connection || under_way_.empty() || stalled_) return;
        sent first = std::move(under_way_.front());
        under_way_.pop();
        arrive(std::move(first));
    });
}

inline void link_flow::arrive(sent what) {
    switch (what.what) {
    case parcel::bytes:
        if (reader_closed_) {
            held_ -= what.bytes.size();
            serve_writer();
        } else {
            if (read_ == arrived_.size()) arrived_.erase(0, std::exchange(read_, 0));
            arrived_ += what.bytes;
        }
        break;
    case parcel::close: connection_.against(*this).break_writer(asio::error::broken_pipe); [[fallthrough]];
    case parcel::fin: end_ = asio::error::eof; break;
    case parcel::end: connection_.finish(what.how); break;
    }
    serve_reader();
}

inline std::size_t link_flow::piece() {
    switch (options_.pieces) {
    case pieces::whole: break;
    case pieces::single_bytes: return 1;
    case pieces::random: {
        const std::uint64_t most = std::uint64_t{1} << connection_.random->below(8);
        return static_cast<std::uint32_t>(1 + connection_.random->below(most));
    }
    }
    return (std::numeric_limits<std::size_t>::max)();
}

} // namespace tern::testing::detail
