// The inbox of one subscription object: its stored messages, and the operations and the callback that take them.
//
// A message leaves the inbox when its handler is called. An operation that is cancelled before that has taken nothing.
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/error.hpp"
#include "tern/messaging/detail/handler_queue.hpp"
#include "tern/messaging/detail/router_pump.hpp"
#include "tern/messaging/inbox_options.hpp"
#include "tern/messaging/subscription_message.hpp"
#include "tern/session/event.hpp"
#include "tern/session/options.hpp"
#include "tern/types.hpp"

#include <asio/error.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>

namespace tern::detail {

/// What an inbox does with a message.
enum class inbox_admission : std::uint8_t {
    stored,  ///< It has room.
    beyond,  ///< It has no room, and stores the message nevertheless, because it must not be lost.
    dropped, ///< It has no room. The message is of QoS 0.
    shed,    ///< It has no room, and the program prefers to lose the message.
};

template <class Executor>
class inbox_core final : public std::enable_shared_from_this<inbox_core<Executor>>,
                         public pumped,
                         public handler_owner {
public:
    using pump_type = router_pump<Executor>;
    using callback = std::function<void(subscription_message)>;

    inbox_core(std::shared_ptr<pump_type> pump, std::shared_ptr<const std::string> filter, const inbox_options& options)
        : pump_(std::move(pump))
        , filter_(std::move(filter))
        , limit_(options.limit)
        , bytes_limit_(options.bytes)
        , when_full_(options.when_full)
        , mode_(options.acknowledge) {}
    ~inbox_core() = default;

    const std::string& filter() const noexcept { return *filter_; }
    std::size_t size() const noexcept { return messages_.size(); }
    pump_type& pump() noexcept { return *pump_; }

    // ---- from the router

    inbox_admission admit(const received& e) const noexcept {
        if (!is_full()) return inbox_admission::stored;
        if (e.qos == qos::at_most_once) return inbox_admission::dropped;
        return when_full_ == full_inbox_action::shed ? inbox_admission::shed : inbox_admission::beyond;
    }
    void reserve() { messages_.reserve(1); }
    /// There must be room.
    void push(std::shared_ptr<held_message> message, inbox_admission a) noexcept {
        bytes_ += message->content.owned_bytes();
        messages_.push_back(std::move(message));
        if (a == inbox_admission::beyond && fullness_ == fullness::usual) fullness_ = fullness::unreported;
        if (is_wanted()) pump_->add_due(*this);
    }
    /// Whether an operation or a callback waits for messages.
    bool is_wanted() const noexcept {
        return (callback_ && callback_use_ == callback_use::called) || !waiting_.empty();
    }
    /// Whether the event about a full inbox is due. Then it counts as reported.
    bool take_full_event() noexcept {
        if (fullness_ != fullness::unreported) return false;
        fullness_ = fullness::reported;
        return true;
    }
    /// The stored copy of a QoS 1 message that has come again. Null if there is none.
    held_message* find_copy(const received& e) noexcept {
        for (std::size_t i = 0; i != messages_.size(); ++i) {
            held_message& m = *messages_[i];
            if (m.id == e.packet_id && m.content.qos == qos::at_least_once && m.content.topic == e.topic &&
                m.content.payload == e.payload)
                return &m;
        }
        return nullptr;
    }
    /// The session is lost: stored messages do not come again with their identifiers.
    void forget_identifiers() noexcept {
        for (std::size_t i = 0; i != messages_.size(); ++i)
            messages_[i]->id = 0;
    }
    /// The client's run has ended: ends the operations for which there is no message.
    void end_run(std::error_code error) noexcept {
        handler_list served;
        for (std::size_t left = messages_.size(); left != 0 && !waiting_.empty(); --left)
            served.push_back(*waiting_.pop_front());
        fail_all(error);
        while (waiting_handler* const op = served.pop_front())
            waiting_.push_back(*op);
    }
    /// No more messages come. Those that are stored can still be taken.
    void end_forever(std::error_code error) noexcept {
        ended_ = error;
        end_run(error);
    }
    bool has_callback() const noexcept { return callback_ != nullptr; }
    /// The execution context is destroyed.
    void drop_callback() noexcept {
        const auto self = this->shared_from_this(); // the callback may own the inbox
        const auto dropped = std::exchange(callback_, nullptr);
    }
    /// The subscription object is destroyed. Returns the number of messages that are released.
    std::size_t close() noexcept {
        callback_ = nullptr; // a running one lives until it returns
        fail_all(asio::error::operation_aborted);
        const std::size_t count = messages_.size();
        while (!messages_.empty())
            pump_->release(*pop());
        return count;
    }

    // ---- requests

    void receive(waiting_ptr<subscription_message> op) {
        pump_->schedule(); // the rest cannot fail
        add(*op.release());
    }
    void receive_some(waiting_ptr<std::size_t> op, std::span<subscription_message> into) {
        pump_->schedule();
        if (into.empty()) return pump_->end(*op.release(), misuse(errc::invalid_argument));
        op->target = into;
        op->is_batch = true;
        add(*op.release());
    }
    std::optional<subscription_message> try_receive() noexcept {
        if (messages_.empty()) return std::nullopt;
        return take();
    }
    void set_callback(callback f) {
        pump_->schedule();
        auto fresh = f ? std::make_shared<callback>(std::move(f)) : nullptr;
        callback_.swap(fresh);
        pump_->add_due(*this);
    }
    /// Messages stay in the inbox until `resume_callback`. Both functions allocate nothing.
    void pause_callback() noexcept { callback_use_ = callback_use::paused; }
    void resume_callback() noexcept {
        if (std::exchange(callback_use_, callback_use::called) == callback_use::paused) pump_->add_due(*this);
    }
    void set_mode(acknowledgement_mode mode) noexcept { mode_ = mode; }
    void cancel(waiting_handler& op) override {
        pump_->schedule();
        waiting_.remove(op);
        pump_->end(op, asio::error::operation_aborted);
    }

    // ---- the pump

    std::shared_ptr<pumped> keep_alive() noexcept override { return this->shared_from_this(); }
    /// Passes a message, or a batch, to an operation or to the callback.
    bool step() override {
        if (messages_.empty() || !is_wanted()) return false;
        if (waiting_.empty())
            call();
        else
            complete(*waiting_.pop_front());
        return !messages_.empty() && is_wanted();
    }

private:
    using receive_op = waiting_for<subscription_message>;
    using batch_op = waiting_for<std::size_t>;

    enum class fullness : std::uint8_t {
        usual,      ///< It was not full since it was half empty.
        unreported, ///< It has messages beyond its limit. The event is due.
        reported,   ///< The event was reported.
    };

    enum class callback_use : std::uint8_t {
        called, ///< It gets the messages that no operation takes.
        paused, ///< It gets none.
    };

    bool is_full() const noexcept { return messages_.size() >= limit_ || bytes_ >= bytes_limit_; }

    void fail_all(std::error_code error) noexcept {
        while (waiting_handler* const op = waiting_.pop_front())
            pump_->end(*op, error);
    }
    void add(waiting_handler& op) noexcept {
        if (ended_ && messages_.empty()) return pump_->end(op, ended_);
        op.owner = this;
        waiting_.push_back(op);
        if (!messages_.empty()) pump_->add_due(*this);
    }
    std::shared_ptr<held_message> pop() noexcept {
        std::shared_ptr<held_message> message = messages_.pop_front();
        bytes_ -= message->content.owned_bytes();
        if (messages_.size() <= limit_ / 2 && bytes_ <= bytes_limit_ / 2) fullness_ = fullness::usual;
        return message;
    }
    // The message as the application sees it. In manual mode it acknowledges itself.
    subscription_message show(std::shared_ptr<held_message> message) noexcept {
        std::weak_ptr<message_holder> holder;
        if (mode_ == acknowledgement_mode::manual) holder = pump_->weak_from_this();
        return {std::move(message), filter_, std::move(holder)};
    }
    subscription_message take() noexcept {
        std::shared_ptr<held_message> message = pop();
        if (mode_ == acknowledgement_mode::automatic) pump_->release(*message);
        return show(std::move(message));
    }
    void complete(waiting_handler& op) {
        op.owner = nullptr;
        if (op.is_batch) {
            auto& batch = static_cast<batch_op&>(op);
            while (batch.result != batch.target.size() && !messages_.empty())
                batch.target[batch.result++] = take();
        } else {
            static_cast<receive_op&>(op).result = take();
        }
        op.finish();
    }
    // A message is acknowledged when the callback has returned, also by an exception.
    void call() {
        struct after_call {
            inbox_core& inbox;
            std::shared_ptr<held_message> message;
            ~after_call() {
                if (inbox.mode_ == acknowledgement_mode::automatic) inbox.pump_->release(*message);
            }
        } const taken{*this, pop()};
        const auto f = callback_; // it may be replaced
        (*f)(show(taken.message));
    }

    std::shared_ptr<pump_type> pump_;
    std::shared_ptr<const std::string> filter_;
    std::size_t limit_;
    std::size_t bytes_limit_;
    full_inbox_action when_full_;
    acknowledgement_mode mode_;
    ring<std::shared_ptr<held_message>> messages_;
    std::size_t bytes_ = 0;
    fullness fullness_ = fullness::usual;
    handler_list waiting_;
    std::error_code ended_; // set if no more messages come
    std::shared_ptr<callback> callback_;
    callback_use callback_use_ = callback_use::called;
};

/// Owns an inbox for its subscription object.
template <class Executor>
class inbox_ptr {
public:
    using core_type = inbox_core<Executor>;

    inbox_ptr() = default;
    explicit inbox_ptr(std::shared_ptr<core_type> core) noexcept : core_(std::move(core)) {}
    inbox_ptr(inbox_ptr&&) noexcept = default;
    inbox_ptr& operator=(inbox_ptr&& other) noexcept {
        inbox_ptr taken(std::move(other));
        core_.swap(taken.core_);
        return *this;
    }
    inbox_ptr(const inbox_ptr&) = delete;
    inbox_ptr& operator=(const inbox_ptr&) = delete;
    ~inbox_ptr() {
        if (core_) core_->pump().remove(*core_);
    }

    core_type* get() const noexcept { return core_.get(); }
    core_type* operator->() const noexcept { return core_.get(); }

private:
    std::shared_ptr<core_type> core_;
};

} // namespace tern::detail
