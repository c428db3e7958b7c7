// Drives a transport for a session. It opens and closes connections as the session requests, moves bytes, and sets the
// one timer. It makes no decisions about MQTT.
//
// Each completion runs a turn of the owner, which calls `advance` until the transport has to wait. If a transport
// reports when it is readable, the clients of a context share the memory to read into, and the first write of a turn is
// synchronous. Later writes are asynchronous, to limit the delay of other clients of the context.
#pragma once

#include "tern/client/detail/transport/buffers.hpp"
#include "tern/client/detail/transport/deadline_timer.hpp"
#include "tern/client/detail/transport/driver_state.hpp"
#include "tern/client/detail/transport/exclusive_use.hpp"
#include "tern/client/detail/transport/tap.hpp"
#include "tern/client/detail/transport/turn_owner.hpp"
#include "tern/detail/allocation_failure.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/session/session.hpp"
#include "tern/transport/concept.hpp"
#include "tern/transport/served_schemes.hpp"
#include "tern/transport/time.hpp"

#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/execution/context.hpp>
#include <asio/query.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::detail {

template <transport Transport>
class transport_driver {
public:
    using executor_type = typename Transport::executor_type;
    using progress = driver_progress;

    TERN_COLD transport_driver(Transport transport, session& s, turn_owner& owner, exclusive_use& use,
                               const time_point& owners_deadline)
        : session_(s)
        , owner_(owner)
        , use_(use)
        , owners_deadline_(owners_deadline)
        , transport_(std::move(transport))
        , timer_(make_timer_of(transport_))
        , read_buffers_(
              asio::use_service<read_buffers>(asio::query(transport_.get_executor(), asio::execution::context))) {}
    transport_driver(const transport_driver&) = delete;
    transport_driver& operator=(const transport_driver&) = delete;
    ~transport_driver() = default;

    executor_type get_executor() noexcept { return transport_.get_executor(); }
    Transport& transport_layer() noexcept { return transport_; }
    session& served_session() noexcept { return session_; }
    turn_owner& owner() noexcept { return owner_; }
    /// The completion of an operation enters this before it uses the driver.
    exclusive_use& use() noexcept { return use_; }
    /// Replaces the tap. The previous one may be running.
    void set_tap(std::shared_ptr<tap> t) noexcept {
        if (tap_) tap_->stop();
        tap_.swap(t);
    }

    // ---- turns

    time_point now() const noexcept { return now_of(transport_); }
    time_point turn_time() const noexcept { return turn_time_; }
    void begin_turn() noexcept {
        turn_time_ = now();
        written_in_turn_ = 0;
    }

    /// Performs the next action that the session requests of the transport.
    progress advance() {
        paused_ = false;
        if (state_ == state::closing) {
            if (opening_ || reading_ || writing_) return progress::blocked;
            on_closed();
            return progress::made;
        }
        const bool is_refused = state_ == state::down && session_.pending_action() == transport_action::open &&
                                !serves_scheme<Transport>(session_.target().scheme);
        if (is_refused || (session_.pending_action() == transport_action::close && !linger())) {
            close(is_refused ? misuse(errc::unknown_scheme) : std::error_code());
            return progress::made;
        }
        return exchange_bytes();
    }

    /// Follows the last `advance`. Returns shared memory, opens the transport on request, and sets the timer.
    void finish_turn() {
        if (session_.has_read_buffer()) read_buffers_.put_back(session_.reclaim_read_buffer());
        if (state_ == state::down && session_.pending_action() == transport_action::open) open();
        set_timer();
    }

    /// Pauses, because the session has too many events for this turn. The events wait, and with them all deadlines.
    void pause_until_next_turn() {
        paused_ = true;
        start_write();
        set_timer();
    }
    /// Writes as much as the transport accepts immediately, while a large message is still in the cache.
    void write_at_once() noexcept {
        if (tap_) return; // the observer must not run inside a publish function
        const auto write_all = [&] {
            while (write_some()) {
            }
        };
        if (!succeeds_in_allocating(write_all)) on_out_of_memory();
    }
    /// Returns whether this turn has written so many bytes synchronously that it should end. Other clients wait.
    bool has_written_much() const noexcept { return written_in_turn_ >= most_bytes_in_turn; }

    // ---- opening and closing

    bool is_down() const noexcept { return state_ == state::down; }
    bool is_preparing() const noexcept { return state_ == state::preparing; }
    /// Enters `preparing` until the before-connect hook has decided about the attempt.
    void begin_preparing() noexcept { state_ = state::preparing; }
    void end_preparing() noexcept {
        if (state_ == state::preparing) state_ = state::down;
    }

    /// Ends the connection or the attempt, unless it is already closing.
    void fail(std::error_code error) {
        if (state_ != state::closing) close(error);
    }

