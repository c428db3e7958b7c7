// The state of a transport that transforms the bytes of another one: TLS or WebSocket. A machine does that without I/O;
// all I/O is here.
//
//     closed --async_open--> opening the transport below --it is open--> negotiating --the machine is ready--> open
//     any of these --close--> closed
//
// Writing. The machine encodes what the client writes, and appends answers of its own. One write of the transport below
// is outstanding at a time, and its bytes stay where they are. Encoded bytes are kept until they are passed
// on: meanwhile the client's next write begins with the same bytes, which are not encoded twice.
//
// The client's operations wait on timers that never expire. The steps of the transport below store no handler of the
// client, so that a step without memory can still complete the operation.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/transport/concept.hpp"
#include "tern/transport/detail/first_buffers.hpp"
#include "tern/transport/detail/negotiation.hpp"
#include "tern/transport/time.hpp"

#include <asio/basic_waitable_timer.hpp>
#include <asio/buffer.hpp>
#include <asio/compose.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::detail {

/// Transforms the bytes of one connection. It knows no socket, timer or handler, and throws only `std::bad_alloc`.
///
/// - It is constructed from its settings and the endpoint, of which it copies what it needs. Settings that cannot be
///   used are a `std::system_error`.
/// - `output()` returns the bytes to be written to the transport below. They stay where they are until
///   `commit_output(count)`, also while the machine appends further bytes. `commit_output` returns how many of the
///   bytes that `write` took the peer may process from now on.
/// - `read(raw, plain, error)` takes all of `raw`, and writes decoded bytes to `plain`, which is empty during the
///   negotiation. It returns their number. It sets the error, with no bytes, when the stream has ended or is broken.
///   `has_plain()` returns whether `read` with no further bytes would return some, or an error.
/// - `write(buffers)` encodes as many bytes as it likes, at least one, and returns their number. It returns 0 while the
///   machine must read something first, and when it has failed, which `read` reports. A write then waits, and is tried
///   again after each `read`, until the transport is closed.
/// - `shutdown()` appends the orderly end, after which the machine appends nothing. `trim()` frees large buffers that
///   hold nothing.
/// - `phase`, `late` and `limit(timeouts)` say which phase its negotiation is. `closed_early`, if it exists, is the
/// error
///   of a stream that ends during it.
template <class T>
concept layer_machine =
    negotiation_machine<T> && std::constructible_from<T, const typename T::settings&, const endpoint&> &&
    requires(T& machine, const T& constant, const std::array<asio::const_buffer, 2>& buffers,
             const open_timeouts& timeouts) {
        { machine.commit_output(std::size_t{}) } -> std::same_as<std::size_t>;
        { constant.has_plain() } noexcept -> std::same_as<bool>;
        { machine.write(buffers) } -> std::same_as<std::size_t>;
        machine.shutdown();
        { machine.trim() } noexcept;
        { T::phase } -> std::convertible_to<connection_phase>;
        { T::late } -> std::convertible_to<errc>;
        { T::limit(timeouts) } -> std::same_as<std::chrono::milliseconds>;
    };

/// A machine whose `read` accepts received bytes at the beginning of the room for decoded ones. They are then received
/// there, many at once and without another copy.
template <class Machine>
concept decodes_in_place = requires { requires Machine::decodes_in_place; };

/// The state of a layer, on the heap, since a layer is moved.
template <transport Next, layer_machine Machine>
class layer_state : public std::enable_shared_from_this<layer_state<Next, Machine>> {
public:
    using executor_type = typename Next::executor_type;
    using settings = typename Machine::settings;
    using timer = asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>,
                                             executor_type>;

    explicit layer_state(Next n)
        : next(std::move(n))
        , read_end(next.get_executor(), (timer::time_point::max)())
        , write_end(next.get_executor(), (timer::time_point::max)()) {}

    // ---- opening

    TERN_COLD void open(const endpoint& where, const open_timeouts& timeouts) {
        stage_ = stage::opening;
        has_negotiated_ = false;
        kept_ = 0;
        is_writing_ = false;
        raw_.reset();
        machine.reset();
        try {
            machine = std::make_shared<Machine>(options, where);
        } catch (const std::system_error& e) {
            stage_ = stage::negotiating;
            has_negotiated_ = true;
            return asio::post(next.get_executor(), [self = this->shared_from_this(), code = e.code()] {
                self->on_negotiated(nullptr, code);
            });
        }
        next.async_open(where, timeouts,
                        [self = this->shared_from_this(), for_machine = machine, timeouts](const std::error_code& e) {
                            self->on_opened(for_machine, e, timeouts);
                        });
    }
    /// The opening has ended, unless it is aborted yet.
    const std::error_code& opening_error() const noexcept { return read_error_; }

    connection_phase opening_phase() const noexcept { return has_negotiated_ ? Machine::phase : next.opening_phase(); }

    // ---- reading

    bool has_plain() const noexcept { return machine && machine->has_plain(); }

