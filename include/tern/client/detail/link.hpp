// The transport's side of a client: it opens and closes connections as the session wants it, moves the bytes, and
// watches the time. It decides nothing about MQTT.
//
// At most one opening, or one read and one write, and one wait are outstanding; each counts when it has
// been started, which may throw. Whatever happens ends in the engine's `process`, which calls `serve`. All of that is
// a turn, and in a turn it is as late as at its beginning, or when something was last written at once.
//
// From a transport that can tell when there is something to read, it is read into memory that all clients of the
// context share. To such a transport is written at once, the first time in a turn: what comes then is not to keep
// others of the context waiting.
//
//     down --open--> up
//     each of these --an error, or the session wants it--> closing --operations over, session told--> down
#pragma once

#include "tern/client/connect_attempt.hpp"
#include "tern/client/detail/alarm.hpp"
#include "tern/client/detail/engine_base.hpp"
#include "tern/client/detail/operations/reusable_allocation.hpp"
#include "tern/client/detail/operations/operation_pool.hpp"
#include "tern/client/detail/read_buffers.hpp"
#include "tern/client/detail/tap.hpp"
#include "tern/client/detail/write_buffers.hpp"
#include "tern/session/session.hpp"
#include "tern/transport/concept.hpp"
#include "tern/transport/time.hpp"

#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/execution/context.hpp>
#include <asio/query.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <random>
#include <span>
#include <system_error>
#include <utility>

namespace tern::detail {

template <class Engine, transport Transport>
class receiving;

/// The base of an engine. What it calls of that: `process`, `schedule`, `wake`, `take_events`, `has_room`.
template <class Engine, transport Transport>
class link : public engine_base<typename Transport::executor_type>, public attempt_owner {
public:
    using executor_type = typename Transport::executor_type;
    using before_connect = std::function<void(connect_attempt)>;

    executor_type get_executor() noexcept override { return transport_.get_executor(); }
    void* transport_address() noexcept override { return &transport_; }

    void set_before_connect(before_connect hook) override {
        before_connect_ = hook ? std::make_shared<before_connect>(std::move(hook)) : nullptr;
    }
    void set_packet_tap(std::unique_ptr<tap> t) override { tap_ = std::move(t); }

protected:
    ~link() = default;

    Engine& engine() noexcept { return static_cast<Engine&>(*this); }

    time_point now() const noexcept { return now_of(transport_); }
    time_point turn_time() const noexcept { return turn_time_; }
    void begin_turn() noexcept {
        turn_time_ = now();
        at_once_ = 0;
    }

    /// The client is gone.
    void abandon() {
        over_ = true;
        transport_.close();
        alarm_.clear();
    }

    /// Takes the session's events and does with the transport what it wants, until both have to wait.
    void serve() {
        for (;;) {
            engine().take_events();
            if (over_ || handlers_first_) return; // the message callback may be the end of the client
            if (state_ == state::closing) {
                if (opening_ || reading_ || writing_) break;
                on_closed();
                continue;
            }
            const transport_action pending = session_.pending_action();
            if (pending == transport_action::close && !is_lingering())
                close({});
            else if (pending == transport_action::prepare && !preparing_)
                prepare();
            else if (!exchange_bytes())
                break;
            if (over_) return; // the hook was the end of the client
        }
        if (session_.has_read_buffer()) read_buffers_.give_back(session_.reclaim_read_buffer());
        if (state_ == state::down && !opening_ && session_.pending_action() == transport_action::open) open();
        set_alarm();
    }

    /// Further events have to wait, but not what is due.
    void rest() {
        start_write();
        set_alarm();
    }

    /// What has been requested is written, as far as that is possible at once. For large messages, which should not
    /// wait until they are no longer in the processor's cache.
    void write_at_once() noexcept {
        if (tap_) return; // whoever publishes does not expect to be called back
        try {
            while (write_some()) {
            }
        } catch (const std::bad_alloc&) {
            on_no_memory();
        }
    }

    /// So much was written at once that the turn should end: others of the context wait.
    bool has_written_much() const noexcept { return at_once_ >= most_at_once; }

