// The engine moves bytes between a transport and a session, keeps the timer, and completes handlers. It
// decides nothing about MQTT.
//
// At most one write, one read and one wait are outstanding. Whatever happens ends in `process`: take the
// session's events, close if it wants to, read, write, set the timer, and at last call the handlers that are
// done. Requests only change the session and ask for a `process` in the next turn of the executor: what is
// requested in one turn leaves in one write, and no handler is called inside the call that started it.
//
// The link goes  down --connect--> up --(error, or the session wants to)--> closing --(operations over)-->
// down.
#pragma once

#include "tern/client/detail/operation.hpp"
#include "tern/client/detail/registry.hpp"
#include "tern/session/session.hpp"
#include "tern/transport/concept.hpp"

#include <asio/basic_waitable_timer.hpp>
#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/execution.hpp>
#include <asio/post.hpp>
#include <asio/query.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

namespace tern {

/// The broker's CONNACK; owns what it holds.
struct connect_result : owned<connack> {
    using owned::owned;
};

namespace detail {

// What one gathered write takes.
class write_buffers {
public:
    using value_type = asio::const_buffer;
    using const_iterator = const asio::const_buffer*;

    explicit write_buffers(std::span<const std::string_view> pieces) noexcept {
        for (const std::string_view piece : pieces) {
            if (size_ == buffers_.size()) break;
            buffers_[size_++] = asio::const_buffer(piece.data(), piece.size());
        }
    }
    const_iterator begin() const noexcept { return buffers_.data(); }
    const_iterator end() const noexcept { return buffers_.data() + size_; }

private:
    std::array<asio::const_buffer, 16> buffers_;
    std::size_t size_ = 0;
};

template <transport Transport>
class engine final : public std::enable_shared_from_this<engine<Transport>>, private registry::member {
public:
    using executor_type = typename Transport::executor_type;
    using connect_op = operation_of<connect_result>;
    using ack_op = operation_of<acknowledgement>;
    using receive_op = operation_of<message>;
    using plain_op = operation_of<>;

    explicit engine(Transport transport)
        : transport_(std::move(transport))
        , timer_(transport_.get_executor())
        , registry_(
              asio::use_service<registry>(asio::query(transport_.get_executor(), asio::execution::context))) {
        registry_.add(*this);
    }
    engine(const engine&) = delete;
    engine& operator=(const engine&) = delete;
    ~engine() override {
        registry_.remove(*this);
        destroy_operations();
    }

    executor_type get_executor() noexcept { return transport_.get_executor(); }
    Transport& transport_layer() noexcept { return transport_; }
    bool is_connected() const noexcept { return session_.is_connected(); }

    // ---- requests

    void connect(const connect_options& options, connect_op* op) {
        const errc error = connect_ ? errc::already_connected : session_.connect(options, now());
        if (error != errc::none) return refuse(op, error);
        op->where = operation::is_connect;
        connect_ = op;
        inbox_limit_ = options.inbox_limit;
        link_ = link::up;
        connecting_ = true;
        transport_.async_connect(
            options.host, options.port,
            [self = this->shared_from_this()](std::error_code failed) { self->on_connect(failed); });
        set_timer();
    }

    void publish(const message_view& message, ack_op* op) {
        request(op, [&](op_id id) { return session_.publish(message, id, now()); });
    }
    std::error_code try_publish(const message_view& message) {
        const errc error = session_.publish(message, op_id::none, now());
        if (error != errc::none) return misuse(error);
        schedule();
        return {};
    }
    void subscribe(const subscriptions_view& subscriptions, const subscribe_properties& properties,
                   ack_op* op) {
        request(op, [&](op_id id) { return session_.subscribe(subscriptions, properties, id, now()); });
    }
    void unsubscribe(const filters_view& filters, const unsubscribe_properties& properties, ack_op* op) {
        request(op, [&](op_id id) { return session_.unsubscribe(filters, properties, id, now()); });
    }
    void ping(plain_op* op) {
        request(op, [&](op_id id) { return session_.ping(id, now()); });
    }

    void disconnect(const tern::disconnect& packet, plain_op* op) {
        if (const errc error = session_.disconnect(packet, now()); error != errc::none)
            return refuse(op, error);
        op->where = operation::is_disconnect;
        disconnects_.push_back(op);
        schedule();
    }

    void receive(receive_op* op) {
        op->where = operation::is_receive;
        if (receives_.empty() && !inbox_.empty()) {
            std::get<0>(op->result) = take();
            done(op, {});
        } else if (session_.is_idle()) {
            refuse(op, errc::not_connected);
        } else {
            receives_.push_back(op);
        }
    }
    std::optional<message> try_receive() {
        if (inbox_.empty()) return std::nullopt;
        return take();
    }

