// The transport's side of a client: it opens and closes connections as the session wants it, moves the bytes, and
// watches the time. It decides nothing about MQTT.
//
// At most one resolve or connect, or one read and one write, and one wait are outstanding; each counts when it has
// been started, which may throw. Whatever happens ends in the engine's `process`, which calls `serve`.
//
//     down --resolve, connect--> up
//     each of these --an error, or the session wants it--> closing --operations over, session told--> down
#pragma once

#include "tern/client/connect_attempt.hpp"
#include "tern/client/detail/alarm.hpp"
#include "tern/client/detail/tap.hpp"
#include "tern/client/detail/write_buffers.hpp"
#include "tern/session/session.hpp"
#include "tern/transport/concept.hpp"
#include "tern/transport/time.hpp"

#include <asio/buffer.hpp>

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

/// The base of an engine. What it calls of that: `process`, `schedule`, `wake`, `take_events`, `has_room`.
template <class Engine, transport Transport>
class link : public attempt_owner {
public:
    using executor_type = typename Transport::executor_type;
    using before_connect = std::function<void(connect_attempt)>;

    executor_type get_executor() noexcept { return transport_.get_executor(); }
    Transport& transport_layer() noexcept { return transport_; }

    void set_before_connect(before_connect hook) { before_connect_ = std::move(hook); }
    void set_packet_tap(tap::observer observer) {
        tap_ = observer ? std::make_unique<tap>(std::move(observer)) : nullptr;
    }

protected:
    ~link() = default;

    time_point now() const noexcept { return now_of(transport_); }

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
            if (state_ == state::closing) {
                if (opening_ || reading_ || writing_) break;
                on_closed();
                continue;
            }
            const transport_action wanted = session_.wanted();
            if (wanted == transport_action::close && !is_lingering())
                close({});
            else if (wanted == transport_action::prepare && !preparing_)
                prepare();
            else
                break;
            if (over_) return; // the hook was the end of the client
        }
        if (state_ == state::up) {
            read();
            write();
        } else if (state_ == state::down && !opening_) {
            if (session_.wanted() == transport_action::resolve) resolve();
            if (session_.wanted() == transport_action::connect) connect();
        }
        set_alarm();
    }

    // Half of something may have been done: the session gets over that as over a lost connection.
    void on_no_memory() noexcept {
        if (state_ != state::down || opening_) fail(std::make_error_code(std::errc::not_enough_memory));
        engine().wake();
    }
    void wake_early() { alarm_.ring_now(); }

    session session_;
    std::error_code last_error_;  // of the attempt or the connection before
    unsigned attempt_number_ = 0; // since the last connection
    bool over_ = false;           // the client is gone

