// Requests that are answered by messages [§4.10].
#pragma once

#include "tern/message.hpp"
#include "tern/messaging/detail/handler_queue.hpp"
#include "tern/messaging/detail/requester_core.hpp"
#include "tern/messaging/message_router.hpp"
#include "tern/messaging/request_options.hpp"
#include "tern/messaging/subscription_message.hpp"
#include "tern/payload.hpp"
#include "tern/transport/tcp.hpp"

#include <asio/async_result.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace tern {

/// The text with which a `responder` answers a request that its handler could not process. None: the response is no
/// error.
inline std::optional<std::string_view> response_error(const message_view& response) {
    for (const user_property& each : response.properties.user_properties)
        if (each.key == "error") return each.value;
    return std::nullopt;
}

/// Sends requests, and waits for their responses. 5.0 only: in 3.1.1 requests complete with `errc::requires_v5`.
///
/// The requester has one response topic, to which it subscribes with the first request: the broker's Response
/// Information, if `connect_properties::request_response_information` has asked for it, or otherwise
/// `requester_options::response_prefix`, and a random part. Correlation Data tell the responses apart. A request waits
/// for a connection and for SUBACK of the response topic, also after a lost session. Any number of requests may wait at
/// the same time. A response that comes before the acknowledgement of its request counts. Responses that come too late,
/// and other messages to the topic, are dropped and counted.
///
/// A request may arrive twice, and be processed twice: the client sends a message of QoS 1 again when a connection is
/// lost.
///
/// The requester uses the clock of the client's transport: for another transport than TCP include its header. It can be
/// moved. Router, client and requester can be destroyed in any order: operations that wait then
/// complete with `asio::error::operation_aborted`. The rules for executors and threads are those of the client.
///
///     tern::requester requests{router};
///     const auto response = co_await requests.async_request("math/add", "1 2", {.timeout = 5s}, asio::use_awaitable);
///     assert(response.payload == "3");
template <class Client>
class requester {
    using core_type = detail::requester_core<Client>;
    using default_token = typename asio::default_completion_token<typename Client::executor_type>::type;

public:
    using executor_type = typename Client::executor_type;

    explicit requester(message_router<Client>& router, const requester_options& options = {})
        : core_(std::make_shared<core_type>(router.core(), options)) {}
    requester(requester&&) noexcept = default;
    requester& operator=(requester&& other) noexcept {
        requester taken(std::move(other));
        core_.swap(taken.core_);
        return *this;
    }
    requester(const requester&) = delete;
    requester& operator=(const requester&) = delete;
    ~requester() {
        if (core_) core_->close();
    }

    executor_type get_executor() const noexcept { return core_->of_router().executor(); }
    requester_counters counters() const noexcept { return core_->counters(); }

    /// Publishes a request, and completes with its response. Topic, payload and properties are copied when the function
    /// is called.
    ///
    /// Signature: `void(std::error_code, subscription_message)`.
    /// Errors: `errc::operation_timeout`, in `outcome_unknown_category()` if the request was sent;
    /// `reason_code::no_matching_subscribers` if the broker says that no client is subscribed to the topic; the other
    /// errors of `basic_client::async_publish` and of the subscription to the response topic; `errc::queue_full` at the
    /// limit; `errc::requires_v5`; the cause of the end of the run; `asio::error::operation_aborted`.
    /// Cancellation: the request may still arrive.
    template <asio::completion_token_for<void(std::error_code, subscription_message)> Token = default_token>
    auto async_request(std::string_view topic, payload_view payload, const request_options& options,
                       Token&& token = Token()) {
        const auto begin = [core = core_.get()](detail::waiting_ptr<subscription_message> op, message content,
                                                std::chrono::milliseconds timeout) {
            core->request(std::move(op), std::move(content), timeout);
        };
        using initiation =
            detail::router_initiation<executor_type, subscription_message, std::remove_const_t<decltype(begin)>>;
        message_view content{.topic = topic, .payload = payload.text(), .qos = options.qos};
        content.properties.content_type = options.content_type;
        content.properties.user_properties = options.user_properties;
        return asio::async_initiate<Token, void(std::error_code, subscription_message)>(
            initiation{get_executor(), begin}, token, message(content), options.timeout);
    }
    /// The same with the default options.
    template <asio::completion_token_for<void(std::error_code, subscription_message)> Token = default_token>
    auto async_request(std::string_view topic, payload_view payload, Token&& token = Token()) {
        return async_request(topic, payload, request_options{}, std::forward<Token>(token));
    }

private:
    std::shared_ptr<core_type> core_;
};

} // namespace tern
