// The engine moves bytes between a transport and a session, keeps the timer, and completes handlers. It
// decides nothing about MQTT.
//
// At most one write, one read and one wait are outstanding. Whatever happens ends in `process`: take the
// session's events, close if it wants to, read, write, set the timer, and at last call the handlers that are
// done. Requests only change the session and ask for a `process` in the next turn of the executor: what is
// requested in one turn leaves in one write, and no handler is called inside the call that started it.
//
//     down --connect--> up --error, or the session wants to--> closing --operations over--> down
#pragma once

#include "tern/client/connect_result.hpp"
#include "tern/client/detail/alarm.hpp"
#include "tern/client/detail/inbox.hpp"
#include "tern/client/detail/operation.hpp"
#include "tern/client/detail/pending.hpp"
#include "tern/client/detail/registry.hpp"
#include "tern/client/detail/write_buffers.hpp"
#include "tern/session/session.hpp"
#include "tern/transport/concept.hpp"

#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/execution/context.hpp>
#include <asio/post.hpp>
#include <asio/query.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <variant>

namespace tern::detail {

template <transport Transport>
class engine final : public std::enable_shared_from_this<engine<Transport>>, private registry::member {
public:
    using executor_type = typename Transport::executor_type;
    using connect_op = operation_ptr<operation_of<connect_result>>;
    using ack_op = operation_ptr<operation_of<acknowledgement>>;
    using receive_op = operation_ptr<operation_of<message>>;
    using plain_op = operation_ptr<operation_of<>>;

    explicit engine(Transport transport)
        : transport_(std::move(transport))
        , alarm_(transport_.get_executor())
        , registry_(
              asio::use_service<registry>(asio::query(transport_.get_executor(), asio::execution::context))) {
        registry_.add(*this);
    }
    engine(const engine&) = delete;
    engine& operator=(const engine&) = delete;
    ~engine() override {
        registry_.remove(*this);
        pending_.destroy_all();
    }

    executor_type get_executor() noexcept { return transport_.get_executor(); }
    Transport& transport_layer() noexcept { return transport_; }
    bool is_connected() const noexcept { return session_.is_connected(); }

    // ---- requests

    void connect(connect_op op, const connect_options& options) {
        if (const errc error = session_.connect(options, now()); error != errc::none)
            return refuse(op.release(), error);
        inbox_.set_limit(options.inbox_limit);
        untold_ = {};
        link_ = link::up;
        connecting_ = true;
        transport_.async_connect(
            options.host, options.port,
            [self = this->shared_from_this()](std::error_code error) { self->on_connect(error); });
        pending_.add_connect(op.release());
    }