    TERN_COLD void close(std::error_code error) {
        state_ = state::closing;
        end_error_ = error;
        transport_.close();
    }

    /// Runs `f`. If memory runs out, work may be incomplete, so the driver ends the connection. The session recovers
    /// as from a lost connection.
    template <class F>
    void guard_memory(F f) {
        try {
            f();
        } catch (const std::bad_alloc&) {
            on_out_of_memory();
            throw;
        }
    }

    /// Requests a turn. If allocation fails, the timer, which keeps its memory, expires at once instead.
    void wake_owner() noexcept {
        if (succeeds_in_allocating([&] { owner_.request_turn(); })) return;
        if (timer_.deadline != (time_point::max)()) return timer_.expire_now();
        (void)succeeds_in_allocating([&] { start_timer(turn_time_); }); // otherwise the next call requests a turn
    }

    /// Closes the transport, because the client is destroyed. No later turn uses the transport.
    TERN_COLD void shut_down() {
        end_preparing();
        transport_.close();
        timer_.clear();
    }

private:
    using state = driver_state;

    std::shared_ptr<transport_driver> self() { return {owner_.keep_alive(), this}; }

    // Handles the end of an operation and its consequences.
    template <class F>
    TERN_INLINE void run_turn(F handle) {
        const exclusive_use::scope inside(use_);
        begin_turn();
        guard_memory(handle);
        owner_.run_turn();
    }

    TERN_COLD void on_out_of_memory() noexcept {
        if (state_ != state::down && state_ != state::preparing)
            fail(std::make_error_code(std::errc::not_enough_memory));
        wake_owner();
    }

    // ---- opening and closing

    TERN_COLD void open() {
        transport_.async_open(session_.target(), session_.open_timeouts(),
                              [self = self()](const std::error_code& error) { self->on_opened(error); });
        opening_ = true;
        state_ = state::opening;
    }

    TERN_COLD void on_opened(const std::error_code& error) {
        run_turn([&] {
            opening_ = false;
            if (error) return fail(error);
            if (state_ != state::opening) return;
            state_ = state::open;
            if (tap_) tap_->start();
            session_.on_opened(turn_time_);
        });
    }

    // Lingers after a written DISCONNECT, to let the broker read it. Returns false if none was written.
    TERN_COLD bool linger() {
        if (!has_connection() || !session_.is_disconnect_written()) return false;
        if (state_ == state::open) {
            transport_.shutdown_send();
            begin_lingering({});
        }
        return true;
    }

    TERN_COLD void begin_lingering(const std::error_code& error) noexcept {
        state_ = state::lingering;
        end_error_ = error;
        linger_deadline_ = turn_time_ + linger_time;
    }

    TERN_COLD void on_closed() {
        session_.set_opening_phase(transport_.opening_phase());
        // Many brokers refuse a protocol version that they do not support in this way.
        if (is_stream_end(end_error_) && session_.awaits_connack()) end_error_ = violation(errc::closed_before_connack);
        session_.on_disconnected(end_error_, turn_time_); // if it throws, the next turn repeats the call
        state_ = state::down;
        linger_deadline_ = (time_point::max)();
        end_error_ = {};
    }

    // ---- bytes

    bool has_connection() const noexcept { return state_ == state::open || state_ == state::lingering; }

    // Reading precedes writing. If a write fails, the broker may have sent the reason.
    progress exchange_bytes() {
        if (!has_connection()) return progress::blocked;
        if (!reading_ && session_.is_reading()) start_read();
        if (written_in_turn_ == 0 && write_some()) return progress::made;
        start_write();
        return progress::blocked;
    }

    void start_read() {
        if constexpr (readable_transport<Transport>) {
            // An idle client always waits for bytes: this operation has memory of its own.
            transport_.async_wait_read(idle_handler{std::shared_ptr<reusable_allocation>(self(), &read_memory_),
                                                    [this](const std::error_code& error) { on_readable(error); }});
        } else {
            const std::span<char> room = session_.prepare_read();
            transport_.async_read_some(
                asio::buffer(room.data(), room.size()),
                [self = self(), into = room.data()](const std::error_code& error, std::size_t count) {
                    self->on_read(error, {into, count});
                });
        }
        reading_ = true;
        reads_past_wait_ = 0;
    }

    // After an error, as a reset, bytes that came before it may still be there.
    TERN_INLINE void on_readable(const std::error_code& error) {
        run_turn([&] {
            reading_ = false;
            if (has_connection() && !read_some() && error) commit_read(error, {});
        });
    }

    // Reads what the transport has received. Returns whether that was anything, or the end.
    bool read_some() {
        if (!session_.has_read_buffer()) session_.lend_read_buffer(read_buffers_.take());
        const std::span<char> room = session_.prepare_read();
        std::error_code result;
        const std::size_t count = transport_.read_some(asio::buffer(room.data(), room.size()), result);
        if (result == asio::error::would_block || result == asio::error::try_again) return false;
        commit_read(result, {room.data(), count});
        return true;
    }

