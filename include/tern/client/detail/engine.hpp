// The engine of a client: it passes requests to the session, keeps the operations that wait for their ends, and
// calls their handlers. It decides nothing about MQTT. The transport is its base's, the link's, and so are received
// messages those of `receiving`.
//
// Whatever happens ends in `process`: take the session's events, serve the transport, and at last call the handlers
// that are done; and once more, if these have requested something. Other requests only change the session and ask for
// a `process` in the next turn of the executor. What is requested in one turn leaves in one write, and no handler is
// called inside the call that started it.
// An operation ends when the session says so (`completed`), or with everything else when the session has `stopped`.
// A connection that is lost and made again ends none.
#pragma once

#include "tern/client/connect_result.hpp"
#include "tern/client/detail/copy_of.hpp"
#include "tern/client/detail/link.hpp"
#include "tern/client/detail/operations/operation.hpp"
#include "tern/client/detail/pending.hpp"
#include "tern/client/detail/receiving.hpp"
#include "tern/client/detail/registry.hpp"
#include "tern/inline.hpp"
#include "tern/property.hpp"
#include "tern/session/session.hpp"
#include "tern/transport/concept.hpp"

#include <asio/error.hpp>
#include <asio/execution/context.hpp>
#include <asio/execution/outstanding_work.hpp>
#include <asio/post.hpp>
#include <asio/prefer.hpp>
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
class engine final : public receiving<engine<Transport>, Transport>,
                     public std::enable_shared_from_this<engine<Transport>>,
                     private registry::member {
    using base = receiving<engine, Transport>;
    using typename base::ack_op;
    using typename base::connect_op;
    using typename base::event_op;
    using typename base::plain_op;

public:
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

    bool is_connected() const noexcept override { return session_.is_connected(); }
    tern::counters counters() const noexcept override { return session_.counters(); }

    // ---- requests

    void connect(connect_op op, const connect_options& options) override {
        if (const errc error = session_.connect(options, now()); error != errc::none)
            return refuse(op.release(), error);
        this->start_receiving(options);
        this->last_error_ = {};
        alive_ = true;
        pending_.add_connect(op.release());
    }

    void publish(ack_op op, const message_view& message, const publish_options& options) override {
        request(op,
                [&](op_id id) { return session_.publish(message, options, id, time_of(message, options)); });
        write_if_large(message);
    }
    std::error_code try_publish(const message_view& message, const publish_options& options) override {
        schedule();
        const errc error = session_.publish(message, options, op_id::none, time_of(message, options));
        write_if_large(message);
        return error == errc::none ? std::error_code{} : misuse(error);
    }
    void subscribe(ack_op op, const subscriptions_view& list,
                   const subscribe_properties& properties) override {
        request(op, [&](op_id id) { return session_.subscribe(list, properties, id, now()); });
    }
    void unsubscribe(ack_op op, const filters_view& list, const unsubscribe_properties& properties) override {
        request(op, [&](op_id id) { return session_.unsubscribe(list, properties, id, now()); });
    }
    void ping(plain_op op) override {
        request(op, [&](op_id id) { return session_.ping(id, now()); });
    }

    void drain(plain_op op, std::chrono::milliseconds timeout) override {
        request(op, [&](op_id id) {
            if (timeout.count() < 0 || timeout > std::chrono::years(1)) return errc::invalid_argument;
            session_.drain(id, timeout.count() == 0 ? time_point::max() : now() + timeout, now());
            return errc::none;
        });
    }

    void disconnect(plain_op op, const tern::disconnect& packet) override {
        if (const errc error = session_.disconnect(packet, now()); error != errc::none)
            return refuse(op.release(), error);
        pending_.add_disconnect(op.release());
    }

    void next_event(event_op op) override {
        if (pending_.awaits_event() || events_.empty()) return pending_.add_next_event(op.release());
        op->result() = events_.pop_front();
        done(op.release(), {});
    }

    // ---- ends

    void cancel(operation* op) override {
        if (op == pending_.connect()) return stop(); // its handler can connect again
        schedule();
        const op_id id = pending::id_of(op);
        if (id != op_id::none && session_.cancel(id, now()))
            pending_.take(id);
        else if (!pending_.remove(op))
            return;
        done(op, asio::error::operation_aborted);
    }

    void stop() {
        schedule();
        session_.stop(asio::error::operation_aborted, now());
        if (!serving_) take_events(); // without a connection this is the end already
    }
    void cancel_all() override {
        while (pending_.awaits_event()) // the others end with the session
            done(pending_.take_next_event(), asio::error::operation_aborted);
        stop();
    }

    void shut_down() override {
        this->abandon();
        alive_ = false;
        while (operation* const op = pending_.take_any())
            pending_.done(op, asio::error::operation_aborted);
        try {
            if (pending_.has_ready()) schedule();
        } catch (const std::bad_alloc&) {
            pending_.destroy_all(); // they cannot be called
        }
        hold_work();
    }

    /// `schedule`, when it may not throw. Without memory it is the next that happens that brings a `process`.
    void wake() noexcept {
        try {
            schedule();
        } catch (const std::bad_alloc&) {
            this->wake_early();
        }
    }

private:
    TERN_NOINLINE void schedule_turn() override {
        if (shut_down_by_context_) return;
        asio::post(this->get_executor(), [self = this->shared_from_this()] {
            self->scheduled_ = false;
            self->begin_turn();
            self->process();
        });
        scheduled_ = true;
        this->begin_turn();
        hold_work();
    }

    friend base;
    friend link<engine, Transport>;
    using base::again_;
    using base::in_turn_;
    using base::now;
    using base::schedule;
    using base::scheduled_;
    using base::session_;

    using work = std::decay_t<decltype(asio::prefer(std::declval<typename base::executor_type>(),
                                                    asio::execution::outstanding_work.tracked))>;

    // So many handlers are called in one turn of the executor: one that always begins something which is done
    // at once must not keep the others of its context from running.
    static constexpr int handlers_per_turn = 1'024;
    // Payloads of this size are written at once.
    static constexpr std::size_t large_payload = 64 * 1024;
    // So many connection events are kept for somebody who asks for them.
    static constexpr std::size_t events_kept = 64;

    // Makes the request under the id by which the session will speak of the operation.
    template <class Operation, class Request>
    void request(Operation& op, Request ask) {
        op->takes_acknowledgement = std::is_same_v<Operation, ack_op>;
        if (const errc error = ask(pending_.next_id()); error != errc::none)
            return refuse(op.release(), error);
        pending_.add(op.release());
    }

    // Nothing is written while the session gives events.
    void write_if_large(const message_view& message) noexcept {
        if (message.payload.size() >= large_payload && !serving_) this->write_at_once();
    }

    void refuse(operation* op, errc error) { done(op, misuse(error)); }

    // Whoever sets a time for a message gets a clock that is not a moment late.
    time_point time_of(const message_view& message, const publish_options& options) const noexcept {
        const bool exact = options.time_to_live.count() != 0 || message.properties.message_expiry_interval;
        return exact ? now() : this->turn_time();
    }

    // The operation's handler is called at the end of a `process`.
    void done(operation* op, std::error_code error) {
        pending_.done(op, error);
        schedule();
    }

    // ---- events

    void process() {
        struct turn { // a handler or a hook may throw: what is left is done all the same
            engine& self;
            const bool outer = std::exchange(self.in_turn_, true);
            ~turn() {
                self.in_turn_ = outer;
                if (self.again_ || self.pending_.has_ready()) self.wake();
                self.hold_work();
            }
        } const turn{*this};
        int left = handlers_per_turn;
        bool events_left = false;
        do {
            again_ = true; // unless all of this is done
            if (!this->over_ && !serving_) serve();
            again_ = events_left = std::exchange(this->handlers_first_, false);
            for (; left != 0 && pending_.has_ready(); --left) {
                pending_.take_ready()->deliver();
                if (this->has_written_much()) left = 1; // this was the last
            }
        } while (again_ && left != 0);
        if (events_left && !this->over_) rest();
        if (std::exchange(connects_, false)) this->pool_.trim(); // what connecting has needed
    }

    void serve() {
        struct service {
            engine& self;
            ~service() {
                self.serving_ = false;
                self.end_calls();
            }
        } const service{*this};
        serving_ = true;
        or_no_memory([&] { base::serve(); });
    }

    // The turn ends with received packets that have not been looked at: that the broker is silent, or late, is not
    // true as long as they lie there.
    void rest() {
        this->stop_reading();
        or_no_memory([&] { base::rest(); });
    }

    template <class F>
    void or_no_memory(F f) {
        try {
            f();
        } catch (const std::bad_alloc&) {
            this->on_no_memory();
            throw;
        }
    }

    void hold_work() noexcept {
        if (!alive_ && pending_.size() == 0)
            work_.reset();
        else if (!work_ && !shut_down_by_context_)
            work_.emplace(asio::prefer(this->get_executor(), asio::execution::outstanding_work.tracked));
    }

    void take_events() {
        this->watch_room();
        while (!this->handlers_first_) {
            const polled_event e = session_.poll_event();
            if (!e) break;
            if (const auto* const message = std::get_if<received>(&*e))
                on(*message);
            else if (const auto* const end = std::get_if<completed>(&*e))
                on(*end);
            else if (const auto* const change = std::get_if<connection_event_view>(&*e))
                on(*change);
            else
                on(*std::get_if<connected>(&*e));
            if (this->over_) return; // the message callback was the end of the client
        }
        this->end_filling();
    }

    using base::on; // a message
    void on(const connected& e) {
        this->watch_room();
        auto* const op = static_cast<typename connect_op::pointer>(pending_.connect());
        if (!op) return;
        op->result() = copy_of<connect_result>(e.packet);
        connects_ = true;
        if (!e.error) done(pending_.take_connect(), {}); // after a refusal it is not over yet
    }

    void on(const completed& e) {
        operation* const op = pending_.take(e.op);
        if (!op) return; // cancelled
        if (op->takes_acknowledgement && says_more(e.answer))
            static_cast<typename ack_op::pointer>(op)->result() = copy_of<acknowledgement>(e.answer);
        pending_.done(op, e.error); // a turn, which ends with its handler, has begun or is scheduled
    }

    // Than that all is well.
    static bool says_more(const acknowledgement_view& answer) noexcept {
        return answer.reason_code != reason_code::success || is_set(answer.reason_codes) ||
               !is_unset(answer.properties);
    }

    void on(const connection_event_view& e) {
        if (e.change == connection_change::connecting) this->attempt_number_ = e.attempt;
        if (e.change == connection_change::disconnected) this->last_error_ = e.error;
        if (e.change == connection_change::stopped) end_all(e.error);
        tell(e);
        this->watch_room();
    }

    void tell(const connection_event_view& e) {
        connection_event copy = copy_of<connection_event>(e);
        if (pending_.awaits_event()) {
            auto* const op = static_cast<typename event_op::pointer>(pending_.take_next_event());
            op->result() = std::move(copy);
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
        alive_ = false;
        const bool told = pending_.connect() != nullptr;
        if (auto* const op = static_cast<typename connect_op::pointer>(pending_.connect())) {
            if (error.category() != refusal_category()) op->result() = {}; // of an attempt before
            done(pending_.take_connect(), error ? error : misuse(errc::disconnected));
        }
        this->end_receiving(error, told);
        while (pending_.is_disconnecting())
            done(pending_.take_disconnect(), error);
    }

    void on_context_shutdown() override {
        const auto self = this->weak_from_this().lock();
        this->over_ = shut_down_by_context_ = true;
        work_.reset();
        pending_.destroy_all();
    }

    registry& registry_;
    std::optional<work> work_; // while an operation waits, and while it is alive
    bool alive_ = false;       // from `connect` to the end
    bool serving_ = false;     // in this turn, before it calls handlers
    bool connects_ = false;    // in this turn
    bool shut_down_by_context_ = false;
    pending pending_;
    ring<connection_event> events_; // that nobody has asked for yet
};

} // namespace tern::detail