    void publish(ack_op op, const message_view& message) {
        request(std::move(op), [&](op_id id) { return session_.publish(message, id, now()); });
    }
    std::error_code try_publish(const message_view& message) {
        if (const errc error = session_.publish(message, op_id::none, now()); error != errc::none)
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
    std::optional<message> try_receive() { return inbox_.empty() ? std::nullopt : std::optional(take()); }

    /// The user's cancellation slot was asked to: the operation ends, what was sent goes on by itself.
    void cancel(operation* op) {
        if (op == pending_.connect()) // ends with the connection, so that its handler can connect again
            link_error(asio::error::operation_aborted);
        else if (pending_.remove(op))
            done(op, asio::error::operation_aborted);
    }

    /// The client is destroyed: everything ends with `operation_aborted`.
    void shut_down() {
        over_ = true;
        transport_.close();
        alarm_.clear();
        while (operation* const op = pending_.take_any())
            done(op, asio::error::operation_aborted);
    }

    /// Asks for a `process` in the next turn of the executor.
    void schedule() {
        if (scheduled_ || processing_ || shut_down_by_context_) return;
        asio::post(transport_.get_executor(), [self = this->shared_from_this()] {
            self->scheduled_ = false;
            self->process();
        });
        scheduled_ = true;
    }

private:
    enum class link : std::uint8_t { down, up, closing };

    // So many handlers are called in one turn of the executor: one that always begins something which is done
    // at once must not keep the others of its context from running.
    static constexpr int handlers_per_turn = 256;
    // After a failed write, or DISCONNECT, the broker may still say something for so long.
    static constexpr std::chrono::seconds last_words_time{1};

    static time_point now() { return time_point::clock::now(); }

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

    message take() {
        inbox::entry entry = inbox_.pop();
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
            link_error(write_error_ ? write_error_ : error);
        else
            session_.commit_read(count, now());
        process();
    }

    void on_write(std::error_code error, std::size_t count) {
        writing_ = false;
        if (!error) {
            session_.commit_write(count, now());
        } else if (reading_ && link_ == link::up) {
            write_error_ = error; // the broker may have said why it hung up: that is read first
            last_words_until_ = now() + last_words_time;
        } else {
            link_error(error);
        }
        process();
    }

    // The session is over. If it has said so to the broker, the broker has a moment to hear it.
    void leave() {
        if (!session_.has_said_disconnect()) return close_link();
        if (last_words_until_ != time_point::max()) return;
        transport_.shutdown_send();
        last_words_until_ = now() + last_words_time;
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

    // Ends the link when nothing is outstanding on it any more.
    void end_link() {
        if (link_ != link::closing || connecting_ || reading_ || writing_) return;
        link_ = link::down;
        last_words_until_ = time_point::max();
        write_error_ = {};
        session_.on_disconnected(std::exchange(link_error_, {}), now());
        take_events();
    }

    // Before CONNACK no message can come: those that an earlier connection has left do not count.
    bool has_room() const noexcept { return !inbox_.full() || !session_.is_connected(); }

    void read() {
        if (reading_ || connecting_ || link_ != link::up) return;
        if (!has_room()) return;
        const std::span<char> room = session_.prepare_read();
        reading_ = true;
        transport_.async_read_some(asio::buffer(room.data(), room.size()),
                                   [self = this->shared_from_this()](std::error_code error, std::size_t n) {
                                       self->on_read(error, n);
                                   });
    }

    void write() {
        if (writing_ || connecting_ || link_ != link::up || write_error_) return;
        const auto pieces = session_.pending_write();
        if (pieces.empty()) return;
        writing_ = true;
        transport_.async_write_some(write_buffers(pieces),
                                    [self = this->shared_from_this()](std::error_code error, std::size_t n) {
                                        self->on_write(error, n);
                                    });
    }

    void set_alarm() {
        if (link_ == link::closing) return;
        if (session_.is_idle()) return alarm_.clear();
        alarm_.set(std::min(session_.next_deadline(), last_words_until_),
                   [self = this->shared_from_this()] { self->on_alarm(); });
    }

    void on_alarm() {
        if (over_) return;
        if (now() >= last_words_until_)
            link_error(write_error_);
        else if (link_ == link::up)
            session_.on_deadline(now());
        process();
    }

    // ---- events

    void process() {
        if (!over_) {
            processing_ = true;
            struct end_of_processing {
                bool& processing;
                ~end_of_processing() { processing = false; }
            } const end{processing_};
            take_events();
            if (session_.wants_close() && link_ == link::up) leave();
            end_link();
            read();
            write();
            set_alarm();
        }
        call_handlers();
    }

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
        std::get<0>(op->result) = connect_result(e.packet);
        if (!e.error) done(pending_.take_connect(), {}); // a refusal completes when the connection has ended
    }

    void on(const received& e) {
        inbox_.push(e);
        if (!pending_.is_receiving()) return;
        auto* const op = static_cast<typename receive_op::pointer>(pending_.take_receive());
        std::get<0>(op->result) = take();
        done(op, {});
    }

    void on(const completed& e) {
        operation* const op = pending_.take(e.op);
        if (!op) return; // cancelled
        if (op->takes_answer)
            std::get<0>(static_cast<typename ack_op::pointer>(op)->result) = acknowledgement(e.answer);
        done(op, e.error);
    }

    void on(const closed& e) {
        const std::error_code error = e.error ? e.error : misuse(errc::disconnected);
        if (!pending_.connect() && !pending_.is_receiving()) untold_ = e.error;
        if (pending_.connect()) done(pending_.take_connect(), error);
        while (pending_.is_receiving())
            done(pending_.take_receive(), error);
        while (pending_.is_disconnecting())
            done(pending_.take_disconnect(), e.error);
    }

    void call_handlers() {
        struct rest { // a handler may throw: those that are left are called all the same
            engine& self;
            ~rest() {
                if (self.pending_.has_ready()) self.schedule();
            }
        } const rest{*this};
        for (int i = 0; i != handlers_per_turn && pending_.has_ready(); ++i)
            pending_.take_ready()->deliver();
    }

    void on_context_shutdown() override {
        const auto self = this->weak_from_this().lock();
        over_ = shut_down_by_context_ = true;
        pending_.destroy_all();
    }

    Transport transport_;
    session session_;
    alarm<executor_type> alarm_;
    registry& registry_;

    link link_ = link::down;
    std::error_code link_error_;  // why it is closing, unless the session wanted it
    std::error_code write_error_; // nothing more can be written, but perhaps read
    std::error_code untold_;      // why the last connection ended, when nobody waited for a message
    time_point last_words_until_ = time_point::max();
    bool connecting_ = false;
    bool reading_ = false;
    bool writing_ = false;
    bool wants_to_read_ = true;
    bool scheduled_ = false;  // a `process` will come
    bool processing_ = false; // and this is one, before it calls handlers
    bool over_ = false;       // the client is gone
    bool shut_down_by_context_ = false;

    inbox inbox_;
    pending pending_;
};

} // namespace tern::detail
