// The engine of a client: it passes requests to the session, keeps the operations that wait for their ends, and
// calls their handlers. It decides nothing about MQTT. The transport is the link's, its base.
//
// Whatever happens ends in `process`: take the session's events, serve the transport, and at last call the handlers
// that are done. Requests only change the session and ask for a `process` in the next turn of the executor: what is
// requested in one turn leaves in one write, and no handler is called inside the call that started it.
// An operation ends when the session says so (`completed`), or with everything else when the session has `stopped`.
// A connection that is lost and made again ends none.
#pragma once

#include "tern/client/connect_result.hpp"
#include "tern/client/detail/copy_of.hpp"
#include "tern/client/detail/inbox.hpp"
#include "tern/client/detail/link.hpp"
#include "tern/client/detail/operation.hpp"
#include "tern/client/detail/pending.hpp"
#include "tern/client/detail/registry.hpp"
#include "tern/client/received_message.hpp"
#include "tern/session/session.hpp"
#include "tern/transport/concept.hpp"

#include <asio/error.hpp>
#include <asio/execution/context.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <asio/query.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace tern::detail {

template <transport Transport>
class engine final : public link<engine<Transport>, Transport>,
                     public message_owner,
                     public std::enable_shared_from_this<engine<Transport>>,
                     private registry::member {
    using base = link<engine, Transport>;

public:
    using connect_op = operation_ptr<operation_of<connect_result>>;
    using ack_op = operation_ptr<operation_of<acknowledgement>>;
    using receive_op = operation_ptr<operation_of<received_message>>;
    using event_op = operation_ptr<operation_of<connection_event>>;
    using plain_op = operation_ptr<operation_of<>>;

    explicit engine(Transport transport)
        : base(std::move(transport))
        , registry_(
              asio::use_service<registry>(asio::query(this->get_executor(), asio::execution::context))) {
        registry_.add(*this);
    }
    engine(const engine&) = delete;
    engine& operator=(const engine&) = delete;
    ~engine() override {
        registry_.remove(*this);
        pending_.destroy_all();
    }

    bool is_connected() const noexcept { return session_.is_connected(); }
    tern::counters counters() const noexcept { return session_.counters(); }

    // ---- requests

    void connect(connect_op op, const connect_options& options) {
        if (const errc error = session_.connect(options, now()); error != errc::none)
            return refuse(op.release(), error);
        inbox_.set_limits(options.inbox_limit, options.inbox_bytes);
        manual_ = options.acknowledge == acknowledgement_mode::manual;
        untold_ = {};
        this->last_error_ = {};
        work_.emplace(this->get_executor());
        pending_.add_connect(op.release());
    }

    void publish(ack_op op, const message_view& message, const publish_options& options) {
        request(std::move(op), [&](op_id id) { return session_.publish(message, options, id, now()); });
    }
    std::error_code try_publish(const message_view& message, const publish_options& options) {
        if (const errc error = session_.publish(message, options, op_id::none, now()); error != errc::none)
            return misuse(error);
        schedule();
        return {};
    }
    void subscribe(ack_op op, const subscriptions_view& list, const subscribe_properties& properties) {
        request(std::move(op), [&](op_id id) { return session_.subscribe(list, properties, id, now()); });
    }
    void subscribe_one(ack_op op, const subscription& one) {
        subscribe(std::move(op), std::span<const subscription>(&one, 1), {});
    }
    void unsubscribe(ack_op op, const filters_view& list, const unsubscribe_properties& properties) {
        request(std::move(op), [&](op_id id) { return session_.unsubscribe(list, properties, id, now()); });
    }
    void unsubscribe_one(ack_op op, std::string_view filter) {
        unsubscribe(std::move(op), std::span<const std::string_view>(&filter, 1), {});
    }
    void ping(plain_op op) {
        request(std::move(op), [&](op_id id) { return session_.ping(id, now()); });
    }

    void drain(plain_op op, std::chrono::milliseconds timeout) {
        request(std::move(op), [&](op_id id) {
            if (timeout.count() < 0 || timeout > std::chrono::years(1)) return errc::invalid_argument;
            session_.drain(id, timeout.count() == 0 ? time_point::max() : now() + timeout, now());
            return errc::none;
        });
    }

    void disconnect(plain_op op, const tern::disconnect& packet) {
        if (const errc error = session_.disconnect(packet, now()); error != errc::none)
            return refuse(op.release(), error);
        pending_.add_disconnect(op.release());
    }

    void receive(receive_op op) {
        if (!pending_.is_receiving() && !inbox_.empty()) {
            std::get<0>(op->result) = take();
            done(op.release(), {});
        } else if (session_.is_idle()) {
            done(op.release(), untold_ ? std::exchange(untold_, {}) : misuse(errc::not_connected));
        } else {
            pending_.add_receive(op.release());
        }
    }
    std::optional<received_message> try_receive() {
        return inbox_.empty() ? std::nullopt : std::optional(take());
    }

    void next_event(event_op op) {
        if (pending_.awaits_event() || events_.empty()) return pending_.add_next_event(op.release());
        std::get<0>(op->result) = events_.pop_front();
        done(op.release(), {});
    }

    // ---- ends
    /// The user's cancellation slot was asked to: the operation ends. What has been sent goes on by itself.
    void cancel(operation* op) {
        if (op == pending_.connect()) return stop(); // its handler can connect again
        schedule();
        const op_id id = pending::id_of(op);
        if (id != op_id::none && session_.withdraw(id, now()))
            pending_.take(id);
        else if (!pending_.remove(op))
            return;
        done(op, asio::error::operation_aborted);
    }

    /// Everything ends with `operation_aborted`.
    void stop() {
        schedule();
        session_.stop(asio::error::operation_aborted, now());
        if (!processing_) take_events(); // without a connection this is the end already
    }
    void cancel_all() {
        while (pending_.awaits_event()) // the others end with the session
            done(pending_.take_next_event(), asio::error::operation_aborted);
        stop();
    }

    /// The client is destroyed: everything ends with `operation_aborted`, without the session.
    void shut_down() {
        this->abandon();
        work_.reset();
        while (operation* const op = pending_.take_any())
            pending_.done(op, asio::error::operation_aborted);
        try {
            if (pending_.has_ready()) schedule();
        } catch (const std::bad_alloc&) {
            pending_.destroy_all(); // they cannot be called
        }
    }

    /// Asks for a `process` in the next turn of the executor.
    void schedule() {
        if (scheduled_ || processing_ || shut_down_by_context_) return;
        asio::post(this->get_executor(), [self = this->shared_from_this()] {
            self->scheduled_ = false;
            self->process();
        });
        scheduled_ = true;
    }

    /// The same, when it may not throw. Without memory it is the next that happens that brings a `process`.
    void wake() noexcept {
        try {
            schedule();
        } catch (const std::bad_alloc&) {
            this->wake_early();
        }
    }

private:
    friend base;
    using base::now;
    using base::session_;

    // So many handlers are called in one turn of the executor: one that always begins something which is done
    // at once must not keep the others of its context from running.
    static constexpr int handlers_per_turn = 256;
    // So many connection events are kept for somebody who asks for them.
    static constexpr std::size_t events_kept = 64;

    // Makes the request under the id by which the session will speak of the operation.
    template <class Operation, class Request>
    void request(Operation op, Request ask) {
        op->takes_answer = std::is_same_v<Operation, ack_op>;
        if (const errc error = ask(pending_.next_id()); error != errc::none)
            return refuse(op.release(), error);
        pending_.add(op.release());
    }

    void refuse(operation* op, errc error) { done(op, misuse(error)); }

    // The operation's handler is called at the end of a `process`.
    void done(operation* op, std::error_code error) {
        pending_.done(op, error);
        schedule();
    }

    received_message take() {
        schedule(); // there is room to read again
        inbox::entry entry = inbox_.pop();
        return hand_over(std::move(entry.message), entry.dup, entry.token);
    }

    received_message hand_over(message m, bool dup, message_token token) {
        if (token == message_token::none) return received_message(std::move(m), dup);
        if (manual_) return received_message(std::move(m), dup, token, this->weak_from_this());
        release(token);
        return received_message(std::move(m), dup);
    }

    // The acknowledgement that cannot be sent for lack of memory is sent on the next connection.
    void release(message_token token) noexcept {
        try {
            session_.release(token, now());
        } catch (const std::bad_alloc&) {
            this->on_no_memory();
        }
    }

    void acknowledge(message_token token) override {
        if (this->over_) return;
        release(token);
        wake();
    }

    // ---- events

    void process() {
        if (!this->over_) {
            processing_ = true;
            struct ending { // a hook may throw: what is left is done all the same
                engine& self;
                bool reached = false;
                ~ending() {
                    self.processing_ = false;
                    if (!reached) self.wake();
                }
            } end{*this};
            try {
                this->serve();
            } catch (const std::bad_alloc&) {
                this->on_no_memory();
                throw;
            }
            end.reached = true;
        }
        call_handlers();
    }

    // Before CONNACK no message can come: those that an earlier connection has left do not count.
    bool has_room() const noexcept { return !inbox_.full() || !session_.is_connected(); }

    void take_events() {
        for (;;) {
            // A full inbox leaves messages where they are: in the session's buffer, and then with the broker.
            if (has_room() != wants_to_read_) {
                wants_to_read_ = !wants_to_read_;
                session_.set_reading(wants_to_read_, now());
            }
            const std::optional<event> e = session_.poll_event();
            if (!e) break;
            std::visit([this](const auto& of) { this->on(of); }, *e);
        }
    }

    void on(const connected& e) {
        auto* const op = static_cast<typename connect_op::pointer>(pending_.connect());
        if (!op) return;
        std::get<0>(op->result) = copy_of<connect_result>(e.packet);
        if (!e.error) done(pending_.take_connect(), {}); // after a refusal it is not over yet
    }

    void on(const received& e) {
        try {
            take_in(e);
        } catch (const std::bad_alloc&) {
            session_.give_back(e.token);
            throw;
        }
    }
    void take_in(const received& e) {
        if (!pending_.is_receiving()) return inbox_.push(e);
        message copy(e.message);
        auto* const op = static_cast<typename receive_op::pointer>(pending_.take_receive());
        std::get<0>(op->result) = hand_over(std::move(copy), e.dup, e.token);
        done(op, {});
    }

    void on(const completed& e) {
        operation* const op = pending_.take(e.op);
        if (!op) return; // cancelled
        if (op->takes_answer)
            std::get<0>(static_cast<typename ack_op::pointer>(op)->result) =
                copy_of<acknowledgement>(e.answer);
        done(op, e.error);
    }

    void on(const connection_event_view& e) {
        if (e.change == connection_change::connecting) this->attempt_number_ = e.attempt;
        if (e.change == connection_change::disconnected) this->last_error_ = e.error;
        if (e.change == connection_change::stopped) end_all(e.error);
        tell(e);
    }

    void tell(const connection_event_view& e) {
        connection_event copy = copy_of<connection_event>(e);
        if (pending_.awaits_event()) {
            auto* const op = static_cast<typename event_op::pointer>(pending_.take_next_event());
            std::get<0>(op->result) = std::move(copy);
            return done(op, {});
        }
        if (events_.size() == events_kept) events_.pop_front();
        try {
            events_.reserve(1);
        } catch (const std::bad_alloc&) {
            if (events_.empty()) return;
            events_.pop_front();
        }
        events_.push_back(std::move(copy));
    }

    // There will be no further connection. No error: the application wanted it so.
    void end_all(std::error_code error) {
        work_.reset();
        if (!pending_.connect() && !pending_.is_receiving()) untold_ = error;
        const std::error_code why = error ? error : misuse(errc::disconnected);
        if (auto* const op = static_cast<typename connect_op::pointer>(pending_.connect())) {
            if (error.category() != refusal_category()) std::get<0>(op->result) = {}; // of an attempt before
            done(pending_.take_connect(), why);
        }
        while (pending_.is_receiving())
            done(pending_.take_receive(), why);
        while (pending_.is_disconnecting())
            done(pending_.take_disconnect(), error);
    }

    void call_handlers() {
        struct rest { // a handler may throw: those that are left are called all the same
            engine& self;
            ~rest() {
                if (self.pending_.has_ready()) self.wake();
            }
        } const rest{*this};
        for (int i = 0; i != handlers_per_turn && pending_.has_ready(); ++i)
            pending_.take_ready()->deliver();
    }

    void on_context_shutdown() override {
        const auto self = this->weak_from_this().lock();
        this->over_ = shut_down_by_context_ = true;
        work_.reset();
        pending_.destroy_all();
    }

    registry& registry_;
    std::optional<asio::executor_work_guard<typename base::executor_type>> work_; // from `connect` to the end
    std::error_code untold_; // why it ended, when nobody waited for a message
    bool manual_ = false;    // the application acknowledges
    bool wants_to_read_ = true;
    bool scheduled_ = false;  // a `process` will come
    bool processing_ = false; // and this is one, before it calls handlers
    bool shut_down_by_context_ = false;
    inbox inbox_;
    pending pending_;
    ring<connection_event> events_; // that nobody has asked for yet
};

} // namespace tern::detail
