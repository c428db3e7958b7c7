// Answers requests that are messages [§4.10].
#pragma once

#include "tern/messaging/detail/responder_core.hpp"
#include "tern/messaging/message_router.hpp"
#include "tern/messaging/request_options.hpp"
#include "tern/messaging/subscription_inbox.hpp"

#include <memory>
#include <utility>

namespace tern {

/// Answers the requests of a subscription. It calls a function for each, which returns the payload of the response, or
/// a coroutine that does, `asio::awaitable<std::string>`. Any type is possible that converts to `payload_view`.
///
/// At most `responder_options::concurrency` coroutines run at the same time, on the client's executor. The response has
/// the QoS of the request, and goes to its Response Topic with its Correlation Data. A request without a Response Topic
/// is processed, and not answered: in 3.1.1 none has one. If the function throws, the response is empty and has the
/// user property `error` with the text of the exception (`response_error`).
///
/// A request is acknowledged when it was answered. So **a request may come twice**: if the connection is lost before,
/// or the program ends. The function must be prepared for that, for example by remembering an identifier that the
/// request has.
///
/// Destroying the responder ends the subscription. Coroutines that run then go on to their end, and their responses are
/// published. The reference that the function gets is valid until it has returned, or the coroutine has ended. The
/// responder can be moved. Router and client can be destroyed before it.
///
///     tern::responder adder{router, co_await router.async_subscribe({.filter = "math/add"}, asio::use_awaitable),
///                           [](const tern::subscription_message& m) { return add(m.payload); }};
template <class Client>
class responder {
    using core_type = detail::responder_core<Client>;
    using inbox_type = typename message_router<Client>::inbox_type;

public:
    template <detail::request_handler Handler>
    responder(message_router<Client>& router, inbox_type&& inbox, Handler handler,
              const responder_options& options = {})
        : core_(std::make_shared<detail::handler_responder<Client, Handler>>(std::move(handler), router.core(),
                                                                             std::move(inbox), options)) {
        core_->receive();
    }
    responder(responder&&) noexcept = default;
    responder& operator=(responder&& other) noexcept {
        responder taken(std::move(other));
        core_.swap(taken.core_);
        return *this;
    }
    responder(const responder&) = delete;
    responder& operator=(const responder&) = delete;
    ~responder() {
        if (core_) core_->close();
    }

    responder_counters counters() const noexcept { return core_->counters(); }

private:
    std::shared_ptr<core_type> core_;
};

} // namespace tern