    // Half of something may have been done: the session gets over that as over a lost connection.
    void on_no_memory() noexcept {
        if (state_ != state::down || opening_) fail(std::make_error_code(std::errc::not_enough_memory));
        engine().wake();
    }
    void wake_early() { alarm_.ring_now(); }

    /// The connection, or what opens it, ends.
    void fail(std::error_code error) {
        if (state_ != state::closing) close(error);
    }

    session session_;
    std::error_code last_error_;  // of the attempt or the connection before
    unsigned attempt_number_ = 0; // since the last connection
    bool over_ = false;           // the client is gone
    bool handlers_first_ = false; // before more events: who has got a message may want the next one

private:
    friend Engine;
    friend class receiving<Engine, Transport>;

    explicit link(Transport transport)
        : session_(seed_of(transport))
        , transport_(std::move(transport))
        , alarm_(make_timer_of(transport_))
        , read_buffers_(asio::use_service<read_buffers>(
              asio::query(transport_.get_executor(), asio::execution::context))) {}

    enum class state : std::uint8_t { down, up, closing };

    // After a failed write, or DISCONNECT, the broker may still say something for so long.
    static constexpr std::chrono::seconds last_words_time{1};

    // A transport of a test brings its own chance, as it brings its own time.
    static std::uint64_t seed_of(Transport& t) {
        if constexpr (requires {
                          { t.seed() } -> std::same_as<std::uint64_t>;
                      }) {
            return t.seed();
        } else {
            std::random_device random;
            return std::uint64_t{random()} << 32U ^ random();
        }
    }

    std::shared_ptr<Engine> self() { return engine().shared_from_this(); }

    // What the transport calls: it keeps the engine alive.
    template <auto Then>
    struct handler {
        template <class... Result>
        void operator()(const Result&... result) const {
            link& to = *self;
            (to.*Then)(result...);
        }

        std::shared_ptr<Engine> self;
    };
    template <auto Then>
    handler<Then> then() {
        return {self()};
    }
    // A client that waits has this for long. Its allocator keeps the engine alive: whoever has it may destroy the
    // handler first.
    struct readable_handler : handler<&link::on_readable> {
        using allocator_type = pool_allocator<void, std::shared_ptr<reusable_allocation>>;
        allocator_type get_allocator() const noexcept {
            return allocator_type(std::shared_ptr<reusable_allocation>(this->self, &this->self->wait_memory_));
        }
    };

    // ---- opening, see opening.hpp

    void prepare();
    std::error_code proceed(std::uint64_t attempt, const connect_overrides* renewed) override;
    void give_up(std::uint64_t attempt, std::error_code why) override;
    void open();
    void on_open(const std::error_code& error);

    // ---- closing

    // The session is done with the connection. If it has said so to the broker, the broker has a moment to hear it.
    bool is_lingering() {
        if (state_ != state::up || !session_.is_disconnect_written()) return false;
        if (last_words_until_ == time_point::max()) {
            transport_.shutdown_send();
            last_words_until_ = turn_time_ + last_words_time;
        }
        return true;
    }

    void close(std::error_code error) {
        state_ = state::closing;
        error_ = error;
        preparing_ = false;
        transport_.close();
    }

    // Nothing is outstanding any more.
    void on_closed() {
        session_.set_opening_phase(transport_.opening_phase());
        session_.on_disconnected(error_, turn_time_); // if it throws, this is done again
        state_ = state::down;
        last_words_until_ = time_point::max();
        error_ = write_error_ = {};
    }

    // ---- bytes

    static constexpr bool is_waitable = waitable_transport<Transport>;
    static constexpr std::size_t most_at_once = std::size_t{1} << 20U; // in a turn, or a little more

    void read() {
        if (reading_ || !engine().has_room()) return;
        if constexpr (is_waitable)
            transport_.async_wait_read(readable_handler{self()});
        else
            transport_.async_read_some(prepare_read(), then<&link::on_read>());
        reading_ = true;
    }

    asio::mutable_buffer prepare_read() {
        const std::span<char> room = session_.prepare_read();
        read_into_ = room.data();
        return asio::buffer(room.data(), room.size());
    }

