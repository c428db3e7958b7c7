// What becomes of received messages: they go to the message callback, to an operation that waits for them, or to the
// inbox, and are acknowledged when the application has got them.
#pragma once

#include "tern/client/detail/inbox.hpp"
#include "tern/client/detail/link.hpp"
#include "tern/client/detail/message_memory.hpp"
#include "tern/client/detail/operations/operation.hpp"
#include "tern/client/received_message.hpp"
#include "tern/session/session.hpp"
#include "tern/transport/concept.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <system_error>
#include <tuple>
#include <utility>

namespace tern::detail {

/// A base of the engine. What it calls of that: `pending_`, `serving_`, `done`, `refuse`, `schedule`, `wake`.
template <class Engine, transport Transport>
class receiving : public link<Engine, Transport> {
    using base = link<Engine, Transport>;

    using typename base::receive_op;
    using typename base::receive_some_op;

public:
    void receive(receive_op op) override {
        if (!pending().is_receiving() && !inbox_.empty()) {
            op->result() = take();
            this->engine().done(op.release(), {});
        } else if (may_receive(op)) {
            pending().add_receive(op.release());
        }
    }
    void receive_some(receive_some_op op, std::span<received_message> into) override {
        if (!pending().is_receiving() && !inbox_.empty()) {
            std::size_t& count = op->result();
            while (count != into.size() && !inbox_.empty())
                into[count++] = take();
            this->engine().done(op.release(), {});
        } else if (into.empty()) {
            this->engine().refuse(op.release(), errc::invalid_argument);
        } else if (may_receive(op)) {
            op->target = into;
            op->is_batch = true;
            pending().add_receive(op.release());
        }
    }
    std::optional<received_message> try_receive() override {
        return inbox_.empty() ? std::nullopt : std::optional(take());
    }
    void set_message_callback(std::function<void(const received&)> callback) override {
        if (this->engine().serving_ && callback_ && !retired_)
            retired_ = std::move(callback_); // it may be this that calls
        callback_ = callback ? std::make_unique<message_callback>(std::move(callback)) : nullptr;
    }

    received_message keep(const received& e) override {
        received_message kept = copy(e);
        message_owner::hand_over(kept, owner());
        return kept;
    }
    void acknowledge(message_token token) override {
        if (this->over_ || !manual_) return;
        session_.release(token);
        this->engine().wake();
    }

protected:
    using base::session_;
    ~receiving() = default;

    void start_receiving(const connect_options& options) {
        inbox_.set_limits(options.inbox_limit, options.inbox_bytes);
        manual_ = options.acknowledge == acknowledgement_mode::manual;
        untold_ = {};
    }

    /// Operations that wait for messages end. No error: the application wanted it so. If nobody is `told`, the next one
    /// who asks will be.
    void end_receiving(std::error_code error, bool told) {
        if (!told && !pending().is_receiving()) untold_ = error;
        end_filling();
        while (pending().is_receiving())
            this->engine().done(pending().take_receive(), error ? error : misuse(errc::disconnected));
    }

    /// All messages that are there have come: an operation that takes several waits no longer, if it has got some.
    void end_filling() {
        operation* const op = pending().receive();
        if (op && op->is_batch && several(op)->result() != 0)
            this->engine().done(pending().take_receive(), {});
    }

    /// A callback that was replaced while it ran is not needed any more.
    void end_calls() noexcept { retired_.reset(); }

    // Before CONNACK no message can come: those that an earlier connection has left do not count.
    bool has_room() const noexcept { return !inbox_.full() || !session_.is_connected(); }

    // A full inbox leaves messages where they are: in the session's buffer, and then with the broker.
    void watch_room() {
        if (has_room() != wants_to_read_) set_reading(!wants_to_read_);
    }
    // Until `watch_room` is called.
    void stop_reading() noexcept { set_reading(false); }
    void set_reading(bool reading) noexcept {
        wants_to_read_ = reading;
        session_.set_delivery(reading ? delivery::open : delivery::closed, this->turn_time());
    }

    // If it cannot be taken in, a message that can come again does so, on the next connection.
    void on(const received& e) {
        try {
            callback_ ? call(e) : take_in(e);
        } catch (const std::bad_alloc&) {
            session_.return_undelivered(e.token);
            throw; // which ends the connection
        } catch (...) {
            session_.return_undelivered(e.token);
            if (e.token != message_token::none) this->fail(std::make_error_code(std::errc::interrupted));
            throw;
        }
    }
    void call(const received& e) {
        (*callback_)(e);
        if (!manual_) session_.release(e.token);
    }
    void take_in(const received& e) {
        if (!pending().is_receiving()) {
            inbox_.push(copy(e));
            watch_room();
            return;
        }
        operation* const op = pending().receive();
        if (op->is_batch) {
            std::size_t& count = several(op)->result();
            take_in(e, several(op)->target[count]);
            if (++count != several(op)->target.size()) return;
        } else {
            take_in(e, static_cast<typename receive_op::pointer>(op)->result());
        }
        this->engine().done(pending().take_receive(), {});
        this->handlers_first_ = !pending().is_receiving();
    }
    void take_in(const received& e, received_message& to) {
        to.assign(e, allocate());
        hand_over(to);
    }

private:
    friend Engine;
    friend base;

    explicit receiving(Transport transport) : base(std::move(transport)) {}

    using message_callback = std::function<void(const received&)>;

    auto& pending() noexcept { return this->engine().pending_; }

    // False if there is nothing to wait for.
    template <class Operation>
    bool may_receive(Operation& op) {
        if (!session_.is_idle()) return true;
        this->engine().done(op.release(), untold_ ? std::exchange(untold_, {}) : misuse(errc::not_connected));
        return false;
    }

    received_message take() {
        this->engine().schedule(); // there is room to read again
        received_message m = inbox_.pop();
        hand_over(m);
        return m;
    }

    // The only copy of a message that the client makes.
    received_message copy(const received& e) { return {e, allocate()}; }
    auto allocate() noexcept {
        return [this](std::size_t size) { return messages_.allocate(size); };
    }

    // The application has got it.
    void hand_over(received_message& m) {
        const message_token token = message_owner::hand_over(m, owner());
        if (!manual_) session_.release(token);
    }
    std::weak_ptr<message_owner> owner() {
        return manual_ ? this->engine().weak_from_this() : std::weak_ptr<message_owner>{};
    }

    // An operation that takes several messages.
    static auto* several(operation* op) noexcept {
        return static_cast<typename receive_some_op::pointer>(op);
    }

    std::error_code untold_; // why it ended, when nobody waited for a message
    bool manual_ = false;    // the application acknowledges
    bool wants_to_read_ = true;
    message_memory messages_;
    inbox inbox_;
    std::unique_ptr<message_callback> callback_;
    std::unique_ptr<message_callback> retired_; // was replaced while it ran, perhaps
};

} // namespace tern::detail