    /// The user's cancellation slot was asked to: the operation ends, what was sent goes on by itself.
    void cancel(operation* op) {
        switch (op->where) {
        case operation::is_done: return; // its handler is about to be called
        case operation::is_connect:
            connect_ = nullptr;
            link_error(asio::error::operation_aborted);
            break;
        case operation::is_disconnect: disconnects_.remove(op); break;
        case operation::is_receive: receives_.remove(op); break;
        default: slots_[op->where] = nullptr; // the slot is free when the session says so
        }
        done(op, asio::error::operation_aborted);
    }

    /// The client is destroyed: everything ends with `operation_aborted`.
    void shut_down() {
        over_ = true;
        transport_.close();
        timer_.cancel();
        for (operation* op = take_operation(); op; op = take_operation())
            done(op, asio::error::operation_aborted);
    }

private:
    enum class link : std::uint8_t { down, up, closing };

    struct inbox_entry {
        tern::message message;
        message_token token = message_token::none;
    };

    static time_point now() { return time_point::clock::now(); }

    // Gives an operation a slot, under which the session will speak of it, and makes the request.
    template <class Operation, class Request>
    void request(Operation* op, Request ask) {
        if (free_slots_.empty()) {
            slots_.push_back(nullptr);
            free_slots_.push_back(static_cast<std::uint32_t>(slots_.size() - 1));
        }
        const std::uint32_t slot = free_slots_.back();
        if (const errc error = ask(static_cast<op_id>(slot + 1)); error != errc::none)
            return refuse(op, error);
        free_slots_.pop_back();
        slots_[slot] = op;
        op->where = slot;
        op->takes_answer = std::is_same_v<Operation, ack_op>;
        schedule();
    }

    void refuse(operation* op, errc error) { done(op, misuse(error)); }

    // The operation's handler is called at the end of the next `process`.
    void done(operation* op, std::error_code error) {
        op->where = operation::is_done;
        op->error = error;
        ready_.push_back(op);
        schedule();
    }

    void schedule() {
        if (scheduled_ || processing_ || shut_down_by_context_) return;
        scheduled_ = true;
        asio::post(transport_.get_executor(), [self = this->shared_from_this()] {
            self->scheduled_ = false;
            self->process();
        });
    }

    message take() {
        inbox_entry entry = inbox_.pop_front();
        session_.release(entry.token, now());
        schedule();
        return std::move(entry.message);
    }

    // ---- the transport

    void on_connect(std::error_code error) {
        connecting_ = false;
        if (error)
            link_error(error);
        else if (link_ == link::up)
            session_.on_connected(now());
        process();
    }

    void on_read(std::error_code error, std::size_t count) {
        reading_ = false;
        if (error)
            link_error(error);
        else
            session_.commit_read(count, now());
        process();
    }

    void on_write(std::error_code error, std::size_t count) {
        writing_ = false;
        if (error)
            link_error(error);
        else
            session_.commit_write(count, now());
        process();
    }

    void link_error(std::error_code error) {
        if (link_ != link::up) return;
        link_error_ = error;
        close_link();
    }

    void close_link() {
        link_ = link::closing;
        transport_.close();
        schedule();
    }

    bool is_inbox_full() const noexcept { return inbox_.size() >= inbox_limit_; }

    void read() {
        if (reading_ || connecting_ || link_ != link::up) return;
        const bool wanted = !is_inbox_full();
        if (wanted != wants_to_read_) session_.set_reading(wanted, now());
        wants_to_read_ = wanted;
        if (!wanted) return;
        reading_ = true;
        const std::span<char> room = session_.prepare_read();
        transport_.async_read_some(asio::buffer(room.data(), room.size()),
                                   [self = this->shared_from_this()](std::error_code error, std::size_t n) {
                                       self->on_read(error, n);
                                   });
    }

    void write() {
        if (writing_ || connecting_ || link_ != link::up) return;
        const auto pieces = session_.pending_write();
        if (pieces.empty()) return;
        writing_ = true;
        transport_.async_write_some(write_buffers(pieces),
                                    [self = this->shared_from_this()](std::error_code error, std::size_t n) {
                                        self->on_write(error, n);
                                    });
    }

    // ---- the timer: set again only if it would be late

