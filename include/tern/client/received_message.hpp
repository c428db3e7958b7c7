// The result of receiving: a message that owns its contents.
#pragma once

#include "tern/codec/publish.hpp"
#include "tern/error.hpp"
#include "tern/message.hpp"
#include "tern/reason_code.hpp"
#include "tern/session/event.hpp"

#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>

namespace tern {

struct received_message;

namespace detail {

// The client's side of a message that the application acknowledges.
class message_owner : public std::enable_shared_from_this<message_owner> {
public:
    virtual void acknowledge(message_token token) = 0;
    virtual std::error_code reject(message_token token, reason_code code, const ack_properties& properties) = 0;

    message_owner() = default;
    message_owner(const message_owner&) = delete;
    message_owner& operator=(const message_owner&) = delete;

    // Returns the message's token. In manual mode it also stores the owner in the message, through which the message
    // acknowledges itself.
    static message_token hand_over(received_message& message, std::weak_ptr<message_owner> owner) noexcept;

    // The number of a message in the order of arrival. It wraps around.
    static void set_arrival(received_message& message, std::uint32_t number) noexcept;
    static std::uint32_t arrival_of(const received_message& message) noexcept;
    static bool arrived_before(const received_message& a, const received_message& b) noexcept;

    static message_token token_of(const received_message& message) noexcept;
    static void set_token(received_message& message, message_token token) noexcept;

protected:
    ~message_owner() = default;
};

} // namespace detail

/// A received message. It owns its contents.
struct received_message : message {
    /// The broker sent this message before. The earlier copy may not have arrived [MQTT-3.3.1-1].
    bool dup = false;

    received_message() = default;
    /// Copies a message, with memory as for `owned`.
    template <class Allocate>
    received_message(const received& from, Allocate allocate)
        : message(from, allocate)
        , dup(from.dup)
        , token_(from.token) {}
    template <class Allocate>
    void assign(const received& from, Allocate allocate) {
        message::assign(from, allocate);
        dup = from.dup;
        token_ = from.token;
    }

    /// Acknowledges a QoS 1 or 2 message of a client with `acknowledgement_mode::manual`.
    ///
    /// It may be called at any later time, and for several messages in any order: on the client's executor, or in any
    /// thread if the client is one for several threads (`tern/messaging/`). The client sends the acknowledgements in
    /// the order of arrival, as the standard requires [MQTT-4.6.0-2]. The broker sends messages of an earlier
    /// connection again. The client delivers a QoS 1 message again that the application has taken, and the application
    /// then acknowledges the new copy. It does not deliver a QoS 2 message again, and this call acknowledges it. The
    /// function does nothing in automatic mode, for QoS 0, when it is called a second time, or after the client is
    /// destroyed.
    void acknowledge() {
        if (const auto owner = std::exchange(owner_, {}).lock()) owner->acknowledge(token_);
    }

    /// Refuses a QoS 1 or 2 message of a 5.0 client with `acknowledgement_mode::manual`, for good: the broker does not
    /// send it again, and in a shared subscription no other member gets it.
    ///
    /// PUBACK or PUBREC has the reason code, in its turn like other acknowledgements, and the properties, as far as the
    /// broker's Maximum Packet Size allows. The function copies them. If the connection is lost before the broker has
    /// the refusal, the message arrives again. May be called where `acknowledge` may be called, once for each message.
    ///
    /// Returns `errc::invalid_reason_code` for other codes than `unspecified_error`, `implementation_specific_error`,
    /// `not_authorized`, `topic_name_invalid`, `quota_exceeded` and `payload_format_invalid`; `errc::requires_v5` in
    /// 3.1.1; `errc::no_acknowledgement` for QoS 0; `errc::already_acknowledged` after an acknowledgement, which the
    /// automatic mode sends by itself, or a refusal. Then nothing has changed.
    ///
    ///     message.reject(tern::reason_code::quota_exceeded, {.reason_string = "the disk is full"});
    std::error_code reject(reason_code code, const ack_properties& said = {}) {
        if (token_ == message_token::none) return misuse(errc::no_acknowledgement);
        const auto owner = owner_.lock();
        if (!owner) return misuse(errc::already_acknowledged);
        const std::error_code error = owner->reject(token_, code, said);
        if (!error) owner_.reset();
        return error;
    }

private:
    friend class detail::message_owner;

    std::uint32_t arrival_ = 0; // lies in what would be padding
    message_token token_ = message_token::none;
    std::weak_ptr<detail::message_owner> owner_; // set only in manual mode
};

namespace detail {

inline message_token message_owner::hand_over(received_message& message, std::weak_ptr<message_owner> owner) noexcept {
    message.owner_ = std::move(owner);
    return message.token_;
}
inline void message_owner::set_arrival(received_message& message, std::uint32_t number) noexcept {
    message.arrival_ = number;
}
inline std::uint32_t message_owner::arrival_of(const received_message& message) noexcept {
    return message.arrival_;
}
inline message_token message_owner::token_of(const received_message& message) noexcept {
    return message.token_;
}
inline void message_owner::set_token(received_message& message, message_token token) noexcept {
    message.token_ = token;
}
inline bool message_owner::arrived_before(const received_message& a, const received_message& b) noexcept {
    return static_cast<std::int32_t>(a.arrival_ - b.arrival_) < 0;
}

} // namespace detail
} // namespace tern
