// The engine of a client. It owns the session, the operations, the delivery and the driver of the transport, and it is
// the only class that knows all of them. It makes no decisions about MQTT.
//
// A turn processes the session's events, serves the transport, and then calls the handlers of completed operations. It
// repeats this if the handlers have made requests. A request only changes the session and asks for a turn, which writes
// the requests of the turn together. An operation ends when the session reports its end, or has `stopped`.
#pragma once

#include "tern/client/detail/authenticator.hpp"
#include "tern/client/detail/context_shutdown_list.hpp"
#include "tern/client/detail/delivery/connection_delivery.hpp"
#include "tern/client/detail/delivery/message_delivery.hpp"
#include "tern/client/detail/engine_base.hpp"
#include "tern/client/detail/operations/operation.hpp"
#include "tern/client/detail/operations/pending.hpp"
#include "tern/client/detail/operations/time_limits.hpp"
#include "tern/client/detail/runs.hpp"
#include "tern/client/detail/transport/driver.hpp"
#include "tern/client/detail/transport/exclusive_use.hpp"
#include "tern/client/detail/transport/opening.hpp"
#include "tern/client/detail/transport/tap.hpp"
#include "tern/client/detail/transport/turn_owner.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/session.hpp"
#include "tern/transport/concept.hpp"

#include <asio/error.hpp>
#include <asio/execution/context.hpp>
#include <asio/post.hpp>
#include <asio/query.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>