    /// As `read_some` of a transport. It reads until the transport below has no more bytes, or `into` is full: a wait
    /// between two records of a large message would cost more than the read. An error behind decoded bytes is reported
    /// by the next call.
    std::size_t read_some(asio::mutable_buffer into, std::error_code& result) noexcept {
        try {
            const std::span<char> plain(static_cast<char*>(into.data()), into.size());
            if (has_plain()) return decode({}, plain, result);
            if constexpr (decodes_in_place<Machine>) {
                const std::size_t bytes = next.read_some(into, result);
                return result ? 0 : decode({plain.data(), bytes}, plain, result);
            }
            raw_buffer raw; // NOLINT(*-member-init): it is written before it is read
            std::size_t total = 0;
            std::size_t bytes = 0;
            do {
                bytes = next.read_some(asio::buffer(raw), result);
                if (!result) total += decode({raw.data(), bytes}, plain.subspan(total), result);
            } while (!result && bytes == raw.size() && total != plain.size());
            if (total != 0) result = {};
            return total;
        } catch (const std::bad_alloc&) {
            result = std::make_error_code(std::errc::not_enough_memory);
            return 0;
        }
    }

    /// Reads until there are decoded bytes, or an error. Then `read_end` ends.
    void start_read(asio::mutable_buffer into) {
        plain_ = into;
        if (!has_plain()) return read_raw();
        asio::post(next.get_executor(), [self = this->shared_from_this()] { self->on_raw(self->machine, {}, {}); });
    }
    void abandon_read() noexcept { plain_ = {}; }
    const std::error_code& read_error() const noexcept { return read_error_; }
    std::size_t read_count() const noexcept { return read_count_; }

    // ---- writing

    /// As `write_some` of a transport.
    template <class Buffers>
    std::size_t write_some(const Buffers& buffers, std::error_code& result) noexcept {
        try {
            if (is_writing_) return would_block(result);
            encode(buffers);
            if (kept_ == 0) return would_block(result); // the machine has to read first, or has failed
            return write_raw_at_once(result);
        } catch (const std::bad_alloc&) {
            result = std::make_error_code(std::errc::not_enough_memory);
            return 0;
        }
    }

    /// Writes until bytes of the client are passed on, or there is an error. Then `write_end` ends.
    template <class Buffers>
    void start_write(const Buffers& buffers) {
        encode(buffers);
        if (kept_ == 0) refused_ = first_buffers(buffers);
        if (!is_writing_ && !machine->output().empty()) write_raw();
        client_waits_ = true;
    }
    void abandon_write() noexcept { client_waits_ = false; }
    const std::error_code& write_error() const noexcept { return write_error_; }
    std::size_t write_count() const noexcept { return write_count_; }

    TERN_COLD void shutdown_send() noexcept {
        if (stage_ != stage::open) return next.shutdown_send();
        stage_ = stage::shutting_down;
        try {
            machine->shutdown();
            flush();
        } catch (const std::bad_alloc&) {
            next.shutdown_send();
        }
    }

    TERN_COLD void close() noexcept {
        stage_ = stage::closed;
        next.close();
        finish_opening(asio::error::operation_aborted);
        finish_read(asio::error::operation_aborted, 0);
        finish_write(asio::error::operation_aborted, 0);
    }

    Next next;
    settings options;
    std::shared_ptr<Machine> machine; // of the present connection, or of the last one
    timer read_end;                   // an operation that opens or reads waits for it
    timer write_end;

private:
    using raw_buffer = std::array<char, 17 * 1024>; // more than the largest record of TLS

    enum class stage : std::uint8_t {
        closed,        ///< There is no connection.
        opening,       ///< The transport below opens.
        negotiating,   ///< The machine negotiates.
        open,          ///< Bytes flow.
        shutting_down, ///< The end of the sending direction has been encoded.
    };

    static std::size_t would_block(std::error_code& result) noexcept {
        result = asio::error::would_block;
        return 0;
    }

    // ---- opening

    TERN_COLD void on_opened(const std::shared_ptr<Machine>& for_machine, const std::error_code& failure,
                             const open_timeouts& timeouts) {
        if (for_machine != machine || stage_ != stage::opening) return;
        if (failure) return finish_opening(failure);
        stage_ = stage::negotiating;
        has_negotiated_ = true;
        try {
            negotiate(next, *machine, Machine::limit(timeouts), Machine::late,
                      [self = this->shared_from_this(), for_machine](const std::error_code& e) {
                          self->on_negotiated(for_machine, e);
                      });
        } catch (const std::bad_alloc&) {
            finish_opening(std::make_error_code(std::errc::not_enough_memory));
        }
    }

    TERN_COLD void on_negotiated(const std::shared_ptr<Machine>& for_machine, const std::error_code& failure) {
        if (for_machine != machine || stage_ != stage::negotiating) return;
        if (!failure) stage_ = stage::open;
        if constexpr (requires { Machine::closed_early; })
            if (failure == asio::error::eof) return finish_opening(Machine::closed_early);
        finish_opening(failure);
    }

