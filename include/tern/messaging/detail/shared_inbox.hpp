// The receive operations of a shared client, and the messages that came back from cancelled ones. On the strand alone.
//
// An operation of the client itself waits only while one of these waits. A message whose operation was cancelled on its
// way to the handler goes to the next one.
#pragma once

#include "tern/client/received_message.hpp"
#include "tern/detail/containers.hpp"

#include <asio/cancellation_signal.hpp>
#include <asio/error.hpp>

#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace tern::detail {

/// A receive operation that waits on the strand.
struct waiting_receive {
    waiting_receive* next = nullptr;
    waiting_receive* previous = nullptr;
    std::span<received_message> target = {};
    /// Completes it with the number of messages in `target`.
    void (*complete)(waiting_receive*, std::error_code error, std::size_t count) = nullptr;
};

template <class Core>
class shared_inbox {
public:
    explicit shared_inbox(Core& core) noexcept : core_(core) {}
    shared_inbox(const shared_inbox&) = delete;
    shared_inbox& operator=(const shared_inbox&) = delete;
    ~shared_inbox() = default;

    void add(waiting_receive* w) {
        w->next = nullptr;
        w->previous = last_;
        (last_ ? last_->next : first_) = w;
        last_ = w;
        serve();
    }
    void cancel(waiting_receive* w) {
        remove(w);
        w->complete(w, asio::error::operation_aborted, 0);
        if (first_ || client_wait_ != client_wait::receiving) return;
        client_wait_ = client_wait::cancelled;
        signal_->emit(asio::cancellation_type::terminal);
    }
    /// Returns messages to their places in the order of arrival.
    void put_back(std::vector<received_message> messages) {
        stored_.reserve(messages.size() + 1);
        for (received_message& m : messages)
            put_back(m);
        serve();
    }
    /// Completes all operations with an error.
    void fail_all(std::error_code error) {
        while (waiting_receive* const w = first_) {
            remove(w);
            w->complete(w, error, 0);
        }
    }

private:
    enum class client_wait : std::uint8_t {
        none,      ///< No operation of the client waits.
        receiving, ///< One waits for a message.
        cancelled, ///< The same, but it was cancelled, because no operation waited here.
    };

    // The handler of the client's operation.
    struct receive_handler {
        using cancellation_slot_type = asio::cancellation_slot;

        std::weak_ptr<Core> core;
        std::shared_ptr<asio::cancellation_signal> signal; // the operation clears its slot, also without the core

        cancellation_slot_type get_cancellation_slot() const noexcept { return signal->slot(); }
        void operator()(std::error_code error, received_message message) const {
            if (const auto alive = core.lock()) alive->inbox().on_receive(error, std::move(message));
        }
    };

    // There is room. Operations that are cancelled at the same time return their messages in any order.
    void put_back(received_message& m) noexcept {
        stored_.push_front(std::move(m));
        for (std::size_t i = 1; i != stored_.size() && message_owner::arrived_before(stored_[i], stored_[i - 1]); ++i)
            std::swap(stored_[i], stored_[i - 1]);
    }
    void serve() {
        while (waiting_receive* const w = first_) {
            const std::size_t count = fill(w->target);
            if (count == 0) break;
            remove(w);
            w->complete(w, {}, count);
        }
        if (!first_ || client_wait_ != client_wait::none) return;
        try {
            stored_.reserve(1); // for its message
            core_.client().async_receive(receive_handler{core_.weak_from_this(), signal_});
        } catch (const std::bad_alloc&) {
            return fail_all(std::make_error_code(std::errc::not_enough_memory));
        }
        client_wait_ = client_wait::receiving;
    }
    std::size_t fill(std::span<received_message> target) {
        std::size_t count = 0;
        for (; count != target.size(); ++count) {
            if (!stored_.empty())
                target[count] = stored_.pop_front();
            else if (auto message = core_.client().try_receive())
                target[count] = std::move(*message);
            else
                break;
        }
        return count;
    }
    void on_receive(std::error_code error, received_message message) {
        const bool was_cancelled = std::exchange(client_wait_, client_wait::none) == client_wait::cancelled;
        if (!error)
            stored_.push_back(std::move(message));
        else if (!was_cancelled)
            fail_all(error);
        serve();
    }
    void remove(waiting_receive* w) noexcept {
        (w->previous ? w->previous->next : first_) = w->next;
        (w->next ? w->next->previous : last_) = w->previous;
    }

    Core& core_;
    waiting_receive* first_ = nullptr;
    waiting_receive* last_ = nullptr;
    ring<received_message> stored_;
    client_wait client_wait_ = client_wait::none;
    std::shared_ptr<asio::cancellation_signal> signal_ = std::make_shared<asio::cancellation_signal>();
};

} // namespace tern::detail