    void set_timer() {
        if (link_ == link::closing) return;
        const time_point deadline = session_.next_deadline();
        if (session_.is_idle()) {
            timer_set_for_ = time_point::max();
            timer_.cancel();
        } else if (deadline < timer_set_for_) {
            timer_set_for_ = deadline;
            timer_.expires_at(deadline);
            timer_.async_wait(
                [self = this->shared_from_this(), deadline](std::error_code) { self->on_timer(deadline); });
        }
    }

    void on_timer(time_point deadline) {
        if (deadline != timer_set_for_ || over_) return; // it was set anew meanwhile
        timer_set_for_ = time_point::max();
        session_.on_deadline(now());
        process();
    }

    // ---- events

    void process() {
        processing_ = true;
        if (!over_) {
            take_events();
            if (session_.wants_close() && link_ == link::up) close_link();
            if (link_ == link::closing && !connecting_ && !reading_ && !writing_) {
                link_ = link::down;
                session_.on_disconnected(link_error_, now());
                link_error_ = {};
                take_events();
            }
            read();
            write();
            set_timer();
        }
        processing_ = false;
        call_handlers();
    }

    void take_events() {
        // A full inbox leaves the rest where it is: in the session's buffer, and then with the broker.
        while (!is_inbox_full() || link_ != link::up) {
            const std::optional<event> e = session_.poll_event();
            if (!e) break;
            std::visit([this](const auto& of) { this->on(of); }, *e);
        }
    }

    void on(const connected& e) {
        if (!connect_) return;
        std::get<0>(connect_->result) = connect_result(e.packet);
        if (!e.error) done(std::exchange(connect_, nullptr), {});
    }

    void on(const received& e) {
        inbox_.push_back({tern::message(e.message), e.token});
        if (receives_.empty()) return;
        auto* const op = static_cast<receive_op*>(receives_.pop_front());
        std::get<0>(op->result) = take();
        done(op, {});
    }

    void on(const completed& e) {
        const auto slot = static_cast<std::uint32_t>(static_cast<std::uint64_t>(e.op) - 1);
        operation* const op = std::exchange(slots_[slot], nullptr);
        free_slots_.push_back(slot);
        if (!op) return; // cancelled
        if (op->takes_answer) std::get<0>(static_cast<ack_op*>(op)->result) = acknowledgement(e.answer);
        done(op, e.error);
    }

    void on(const closed& e) {
        const std::error_code error = e.error ? e.error : misuse(errc::disconnected);
        if (connect_) done(std::exchange(connect_, nullptr), error);
        while (!receives_.empty())
            done(receives_.pop_front(), error);
        while (!disconnects_.empty())
            done(disconnects_.pop_front(), {});
    }

    void call_handlers() {
        // A handler may throw through `run`: then the others are called in the next turn.
        struct guard {
            engine& self;
            ~guard() {
                if (!self.ready_.empty()) self.schedule();
            }
        } const guard{*this};
        while (!ready_.empty())
            ready_.pop_front()->deliver();
    }

    // ---- the end

    // Takes out any operation that is not yet done.
    operation* take_operation() noexcept {
        if (connect_) return std::exchange(connect_, nullptr);
        if (!receives_.empty()) return receives_.pop_front();
        if (!disconnects_.empty()) return disconnects_.pop_front();
        for (; !slots_.empty(); slots_.pop_back())
            if (operation* const op = std::exchange(slots_.back(), nullptr)) return op;
        return nullptr;
    }

    void destroy_operations() noexcept {
        for (operation* op = take_operation(); op; op = take_operation())
            op->destroy();
        while (!ready_.empty())
            ready_.pop_front()->destroy();
    }

    void on_context_shutdown() override {
        const auto self = this->weak_from_this().lock();
        over_ = shut_down_by_context_ = true;
        destroy_operations();
    }

    Transport transport_;
    session session_;
    asio::basic_waitable_timer<time_point::clock, asio::wait_traits<time_point::clock>, executor_type> timer_;
    time_point timer_set_for_ = time_point::max();
    registry& registry_;

    link link_ = link::down;
    std::error_code link_error_;
    bool connecting_ = false;
    bool reading_ = false;
    bool writing_ = false;
    bool wants_to_read_ = true;
    bool scheduled_ = false;  // a `process` will come
    bool processing_ = false; // and this is one
    bool over_ = false;       // the client is gone
    bool shut_down_by_context_ = false;

    ring<inbox_entry> inbox_;
    std::size_t inbox_limit_ = 0;

    connect_op* connect_ = nullptr;
    operation_list receives_;
    operation_list disconnects_;
    operation_list ready_;
    std::vector<operation*> slots_; // by op id - 1; null: free, or cancelled and not yet completed
    std::vector<std::uint32_t> free_slots_;
};

} // namespace detail
} // namespace tern