    TERN_COLD void finish_opening(const std::error_code& result) noexcept {
        read_error_ = result; // a successful opening can still be aborted
        read_end.cancel();
    }

    // ---- reading

    std::size_t decode(std::string_view raw, std::span<char> plain, std::error_code& result) {
        result = {};
        const std::size_t decoded = machine->read(raw, plain, result);
        if (client_waits_ && kept_ == 0 && stage_ == stage::open) encode(refused_);
        if (!machine->output().empty()) flush();
        if (decoded != 0 || result) return decoded;
        machine->trim();
        return would_block(result);
    }

    void read_raw() {
        if (!raw_) raw_ = std::make_shared<raw_buffer>();
        next.async_read_some(asio::buffer(*raw_), [self = this->shared_from_this(), for_machine = machine,
                                                   raw = raw_](const std::error_code& e, std::size_t bytes) {
            self->on_raw(for_machine, e, {raw->data(), bytes});
        });
    }

    void on_raw(const std::shared_ptr<Machine>& for_machine, std::error_code failure, std::string_view raw) {
        if (for_machine != machine || plain_.data() == nullptr) return;
        if (failure) return finish_read(failure, 0);
        try {
            const std::size_t bytes = decode(raw, {static_cast<char*>(plain_.data()), plain_.size()}, failure);
            if (failure != asio::error::would_block) return finish_read(failure, bytes);
            read_raw();
        } catch (const std::bad_alloc&) {
            finish_read(std::make_error_code(std::errc::not_enough_memory), 0);
        }
    }

    void finish_read(const std::error_code& result, std::size_t bytes) noexcept {
        if (plain_.data() == nullptr) return;
        plain_ = {};
        read_error_ = result;
        read_count_ = bytes;
        read_end.cancel();
    }

    // ---- writing

    template <class Buffers>
    void encode(const Buffers& buffers) {
        if (kept_ == 0) kept_ = machine->write(buffers);
    }

    // How many bytes of the client are passed on by this.
    std::size_t commit(std::size_t bytes) noexcept {
        const std::size_t passed_on = machine->commit_output(bytes);
        kept_ -= passed_on;
        return passed_on;
    }

    std::size_t write_raw_at_once(std::error_code& result) {
        std::size_t passed_on = 0;
        result = {};
        while (!result) {
            const std::string_view output = machine->output();
            if (output.empty()) return passed_on != 0 ? passed_on : would_block(result); // a machine that has ended
            const std::size_t bytes = next.write_some(std::array{asio::buffer(output.data(), output.size())}, result);
            passed_on += commit(bytes);
        }
        if (passed_on != 0) result = {};
        return passed_on;
    }

    void write_raw() {
        const std::string_view output = machine->output();
        next.async_write_some(
            asio::buffer(output.data(), output.size()),
            [self = this->shared_from_this(), for_machine = machine](const std::error_code& e, std::size_t bytes) {
                if (for_machine == self->machine) self->on_raw_written(e, bytes);
            });
        is_writing_ = true;
    }

    void on_raw_written(const std::error_code& failure, std::size_t bytes) {
        is_writing_ = false;
        if (stage_ == stage::closed) return;
        if (failure) return finish_write(failure, 0);
        try {
            if (const std::size_t passed_on = commit(bytes); passed_on != 0) finish_write({}, passed_on);
            flush();
        } catch (const std::bad_alloc&) {
            finish_write(std::make_error_code(std::errc::not_enough_memory), 0);
        }
    }

    void finish_write(const std::error_code& result, std::size_t bytes) noexcept {
        if (!client_waits_) return;
        client_waits_ = false;
        write_error_ = result;
        write_count_ = bytes;
        write_end.cancel();
    }

    // Writes the answers of the machine. The rest of what the client has written leaves with the client's next write.
    void flush() {
        if (is_writing_ || (kept_ != 0 && !client_waits_ && stage_ == stage::open)) return;
        if constexpr (writes_at_once<Next>) {
            std::error_code failure; // the next operation reports it
            if (kept_ == 0) write_raw_at_once(failure);
        }
        if (!machine->output().empty()) return write_raw();
        if (stage_ == stage::shutting_down) next.shutdown_send();
    }

    std::shared_ptr<raw_buffer> raw_; // only without readiness of the transport below
    asio::mutable_buffer plain_;      // of the operation that reads
    std::error_code read_error_;
    std::size_t read_count_ = 0;
    std::error_code write_error_;
    std::size_t write_count_ = 0;
    std::size_t kept_ = 0;  // bytes of the client that are encoded, and not yet passed on
    first_buffers refused_; // of an operation that waits while nothing is kept
    stage stage_ = stage::closed;
    bool has_negotiated_ = false; // the present or the last opening has reached the negotiation
    bool is_writing_ = false;     // a write of the transport below is outstanding
    bool client_waits_ = false;   // an operation waits for `write_end`
};

} // namespace tern::detail