private:
    friend Engine;

    explicit link(Transport transport)
        : session_(seed_of(transport))
        , transport_(std::move(transport))
        , alarm_(make_timer_of(transport_)) {}

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

    Engine& engine() noexcept { return static_cast<Engine&>(*this); }
    std::shared_ptr<Engine> self() { return engine().shared_from_this(); }

    // ---- opening

    void prepare() {
        if (!before_connect_) return session_.on_prepared(now());
        const before_connect hook = before_connect_; // it may set another one
        connect_attempt attempt(self(), ++attempt_, session_.target(), attempt_number_, last_error_);
        preparing_ = true;
        hook(std::move(attempt));
    }

    std::error_code proceed(std::uint64_t attempt, const connect_renewal* renewed) override {
        if (over_ || !preparing_ || attempt != attempt_) return {};
        engine().schedule();
        preparing_ = false;
        if (!renewed) {
            session_.on_prepared(now());
        } else if (const errc error = session_.on_prepared(*renewed, now()); error != errc::none) {
            close(misuse(error));
            return misuse(error);
        }
        return {};
    }

    void give_up(std::uint64_t attempt, std::error_code why) override {
        if (over_ || !preparing_ || attempt != attempt_) return;
        close(why);
        engine().wake();
    }

    void resolve() {
        const endpoint target = session_.target();
        transport_.async_resolve(target.host, target.port,
                                 [self = self()](std::error_code error, std::size_t addresses) {
                                     self->on_resolve(error, addresses);
                                 });
        opening_ = true;
    }

    void on_resolve(std::error_code error, std::size_t addresses) {
        opening_ = false;
        act([&] {
            if (error)
                fail(error);
            else if (state_ == state::down)
                session_.on_resolved(addresses, now());
        });
    }

    void connect() {
        transport_.async_connect(session_.address(),
                                 [self = self()](std::error_code error) { self->on_connect(error); });
        opening_ = true;
    }

    void on_connect(std::error_code error) {
        opening_ = false;
        act([&] {
            if (error) {
                fail(error);
            } else if (state_ == state::down) {
                state_ = state::up;
                if (tap_) tap_->start();
                session_.on_connected(now());
            }
        });
    }

    // ---- closing

    // The session is done with the connection. If it has said so to the broker, the broker has a moment to hear it.
    bool is_lingering() {
        if (state_ != state::up || !session_.has_said_disconnect()) return false;
        if (last_words_until_ == time_point::max()) {
            transport_.shutdown_send();
            last_words_until_ = now() + last_words_time;
        }
        return true;
    }

    void fail(std::error_code error) {
        if (state_ != state::closing) close(error);
    }

    void close(std::error_code error) {
        state_ = state::closing;
        error_ = error;
        preparing_ = false;
        transport_.close();
    }

    // Nothing is outstanding any more.
    void on_closed() {
        session_.on_disconnected(error_, now()); // if it throws, this is done again
        state_ = state::down;
        last_words_until_ = time_point::max();
        error_ = write_error_ = {};
    }

    // ---- bytes

    void read() {
        if (reading_ || !engine().has_room()) return;
        const std::span<char> room = session_.prepare_read();
        read_into_ = room.data();
        transport_.async_read_some(
            asio::buffer(room.data(), room.size()),
            [self = self()](std::error_code error, std::size_t n) { self->on_read(error, n); });
        reading_ = true;
    }

    void on_read(std::error_code error, std::size_t count) {
        reading_ = false;
        act([&] {
            if (error) {
                fail(write_error_ ? write_error_ : error);
            } else {
                if (tap_) tap_->on_received({read_into_, count});
                session_.commit_read(count, now());
            }
        });
    }

    void write() {
        if (writing_ || write_error_) return;
        const auto pieces = session_.pending_write();
        if (pieces.empty()) return;
        transport_.async_write_some(
            write_buffers(pieces),
            [self = self()](std::error_code error, std::size_t n) { self->on_write(error, n); });
        writing_ = true;
    }

    void on_write(std::error_code error, std::size_t count) {
        writing_ = false;
        act([&] {
            if (!error) {
                if (tap_) tap_->on_sent(session_.pending_write(), count);
                session_.commit_write(count, now());
            } else if (reading_ && state_ == state::up) {
                write_error_ = error; // the broker may have said why it hung up: that is read first
                last_words_until_ = now() + last_words_time;
            } else {
                fail(error);
            }
        });
    }

    // ---- time

    void set_alarm() {
        if (state_ == state::closing) return;
        const time_point deadline = std::min(session_.next_deadline(), last_words_until_);
        if (deadline == time_point::max() && session_.is_idle()) return alarm_.clear();
        alarm_.set(deadline, [self = self()] { self->on_alarm(); });
    }

    void on_alarm() {
        if (over_) return;
        act([&] {
            if (now() >= last_words_until_)
                fail(write_error_);
            else if (state_ != state::closing)
                session_.on_deadline(now());
        });
    }

    // Does what has become of an operation, then everything else.
    template <class F>
    void act(F f) {
        try {
            f();
        } catch (const std::bad_alloc&) {
            on_no_memory();
            throw;
        }
        engine().process();
    }

    Transport transport_;
    alarm<timer_of<Transport>> alarm_;
    std::unique_ptr<tap> tap_;
    before_connect before_connect_;

    state state_ = state::down;
    std::error_code error_;       // why it is closing, unless the session wanted it
    std::error_code write_error_; // nothing more can be written, but perhaps read
    time_point last_words_until_ = time_point::max();
    const char* read_into_ = nullptr;
    std::uint64_t attempt_ = 0; // of those that have waited for the hook
    bool preparing_ = false;    // the hook has not decided yet
    bool opening_ = false;      // a resolve or a connect is outstanding
    bool reading_ = false;
    bool writing_ = false;
};

} // namespace tern::detail
