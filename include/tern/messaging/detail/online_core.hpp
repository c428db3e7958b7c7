// Publishes a retained message after each connection.
#pragma once

#include "tern/error.hpp"
#include "tern/message.hpp"
#include "tern/messaging/detail/router_core.hpp"
#include "tern/messaging/detail/router_listener.hpp"
#include "tern/session/event.hpp"
#include "tern/session/options.hpp"
#include "tern/types.hpp"

#include <asio/error.hpp>
#include <asio/post.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern {

/// The message of an `online_state`. Borrows; the object copies it.
struct online_state_options {
    std::string_view topic = {};
    std::string_view online = "online";
    std::string_view offline = "offline";
    tern::qos qos = tern::qos::at_least_once;
};

namespace detail {

template <class Client>
class online_core final : public router_listener {
public:
    online_core(std::shared_ptr<router_core<Client>> router, const online_state_options& o)
        : router_(std::move(router))
        , online_({.topic = o.topic, .payload = o.online, .qos = o.qos, .retain = true})
        , offline_({.topic = o.topic, .payload = o.offline, .qos = o.qos, .retain = true}) {
        router_->add_listener(*this);
        if (router_->client() && router_->client()->is_connected()) state_ = publish_state::due;
        router_->schedule();
    }
    ~online_core() { router_->remove_listener(*this); }

    auto get_executor() const noexcept { return router_->executor(); }
    Client* client() const noexcept { return router_->client(); }
    const message_view& offline() const noexcept { return offline_.view(); }
    /// Publishes "online" no more.
    void leave() noexcept { state_ = publish_state::leaving; }

    void on_event(const connection_event_view& e) noexcept override {
        if (e.change == connection_change::stopped) state_ = publish_state::published;
        if (e.change == connection_change::connected && state_ != publish_state::leaving) state_ = publish_state::due;
    }
    void on_renewed(std::string_view, std::error_code) noexcept override {}
    void on_client_end(client_end) noexcept override {}
    // If the client does not accept it now, it is published after the next event.
    void on_pump() override {
        if (state_ == publish_state::due && client() && !client()->try_publish(online_.view()))
            state_ = publish_state::published;
    }

private:
    enum class publish_state : std::uint8_t {
        published, ///< Nothing is to be done until the next connection.
        due,       ///< There is a new connection: "online" is due.
        leaving,   ///< The program disconnects.
    };

    std::shared_ptr<router_core<Client>> router_;
    message online_;
    message offline_;
    publish_state state_ = publish_state::published;
};

/// Publishes "offline", then disconnects.
template <class Client>
class leave_operation {
public:
    leave_operation(std::shared_ptr<online_core<Client>> core, std::chrono::milliseconds timeout) noexcept
        : core_(std::move(core))
        , timeout_(timeout) {}

    template <class Self>
    void operator()(Self& self) {
        Client* const client = core_->client();
        if (!client)
            return asio::post(core_->get_executor(),
                              [s = std::move(self)]() mutable { s.complete(asio::error::operation_aborted); });
        const auto core = core_; // it moves with the operation
        const publish_options options{.time_to_live = timeout_, .timeout = timeout_};
        client->async_publish(core->offline(), options, std::move(self));
    }
    // "offline" was published, or cannot be.
    template <class Self>
    void operator()(Self& self, std::error_code, const acknowledgement&) {
        Client* const client = core_->client();
        client ? client->async_disconnect(std::move(self)) : self.complete(asio::error::operation_aborted);
    }
    template <class Self>
    void operator()(Self& self, std::error_code error) {
        self.complete(error);
    }

private:
    std::shared_ptr<online_core<Client>> core_;
    std::chrono::milliseconds timeout_;
};

} // namespace detail
} // namespace tern
