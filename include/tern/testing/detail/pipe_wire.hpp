// The wires of a pipe: bytes that walk from a writer to a reader.
//
// A wire is one direction: a bounded buffer, and at most one reader and one writer that wait. Two wires make
// a connection. Its ends may live on different threads, so a wire has a lock; an end is like a socket and has
// none.
#pragma once

#include "tern/testing/detail/waiting.hpp"

#include <asio/error.hpp>
#include <asio/execution_context.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace tern::testing {

/// How a pipe treats the bytes.
struct pipe_options {
    std::size_t capacity = 64 * 1024; ///< bytes that each direction holds before its writer has to wait
    std::size_t maximum_read = std::numeric_limits<std::size_t>::max(); ///< bytes that one read gives at most
};

namespace detail {

class pipe_wire {
public:
    explicit pipe_wire(const pipe_options& options) : options_(options) {}

    void read(waiting_ptr operation) {
        const std::lock_guard lock(mutex_);
        if (reader_) return complete(operation, asio::error::already_started);
        if (operation->read_into.empty()) return complete(operation, {});
        reader_ = std::move(operation);
        step();
    }
    void write(waiting_ptr operation) {
        const std::lock_guard lock(mutex_);
        if (writer_) return complete(operation, asio::error::already_started);
        if (writer_closed_) return complete(operation, asio::error::broken_pipe);
        writer_ = std::move(operation);
        step();
    }

    waiting_ptr take_reader() {
        const std::lock_guard lock(mutex_);
        return std::move(reader_);
    }
    waiting_ptr take_writer() {
        const std::lock_guard lock(mutex_);
        return std::move(writer_);
    }
    void close_reader() {
        const std::lock_guard lock(mutex_);
        reader_closed_ = true;
        complete(reader_, asio::error::operation_aborted);
        step();
    }
    void close_writer() {
        const std::lock_guard lock(mutex_);
        writer_closed_ = true;
        complete(writer_, asio::error::operation_aborted);
        step();
    }

private:
    void step() {
        serve_writer();
        if (reader_ && held() != 0) {
            const std::size_t size = std::min(
                {held(), reader_->read_into.size(), std::max<std::size_t>(options_.maximum_read, 1)});
            bytes_.copy(reader_->read_into.data(), size, read_);
            read_ += size;
            complete(reader_, {}, size);
            serve_writer();
        }
        if (reader_ && writer_closed_) complete(reader_, asio::error::eof);
    }

    // Takes what there is room for; waits if there is none.
    void serve_writer() {
        if (!writer_) return;
        if (reader_closed_) return complete(writer_, asio::error::broken_pipe);
        const std::size_t room = std::max<std::size_t>(options_.capacity, 1) - held();
        if (room == 0) return;
        if (read_ >= held()) // seldom enough: small reads do not move the rest again and again
            bytes_.erase(0, std::exchange(read_, 0));
        std::size_t size = 0;
        for (const std::string_view part : writer_->write_from) {
            const std::string_view taken = part.substr(0, room - size);
            bytes_ += taken;
            size += taken.size();
        }
        complete(writer_, {}, size);
    }

    std::size_t held() const noexcept { return bytes_.size() - read_; }

    std::mutex mutex_;
    pipe_options options_;
    std::string bytes_;
    std::size_t read_ = 0; // so many of the bytes
    waiting_ptr reader_;
    waiting_ptr writer_;
    bool reader_closed_ = false;
    bool writer_closed_ = false;
};

// One end of a connection, of one that is being made, or of none.
struct pipe_end final : waiting_place {
    std::shared_ptr<pipe_wire> in;
    std::shared_ptr<pipe_wire> out;
    waiting_ptr connecting;
    unsigned attempt = 0; // counts these

    pipe_end() = default;
    pipe_end(const pipe_end&) = delete;
    pipe_end& operator=(const pipe_end&) = delete;
    ~pipe_end() override { close(); }

    void join(pipe_end& other, const pipe_options& options) {
        in = other.out = std::make_shared<pipe_wire>(options);
        out = other.in = std::make_shared<pipe_wire>(options);
    }
    void close() {
        ++attempt;
        complete(connecting, asio::error::operation_aborted);
        if (in) std::exchange(in, nullptr)->close_reader();
        if (out) std::exchange(out, nullptr)->close_writer();
    }
    void cancel_read() const {
        if (in) {
            auto operation = in->take_reader();
            complete(operation, asio::error::operation_aborted);
        }
    }
    void cancel_write() const {
        if (out) {
            auto operation = out->take_writer();
            complete(operation, asio::error::operation_aborted);
        }
    }
    void abandon(asio::execution_context&) override {
        const auto first = std::move(connecting);
        const auto second = in ? in->take_reader() : nullptr;
        const auto third = out ? out->take_writer() : nullptr;
    }
};

} // namespace detail
} // namespace tern::testing