namespace tern::detail {

template <transport Transport>
class engine final : public engine_base<typename Transport::executor_type>,
                     public turn_owner,
                     private context_shutdown_list::entry {
    using base = engine_base<typename Transport::executor_type>;
    using driver = transport_driver<Transport>;
    using typename base::ack_op;
    using typename base::event_op;
    using typename base::plain_op;

public:
    TERN_COLD explicit engine(Transport transport)
        : session_(seed_of(transport))
        , messages_(session_, pending_, *this)
        , runs_(session_, pending_, messages_, connection_)
        , limits_(session_, pending_)
        , driver_(std::move(transport), session_, *this, use_, limits_.next())
        , opening_(driver_)
        , authenticator_(driver_) {
        join(asio::use_service<context_shutdown_list>(asio::query(get_executor(), asio::execution::context)));
    }
    engine(const engine&) = delete;
    engine& operator=(const engine&) = delete;
    TERN_COLD ~engine() override {
        leave();
        pending_.destroy_all();
    }

    typename base::executor_type get_executor() noexcept override { return driver_.get_executor(); }
    void* transport_address() noexcept override { return &driver_.transport_layer(); }
    bool is_connected() const noexcept override { return session_.is_connected(); }
    TERN_COLD tern::counters counters() const noexcept override { return messages_.with_dropped(session_.counters()); }
    TERN_COLD connection_terms connection() const override { return connection_terms(session_.terms()); }
    TERN_COLD std::vector<subscription_state> subscriptions() override { return session_.subscriptions(); }
    std::shared_ptr<event_log>& log() noexcept override { return connection_.log(); }
    TERN_COLD void set_before_connect(before_connect hook) override { opening_.set_hook(std::move(hook)); }
    TERN_COLD void set_authenticator(authenticator_hook hook) override { authenticator_.set_hook(std::move(hook)); }
    TERN_COLD void set_packet_tap(std::shared_ptr<tap> t) override { driver_.set_tap(std::move(t)); }
    TERN_COLD void set_message_callback(message_delivery::callback f) override {
        messages_.set_callback(std::move(f), serving_);
    }
    TERN_COLD void set_message_sink(std::shared_ptr<message_sink> s) override {
        messages_.set_sink(std::move(s));
        request_turn(); // it may want less or more than the last one
    }

    // ---- requests

    TERN_COLD void connect(connection_delivery::connect_op op, const connect_options& options) override {
        on_start(runs_.connect(op, options, now()));
    }

    void publish(ack_op op, const message_view& message, const publish_options& options) override {
        const time_point at = publish_time(message, options);
        request(op, [&](op_id id) { return session_.publish(message, options, id, at); });
        write_if_large(message);
    }
    std::error_code try_publish(const message_view& message, const publish_options& options) override {
        const errc error = session_.publish(message, options, op_id::none, publish_time(message, options));
        write_if_large(message);
        return error == errc::none ? std::error_code{} : misuse(error);
    }
    TERN_COLD void subscribe(ack_op op, const subscriptions_view& list, const subscribe_properties& p) override {
        request(op, [&](op_id id) { return session_.subscribe(list, p, id, now()); });
    }
    TERN_COLD void unsubscribe(ack_op op, const filters_view& list, const unsubscribe_properties& p) override {
        request(op, [&](op_id id) { return session_.unsubscribe(list, p, id, now()); });
    }
    TERN_COLD bool prepare_limit(ack_op& op, std::chrono::milliseconds t) override { return limits_.prepare(op, t); }
    TERN_COLD void set_limit(operation* op, std::chrono::milliseconds t) override { limits_.add(op, now() + t); }
    TERN_COLD void ping(plain_op op) override {
        request(op, [&](op_id id) { return session_.ping(id, now()); });
    }
    TERN_COLD void reauthenticate(plain_op op) override {
        request(op, [&](op_id id) { return authenticator_.reauthenticate(id); });
    }
    TERN_COLD void drain(plain_op op, std::chrono::milliseconds timeout) override {
        request(op, [&](op_id id) {
            if (timeout.count() < 0 || timeout > std::chrono::years(1)) return errc::invalid_argument;
            return session_.drain(id, timeout.count() == 0 ? (time_point::max)() : now() + timeout, now());
        });
    }
    TERN_COLD void disconnect(plain_op op, const tern::disconnect& packet) override {
        runs_.disconnect(std::move(op), packet, now());
    }
    void next_event(event_op op, event_position* at) override { connection_.next_event(std::move(op), at, pending_); }
    void wait_stopped(plain_op op) override { connection_.wait_stopped(std::move(op), session_, pending_); }
    void receive(message_delivery::receive_op op) override { messages_.receive(std::move(op)); }
    void receive_some(message_delivery::receive_some_op op, std::span<received_message> into) override {
        messages_.receive_some(std::move(op), into);
    }
    std::optional<received_message> try_receive() override {
        if (!messages_.has_messages()) return std::nullopt;
        request_turn(); // the inbox has room, so reading may continue
        return messages_.take();
    }
    TERN_COLD received_message keep(const received& message) override { return messages_.keep(message); }
    void acknowledge(message_token token) override {
        const exclusive_use::scope inside(use_);
        if (is_over() || !messages_.accepts_acknowledgements()) return;
        session_.release(token);
        driver_.wake_owner();
    }
    TERN_COLD std::error_code reject(message_token token, reason_code code, const ack_properties& p) override {
        const exclusive_use::scope inside(use_);
        driver_.wake_owner();
        const errc error = is_over() ? errc::not_connected : session_.reject(token, code, p);
        return error == errc::none ? std::error_code{} : misuse(error);
    }

    // ---- ends

    void hand_over(operation* op) override {
        if (op->where == location::event) connection_.hand_over(op);
        if (op->where != location::received) return;
        is_over() ? messages_.drop(op) : messages_.hand_over(op); // dropped ones come again if the session is resumed
        turn_ = turn::requested;                                  // to write the acknowledgements
    }
    TERN_COLD void cancel(operation* op) override {
        if (op == pending_.connect()) return stop(); // the handler may connect again
        request_turn();
        if (op->where == location::receive || op->where == location::received) return messages_.cancel(op);
        if (op->where == location::event) return connection_.cancel(op, pending_);
        if (withdraw(op, session_, pending_, now()) != withdrawal::refused)
            pending_.complete(op, asio::error::operation_aborted);
    }
    TERN_COLD void cancel_all() override {
        connection_.cancel_all(pending_); // the session ends the other operations
        runs_.end_next(asio::error::operation_aborted);
        stop();
    }
    TERN_COLD void shut_down() override {
        if (lifetime_ != lifetime::context_shut_down) lifetime_ = lifetime::destroyed;
        driver_.shut_down();
        drop_callbacks(client_end::destroyed);
        connection_.shut_down(pending_);
        try {
            if (pending_.has_ready()) request_turn();
        } catch (const std::bad_alloc&) {
            pending_.destroy_all(); // the executor cannot run their handlers
        }
        work_.update(lifetime_, pending_.size() != 0, *this);
    }

    void run_turn() override {
        struct running_turn { // completes the turn even if a handler or a hook throws
            engine& self;
            const turn outer = self.turn_;
            const void* const outer_thread =
                self.turn_thread_.exchange(exclusive_use::this_thread(), std::memory_order_relaxed);
            ~running_turn() {
                const turn ended = std::exchange(self.turn_, outer);
                self.turn_thread_.store(outer_thread, std::memory_order_relaxed);
                if (ended == turn::requested || self.pending_.has_ready()) self.driver_.wake_owner();
                self.work_.update(self.lifetime_, self.pending_.size() != 0, self);
            }
        } const guard{*this};
        int left = handlers_per_turn;
        bool events_left = false;
        do {
            turn_ = turn::requested; // in case an exception interrupts the work
            if (!is_over() && !serving_) serve();
            if (!serving_) messages_.drop_replaced_callbacks();
            events_left = std::exchange(call_handlers_first_, false);
            turn_ = events_left ? turn::requested : turn::running;
            for (; left != 0 && pending_.has_ready(); --left) {
                operation* const op = pending_.take_ready();
                hand_over(op);
                op->deliver();
                if (driver_.has_written_much()) left = 1; // this handler is the last one of the turn
            }
        } while (turn_ == turn::requested && left != 0);
        if (events_left && !is_over()) driver_.guard_memory([&] { driver_.pause_until_next_turn(); });
        if (const time_point at = session_.trimmed_at(); std::exchange(trimmed_at_, at) != at) [[unlikely]] {
            base::pool_.trim();
            pending_.trim();
            messages_.trim();
            limits_.trim();
        }
    }

    TERN_COLD void on_deadline() override { limits_.on_deadline(driver_.turn_time()); }
    void request_turn() override { base::request_turn(); }
    std::shared_ptr<void> keep_alive() override { return base::shared_from_this(); }

private:
    using base::turn_, base::turn_thread_, base::use_;
    using turn = typename base::turn;

    static constexpr int handlers_per_turn = 1'024; // bounds the delay of other work on the executor
    bool is_over() const noexcept { return lifetime_ >= lifetime::destroyed; }
    time_point now() const noexcept { return driver_.now(); }
    TERN_NOINLINE void schedule_turn() override {
        if (scheduled_ || lifetime_ == lifetime::context_shut_down) return;
        asio::post(get_executor(), [self = std::shared_ptr<engine>(base::shared_from_this(), this)] {
            const exclusive_use::scope inside(self->use_);
            self->scheduled_ = false;
            self->driver_.begin_turn();
            self->run_turn();
        });
        scheduled_ = true;
        driver_.begin_turn();
        work_.update(lifetime_, pending_.size() != 0, *this);
    }

    TERN_COLD void on_start(run_start start) noexcept {
        if (start == run_start::not_begun) return;
        opening_.reset();
        lifetime_ = lifetime::alive;
    }

    // Makes the request with the id that the session later uses for the operation.
    template <class Operation, class Request>
    void request(Operation& op, Request make) {
        op->takes_acknowledgement = std::is_same_v<Operation, ack_op>;
        if (const errc error = make(pending_.next_id()); error != errc::none)
            return pending_.complete_new(op.release(), misuse(error));
        pending_.add(op.release());
    }

    // The engine writes nothing while it processes events of the session.
    void write_if_large(const message_view& message) noexcept {
        if (is_large(message) && !serving_) driver_.write_at_once();
    }

    time_point publish_time(const message_view& message, const publish_options& options) const noexcept {
        return needs_exact_time(message, options) ? now() : driver_.turn_time();
    }

    TERN_COLD void stop() {
        request_turn();
        connection_.end_disconnects(asio::error::operation_aborted, pending_);
        session_.stop(asio::error::operation_aborted, now());
        if (!serving_) take_events(); // without a connection the session stops immediately
    }

    void serve() {
        struct service {
            engine& self;
            ~service() { self.serving_ = false; }
        } const guard{*this};
        serving_ = true;
        driver_.guard_memory([&] { serve_transport(); });
    }

    // Processes the session's events and serves the transport, until both have to wait.
    void serve_transport() {
        for (;;) {
            take_events();
            if (is_over() || call_handlers_first_) return; // a message callback may have destroyed the client
            if (limits_.end_late()) continue;
            if (session_.pending_action() == transport_action::prepare && driver_.is_down())
                opening_.prepare();
            else if (driver_.advance() == driver::progress::blocked)
                break;
            if (is_over()) return; // the hook may have destroyed it
        }
        driver_.finish_turn();
    }

    TERN_COLD void on_context_shutdown() override {
        const auto self = base::weak_from_this().lock();
        lifetime_ = lifetime::context_shut_down;
        driver_.end_preparing();
        work_.end();
        drop_callbacks(client_end::context_shut_down);
        pending_.destroy_all();
    }

    // ---- events

    void take_events() {
        if (delivery_ != delivery::open) update_delivery();
        while (!call_handlers_first_) {
            const polled_event e = session_.poll_event();
            if (!e) break;
            if (const auto* const message = std::get_if<received>(&*e))
                on(*message);
            else if (const auto* const end = std::get_if<completed>(&*e))
                pending_.complete(*end); // a turn that calls its handler has begun or is scheduled
            else if (const auto* const change = std::get_if<connection_event_view>(&*e))
                on(*change);
            else if (const auto* const step = std::get_if<authentication_request>(&*e))
                authenticator_.on_request(*step);
            else
                on(*std::get_if<connected>(&*e));
            if (is_over()) return;
        }
        if (pending_.is_receiving()) messages_.complete_batch();
    }

    void update_delivery() noexcept {
        const delivery wanted = messages_.wanted();
        if (std::exchange(delivery_, wanted) != wanted) session_.set_delivery(wanted, driver_.turn_time());
    }

    // A message that cannot be delivered now arrives again on the next connection, if its QoS and the session allow it.
    void on(const received& e) {
        try {
            const auto next = messages_.deliver(e);
            if (next == message_delivery::next_step::call_handlers) call_handlers_first_ = true;
            if (next == message_delivery::next_step::pause) update_delivery();
        } catch (const std::bad_alloc&) {
            session_.return_undelivered(e.token);
            throw; // `guard_memory` ends the connection
        } catch (...) {
            session_.return_undelivered(e.token);
            if (e.token != message_token::none) driver_.fail(std::make_error_code(std::errc::interrupted));
            throw;
        }
    }
    TERN_COLD void on(const connected& e) {
        update_delivery();
        connection_.deliver(e, pending_);
    }
    TERN_COLD void on(const connection_event_view& e) {
        opening_.on_event(e);
        messages_.report(e);
        connection_.log(e, session_, pending_); // first: a handler may destroy the client
        const bool is_end = e.change == connection_change::stopped;
        if (is_end) lifetime_ = lifetime::idle;
        if (is_end) runs_.on_stopped(e.error);
        connection_.deliver(e, pending_);
        if (is_end) on_start(runs_.begin_next(now()));
        update_delivery();
    }

    // Destroys the application's functions, which may own the client. Those that are running live until they return.
    void drop_callbacks(client_end end) {
        messages_.end_sink(end);
        set_message_callback({});
        opening_.set_hook({});
        authenticator_.set_hook({});
        driver_.set_tap({});
        connection_.silence_log();
    }

    outstanding_work<typename base::executor_type> work_;
    lifetime lifetime_ = lifetime::idle;
    bool scheduled_ = false;                      // a turn is posted to the executor
    bool serving_ = false;                        // the turn serves the session and the transport
    bool call_handlers_first_ = false;            // handlers run before further events
    delivery delivery_ = delivery::open;          // what the session knows about the inbox
    time_point trimmed_at_ = (time_point::min)(); // when unused memory was freed last
    session session_;
    pending pending_;
    message_delivery messages_;
    connection_delivery connection_;
    runs runs_;
    time_limits limits_;
    driver driver_;
    opening<Transport> opening_;
    authenticator<Transport> authenticator_;
};

} // namespace tern::detail
