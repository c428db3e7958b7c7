// Proxies: a layer that opens the transport below to a proxy, and negotiates the way to the broker.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/fwd.hpp"
#include "tern/transport/concept.hpp"
#include "tern/transport/detail/any_handler.hpp"
#include "tern/transport/detail/proxy_state.hpp"
#include "tern/transport/proxy_options.hpp"
#include "tern/transport/time.hpp"

#include <asio/async_result.hpp>
#include <asio/buffer.hpp>
#include <asio/compose.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>

namespace tern {

/// A transport that reaches brokers through an HTTP or a SOCKS5 proxy. Without a proxy it only forwards.
///
/// The transport below connects to the proxy, which resolves the name of the broker. TLS and WebSocket run above it:
/// `websocket<tls<proxy<tcp>>>`. Connecting to the proxy has the limits of `open_timeouts`, and its answers together
/// the limit `connect`. The proxy's refusal is the error: of the category "tern.http" with the status of an HTTP proxy,
/// or a `proxy_errc` of a SOCKS5 proxy.
///
///     tern::basic_client<tern::basic_proxy<tern::tcp>> client{context};
///     client.transport().set_options(*tern::proxy_options::from_environment());
template <class Next>
class basic_proxy {
public:
    using executor_type = typename Next::executor_type;
    using next_layer_type = Next;

    /// The same transport on another executor.
    template <class Other>
    struct rebind_executor {
        using other = basic_proxy<typename Next::template rebind_executor<Other>::other>;
    };

    explicit basic_proxy(const executor_type& executor) : basic_proxy(Next(executor)) {}
    explicit basic_proxy(Next next) : state_(std::make_shared<state>(std::move(next))) {}
    basic_proxy(basic_proxy&&) noexcept = default;
    basic_proxy& operator=(basic_proxy&& other) noexcept {
        if (this == &other) return *this;
        if (state_) state_->close();
        state_ = std::move(other.state_);
        return *this;
    }
    ~basic_proxy() {
        if (state_) state_->close();
    }

    executor_type get_executor() noexcept { return state_->next.get_executor(); }

    /// The transport below, to set its options.
    Next& next_layer() noexcept { return state_->next; }

    /// Sets the proxy of later openings. `{}` removes it.
    TERN_COLD void set_options(proxy_options options) { state_->options = std::move(options); }

    template <class Token>
    auto async_open(const endpoint& where, const open_timeouts& timeouts, Token&& token) {
        return asio::async_initiate<Token, void(std::error_code)>(
            [self = state_.get(), where, timeouts](auto handler) {
                using handler_type = decltype(handler);
                self->reset();
                if (!detail::needs_proxy(self->options, where))
                    self->next.async_open(where, timeouts, std::move(handler));
                else
                    asio::async_compose<handler_type, void(std::error_code)>(
                        open_op{self->shared_from_this(), where, timeouts}, handler, self->next.get_executor());
            },
            token);
    }

    connection_phase opening_phase() const noexcept { return state_->opening_phase(); }

    template <class Token>
    auto async_read_some(asio::mutable_buffer buffer, Token&& token) {
        return asio::async_initiate<Token, void(std::error_code, std::size_t)>(
            [self = state_.get(), buffer](auto handler) {
                if (self->has_leftover())
                    self->post_leftover(buffer, {std::move(handler), self->next.get_executor(),
                                                 std::make_shared<detail::any_memory>()});
                else
                    self->next.async_read_some(buffer, std::move(handler));
            },
            token);
    }

    template <class Token>
        requires readable_transport<Next>
    auto async_wait_read(Token&& token) {
        return asio::async_initiate<Token, void(std::error_code)>(
            [self = state_.get()](auto handler) {
                if (self->has_leftover())
                    self->post_readable(
                        {std::move(handler), self->next.get_executor(), std::make_shared<detail::any_memory>()});
                else
                    self->next.async_wait_read(std::move(handler));
            },
            token);
    }

    std::size_t read_some(asio::mutable_buffer buffer, std::error_code& error) noexcept
        requires readable_transport<Next>
    {
        error = {};
        return state_->has_leftover() ? state_->take_leftover(buffer) : state_->next.read_some(buffer, error);
    }

    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        return state_->next.async_write_some(buffers, std::forward<Token>(token));
    }

    template <class Buffers>
        requires writes_at_once<Next>
    std::size_t write_some(const Buffers& buffers, std::error_code& error) noexcept {
        return state_->next.write_some(buffers, error);
    }

    void shutdown_send() noexcept { state_->next.shutdown_send(); }
    void close() noexcept { state_->close(); }

    // ---- the time and the randomness of the transport below

    std::chrono::steady_clock::time_point now() const noexcept
        requires timed_transport<Next>
    {
        return detail::now_of(state_->next);
    }
    auto make_timer()
        requires timed_transport<Next>
    {
        return detail::make_timer_of(state_->next);
    }
    std::uint64_t seed()
        requires seeded_transport<Next>
    {
        return state_->next.seed();
    }

private:
    using state = detail::proxy_state<Next>;

    struct open_op {
        std::shared_ptr<state> of;
        endpoint where;
        open_timeouts timeouts;

        template <class Self>
        void operator()(Self& self) {
            const auto keep = of; // `self` is moved below
            keep->open(where, timeouts);
            try {
                keep->opened.async_wait(std::move(self));
            } catch (...) {
                keep->close();
                throw;
            }
        }
        template <class Self>
        void operator()(Self& self, const std::error_code&) {
            const std::error_code result = of->opening_error();
            of.reset();
            self.complete(result);
        }
    };

    std::shared_ptr<state> state_;
};

} // namespace tern