    void on_read(const std::error_code& error, std::string_view bytes) {
        run_turn([&] {
            reading_ = false;
            commit_read(error, bytes);
        });
    }

    void commit_read(const std::error_code& error, std::string_view bytes) {
        // A failed write is the cause, unless what was read says more, as an alert of TLS does.
        if (error) return fail(end_error_ && is_stream_end(error) ? end_error_ : error);
        if (tap_) std::shared_ptr<tap>(tap_)->on_received(bytes); // it may set another one
        session_.commit_read(bytes.size(), turn_time_);
    }

    void start_write() {
        if (!can_write()) return;
        transport_.async_write_some(
            write_buffers(session_.pending_write()),
            [self = self()](const std::error_code& error, std::size_t count) { self->on_written(error, count); });
        writing_ = true;
    }

    bool can_write() const noexcept { return state_ == state::open && !writing_ && !session_.pending_write().empty(); }

    // Writes as much as the transport accepts immediately. Returns false if it writes nothing.
    bool write_some() {
        if constexpr (writes_at_once<Transport>) {
            if (!can_write()) return false;
            turn_time_ = now(); // the turn may have taken long
            std::error_code error;
            const std::size_t count = transport_.write_some(write_buffers(session_.pending_write()), error);
            if (error == asio::error::would_block || error == asio::error::try_again) return false;
            written_in_turn_ = static_cast<unsigned>((std::min)(written_in_turn_ + count, most_bytes_in_turn));
            commit_write(error, count);
            return true;
        } else {
            return false;
        }
    }

    void on_written(const std::error_code& error, std::size_t count) {
        run_turn([&] {
            writing_ = false;
            commit_write(error, count);
        });
    }

    TERN_INLINE void commit_write(const std::error_code& error, std::size_t count) {
        if (error) return on_write_error(error);
        if (tap_) std::shared_ptr<tap>(tap_)->on_sent(session_.pending_write(), count);
        session_.commit_write(count, turn_time_);
    }

    // The broker may have sent the reason before it closed the connection. The driver reads it first.
    TERN_COLD void on_write_error(const std::error_code& error) {
        if (state_ != state::open || !reading_) return fail(error);
        begin_lingering(error);
    }

    void set_timer() {
        if (state_ == state::closing) return;
        const bool reads_on = reads_past_wait_ != 0 && has_connection() && session_.is_reading();
        const time_point deadline =
            reads_on ? turn_time_ : (std::min)({session_.next_deadline(), linger_deadline_, owners_deadline_});
        if (deadline == (time_point::max)() && is_down() && session_.is_idle()) return timer_.clear();
        if (deadline < timer_.deadline) start_timer(deadline);
    }
    void start_timer(time_point deadline) {
        timer_.set(deadline, self(), [this](time_point ended) {
            const exclusive_use::scope inside(use_);
            if (timer_.expire(ended)) on_timer();
        });
    }

    TERN_COLD void on_timer() {
        run_turn([&] {
            if (turn_time_ >= linger_deadline_)
                fail(end_error_);
            else if (state_ != state::closing && !has_unread_bytes())
                owner_.on_deadline();
        });
    }

    // Before a deadline is believed, what the broker has sent is read and looked at: the timer then expires again.
    bool has_unread_bytes() {
        constexpr int most_reads = 64; // in a row
        if (paused_) return true;
        if constexpr (readable_transport<Transport>) {
            if (!has_connection() || !session_.is_reading()) return false;
            if (reads_past_wait_++ != most_reads && read_some()) return true;
            reads_past_wait_ = reads_past_wait_ > most_reads ? 1 : 0;
        }
        return false;
    }

    session& session_;
    turn_owner& owner_;
    exclusive_use& use_;
    const time_point& owners_deadline_; // may change in each turn
    reusable_allocation read_memory_;   // for the wait for bytes
    Transport transport_;
    deadline_timer<timer_of<Transport>> timer_;
    bool paused_ = false;     // events wait for the next turn
    int reads_past_wait_ = 0; // in a row. Decoded bytes may be left that the outstanding wait does not report
    read_buffers& read_buffers_;
    time_point turn_time_;
    std::shared_ptr<tap> tap_;
    std::error_code end_error_; // lingering: the write error; closing: the cause, none if the session requested it
    time_point linger_deadline_ = (time_point::max)();
    unsigned written_in_turn_ = 0; // bytes, synchronously
    state state_ = state::down;
    bool opening_ = false; // whether an operation is outstanding, also the next two
    bool reading_ = false;
    bool writing_ = false;
};

} // namespace tern::detail
