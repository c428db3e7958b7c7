// What receiving gives: a message that owns what it holds.
#pragma once

#include "tern/message.hpp"
#include "tern/session/event.hpp"

#include <memory>
#include <utility>

namespace tern {

struct received_message;

namespace detail {

// The client's side of a message that the application acknowledges.
class message_owner : public std::enable_shared_from_this<message_owner> {
public:
    virtual void acknowledge(message_token token) = 0;

    message_owner() = default;
    message_owner(const message_owner&) = delete;
    message_owner& operator=(const message_owner&) = delete;

    // Takes the message's token; in manual mode the message gets the owner, to acknowledge itself.
    static message_token hand_over(received_message& message, std::weak_ptr<message_owner> owner) noexcept;

protected:
    ~message_owner() = default;
};

} // namespace detail

/// A received message; owns what it holds.
struct received_message : message {
    /// The broker has sent it before, perhaps to no avail [MQTT-3.3.1-1].
    bool dup = false;

    received_message() = default;
    /// A copy, with memory as for `owned`.
    template <class Allocate>
    received_message(const received& from, Allocate allocate)
        : message(from.message, allocate)
        , dup(from.dup)
        , token_(from.token) {}
    template <class Allocate>
    void assign(const received& from, Allocate allocate) {
        message::assign(from.message, allocate);
        dup = from.dup;
        token_ = from.token;
    }

    /// Acknowledges a QoS 1 or 2 message of a client with `acknowledgement_mode::manual`.
    ///
    /// May be called at any later time, on the client's executor, and for several messages in any order: the
    /// acknowledgements are sent in the order of arrival, as the standard demands [MQTT-4.6.0-2]. What came on an
    /// earlier connection is sent again by the broker: a QoS 1 message is delivered once more, to be acknowledged
    /// then; a QoS 2 message is not, and this is its acknowledgement. Does nothing in automatic mode, for QoS 0, the
    /// second time, or when the client is gone.
    void acknowledge() {
        if (const auto owner = std::exchange(owner_, {}).lock()) owner->acknowledge(token_);
    }

private:
    friend class detail::message_owner;

    message_token token_ = message_token::none;
    std::weak_ptr<detail::message_owner> owner_; // in manual mode only
};

namespace detail {

inline message_token message_owner::hand_over(received_message& message, std::weak_ptr<message_owner> owner) noexcept {
    message.owner_ = std::move(owner);
    return message.token_;
}

} // namespace detail
} // namespace tern
