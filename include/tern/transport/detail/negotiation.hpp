// Runs a negotiation over a transport: that of TLS, the upgrade to WebSocket, or the dialog with a proxy.
//
// A machine without I/O knows what to write and what the answers mean. It is written to, and read from, in turn:
//
//     writing --all is written--> reading --bytes--> writing
//     writing --all is written--> ended, if the machine is ready or has failed: what it says last is written first
//     each of these --the time limit--> ended
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/transport/concept.hpp"
#include "tern/transport/time.hpp"

#include <asio/buffer.hpp>

#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::detail {

/// The client's side of a negotiation.
///
/// - `output()` returns the bytes to be written. They stay where they are until `commit_output(count)`, which says how
///   many have been written.
/// - `read(raw, plain, error)` takes all received bytes. `plain` is empty. It sets the error if the negotiation fails.
/// - `is_ready()` returns whether the negotiation has succeeded.
template <class T>
concept negotiation_machine =
    requires(T& machine, const T& constant, std::string_view raw, std::span<char> plain, std::error_code& error) {
        { machine.output() } noexcept -> std::same_as<std::string_view>;
        { machine.commit_output(std::size_t{}) } noexcept;
        { machine.read(raw, plain, error) } -> std::same_as<std::size_t>;
        { constant.is_ready() } noexcept -> std::same_as<bool>;
    };

/// One negotiation. Its outstanding operations own it, and it owns `Done`, which is called once, with the outcome.
template <transport Next, negotiation_machine Machine, class Done>
class negotiation : public std::enable_shared_from_this<negotiation<Next, Machine, Done>> {
public:
    TERN_COLD negotiation(Next& next, Machine& machine, Done done)
        : next_(next)
        , machine_(machine)
        , done_(std::move(done))
        , limit_(make_timer_of(next)) {}

    TERN_COLD void start(std::chrono::milliseconds limit, errc late) {
        step([&] {
            start_limit(limit, late);
            go_on();
        });
    }

private:
    // Runs a step. A step that runs out of memory ends the negotiation.
    template <class Step>
    void step(Step take) {
        if (is_over_) return;
        try {
            take();
        } catch (const std::bad_alloc&) {
            finish(std::make_error_code(std::errc::not_enough_memory));
        }
    }

    void start_limit(std::chrono::milliseconds time, errc late) {
        if (time.count() == 0) return;
        limit_.expires_at(now_of(next_) + time);
        limit_.async_wait([self = this->shared_from_this(), late](const std::error_code& e) {
            if (!e) self->step([&] { self->finish(self->error_ ? self->error_ : violation(late)); });
        });
    }

    TERN_COLD void go_on() {
        if (const std::string_view output = machine_.output(); !output.empty())
            write(output);
        else if (error_ || machine_.is_ready())
            finish(error_);
        else
            read();
    }

    void write(std::string_view output) {
        next_.async_write_some(asio::buffer(output.data(), output.size()),
                               [self = this->shared_from_this()](const std::error_code& error, std::size_t count) {
                                   self->step([&] { self->on_written(error, count); });
                               });
    }

    void read() {
        next_.async_read_some(asio::buffer(bytes_),
                              [self = this->shared_from_this()](const std::error_code& error, std::size_t count) {
                                  self->step([&] { self->on_read(error, count); });
                              });
    }

    void on_written(const std::error_code& error, std::size_t count) {
        if (error) return finish(error_ ? error_ : error); // a reason that the peer does not want to hear
        machine_.commit_output(count);
        go_on();
    }

    void on_read(const std::error_code& error, std::size_t count) {
        if (error) return finish(error);
        machine_.read({bytes_.data(), count}, {}, error_);
        go_on();
    }

    TERN_COLD void finish(const std::error_code& outcome) {
        is_over_ = true;
        limit_.cancel();
        done_(outcome);
    }

    Next& next_;
    Machine& machine_;
    Done done_;
    timer_of<Next> limit_;
    std::error_code error_; // of the machine, reported when its output is written
    bool is_over_ = false;
    std::array<char, 4096> bytes_{};
};

/// Calls `done(std::error_code)` when the machine is ready or has failed, or when the time is over, with
/// `violation(late)`. It may do so before this returns. The transport is open. It and the machine live until then, and
/// until the operations of the transport have ended. After an error the transport is to be closed.
template <transport Next, negotiation_machine Machine, class Done>
TERN_COLD void negotiate(Next& next, Machine& machine, std::chrono::milliseconds limit, errc late, Done done) {
    std::make_shared<negotiation<Next, Machine, Done>>(next, machine, std::move(done))->start(limit, late);
}

} // namespace tern::detail