    void on_readable(const std::error_code& error) {
        if (error || state_ != state::up) return on_read(error, 0);
        reading_ = false;
        act([&] {
            if (!session_.has_read_buffer()) session_.lend_read_buffer(read_buffers_.take());
            std::error_code result;
            const std::size_t count = transport_.read_some(prepare_read(), result);
            if (result != asio::error::would_block && result != asio::error::try_again)
                received(result, count);
        });
    }

    void on_read(const std::error_code& error, std::size_t count) {
        reading_ = false;
        act([&] { received(error, count); });
    }

    void received(const std::error_code& error, std::size_t count) {
        if (error) return fail(write_error_ ? write_error_ : error);
        if (tap_) tap_->on_received({read_into_, count});
        session_.commit_read(count, turn_time_);
    }

    // Reading comes first: if writing fails, the broker may have said why. Whether something was written at once, of
    // which the session may have more to say.
    bool exchange_bytes() {
        if (state_ != state::up) return false;
        read();
        if (at_once_ == 0 && write_some()) return true;
        start_write();
        return false;
    }

    void start_write() {
        if (!can_write()) return;
        transport_.async_write_some(write_buffers(session_.pending_write()), then<&link::on_write>());
        writing_ = true;
    }

    bool can_write() const noexcept {
        return state_ == state::up && !writing_ && !write_error_ && !session_.pending_write().empty();
    }

    // As much as the transport takes at once; false if that is nothing.
    bool write_some() {
        if constexpr (is_waitable) {
            if (!can_write()) return false;
            turn_time_ = now(); // the turn may be long
            std::error_code error;
            const std::size_t count = transport_.write_some(write_buffers(session_.pending_write()), error);
            if (error == asio::error::would_block || error == asio::error::try_again) return false;
            at_once_ += count;
            written(error, count);
            return true;
        } else {
            return false;
        }
    }

    void on_write(const std::error_code& error, std::size_t count) {
        writing_ = false;
        act([&] { written(error, count); });
    }

    void written(const std::error_code& error, std::size_t count) {
        if (error) return on_write_error(error);
        if (tap_) tap_->on_sent(session_.pending_write(), count);
        session_.commit_write(count, turn_time_);
    }

    void on_write_error(const std::error_code& error) {
        if (!reading_ || state_ != state::up) return fail(error);
        write_error_ = error; // the broker may have said why it hung up: that is read first
        last_words_until_ = turn_time_ + last_words_time;
    }

    // ---- time

    void set_alarm() {
        if (state_ == state::closing) return;
        const time_point deadline = std::min(session_.next_deadline(), last_words_until_);
        if (deadline == time_point::max() && session_.is_idle()) return alarm_.clear();
        if (!alarm_.is_set_for(deadline)) alarm_.set(deadline, then<&link::on_alarm>());
    }

    void on_alarm() {
        if (over_) return;
        act([&] {
            if (turn_time_ >= last_words_until_)
                fail(write_error_);
            else if (state_ != state::closing)
                session_.on_deadline(turn_time_);
        });
    }

    // Does what has become of an operation, then everything else.
    template <class F>
    void act(F f) {
        begin_turn();
        try {
            f();
        } catch (const std::bad_alloc&) {
            on_no_memory();
            throw;
        }
        engine().process();
    }

    reusable_allocation wait_memory_; // for what an idle client waits
    Transport transport_;
    alarm<timer_of<Transport>> alarm_;
    read_buffers& read_buffers_;
    time_point turn_time_;
    std::size_t at_once_ = 0; // so many bytes were written at once in this turn
    std::unique_ptr<tap> tap_;
    std::shared_ptr<before_connect> before_connect_;

    std::error_code error_;       // why it is closing, unless the session wanted it
    std::error_code write_error_; // nothing more can be written, but perhaps read
    time_point last_words_until_ = time_point::max();
    const char* read_into_ = nullptr;
    std::uint64_t attempt_ = 0; // of those that have waited for the hook
    state state_ = state::down;
    bool preparing_ = false; // the hook has not decided yet
    bool opening_ = false;   // that is outstanding
    bool reading_ = false;
    bool writing_ = false;
};

} // namespace tern::detail

#include "tern/client/detail/opening.hpp"
