// A retained message that says whether a client is online.
#pragma once

#include "tern/message.hpp"
#include "tern/messaging/detail/online_core.hpp"
#include "tern/messaging/message_router.hpp"

#include <asio/compose.hpp>

#include <chrono>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern {

/// Keeps a retained message up to date that says whether a client is online: it publishes "online" after each
/// connection, and the broker publishes the will "offline" when the connection is lost.
///
/// Make it before connecting, and give its will to the connection. It can be moved, and the object may be destroyed
/// before or after the router and the client: then it publishes nothing more.
///
///     tern::online_state state{router, {.topic = "sensor-1/state"}};
///     tern::connect_options options{.host = "localhost", .client_id = "sensor-1"};
///     options.will = state.will();
///     co_await client.async_connect(options, asio::use_awaitable);
///     ...
///     co_await state.async_disconnect(5s, asio::use_awaitable);
template <class Client>
class online_state {
    using core_type = detail::online_core<Client>;
    using default_token = typename asio::default_completion_token<typename Client::executor_type>::type;

public:
    online_state(message_router<Client>& router, const online_state_options& options)
        : core_(std::make_shared<core_type>(router.core(), options)) {}
    online_state(online_state&&) noexcept = default;
    online_state& operator=(online_state&&) noexcept = default;
    online_state(const online_state&) = delete;
    online_state& operator=(const online_state&) = delete;
    ~online_state() = default;

    /// The will for `connect_options`. It borrows from this object.
    message_view will() const noexcept { return core_->offline(); }

    /// Publishes "offline", and disconnects when the broker has acknowledged that, or after `timeout`.
    ///
    /// Precondition: the client lives until the operation completes.
    /// Signature: `void(std::error_code)`, with the error of `basic_client::async_disconnect`.
    template <asio::completion_token_for<void(std::error_code)> Token = default_token>
    auto async_disconnect(std::chrono::milliseconds timeout, Token&& token = Token()) {
        core_->leave();
        return asio::async_compose<Token, void(std::error_code)>(detail::leave_operation<Client>{core_, timeout}, token,
                                                                 core_->get_executor());
    }

private:
    std::shared_ptr<core_type> core_;
};

} // namespace tern
