// A transport that is chosen at run time, by the scheme of the endpoint.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/detail/schemes.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/fwd.hpp"
#include "tern/transport/concept.hpp"
#include "tern/transport/detail/any_handler.hpp"
#include "tern/transport/detail/any_stream.hpp"
#include "tern/transport/local.hpp"
#include "tern/transport/proxy.hpp"
#include "tern/transport/tcp.hpp"
#include "tern/transport/websocket.hpp"

#include <asio/async_result.hpp>
#include <asio/buffer.hpp>
#include <asio/post.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <system_error>
#include <utility>

namespace tern {

/// A transport that is chosen by `endpoint::scheme` at each opening: `mqtt`, `tcp` or an empty one for TCP; `mqtts`,
/// `ssl` or `tls` for TLS; `ws` and `wss` for WebSocket; `unix` or `mqtt+unix` for a Unix socket.
///
/// The schemes that need TLS are there if the program includes `tern/client/any_client_tls.hpp` in at least one of its
/// files. Otherwise opening fails with `errc::tls_not_included`. Another scheme fails with `errc::unknown_scheme`. Both
/// are errors of the caller, so that the client does not try again.
///
///     client.transport().set_options(*tern::proxy_options::parse("socks5://proxy.example"));
template <class Executor>
class basic_any_transport {
public:
    using executor_type = Executor;

    /// The same transport on another executor.
    template <class Other>
    struct rebind_executor {
        using other = basic_any_transport<Other>;
    };

    explicit basic_any_transport(const Executor& executor) : state_(std::make_unique<state>(executor)) {}

    executor_type get_executor() const noexcept { return state_->executor; }

    /// Sets `tcp_options`, `proxy_options`, `websocket_options`, or with TLS `tls_options` or a `tls_context`. They
    /// apply from the next opening on.
    template <class Options>
        requires requires(detail::any_options& all, Options options) { set_option(all, std::move(options)); }
    void set_options(Options options) {
        set_option(state_->options, std::move(options));
        for (const auto& each : state_->streams)
            if (each) each->set_options(state_->options);
    }

    template <class Token>
    auto async_open(const endpoint& where, const open_timeouts& timeouts, Token&& token) {
        return asio::async_initiate<Token, void(std::error_code)>(
            [self = state_.get(), where, timeouts](auto handler) {
                self->open(where, timeouts,
                           {std::move(handler), self->executor, std::make_shared<detail::any_memory>()});
            },
            token);
    }

    connection_phase opening_phase() const noexcept {
        return state_->current ? state_->current->opening_phase() : connection_phase::resolving;
    }

    template <class Token>
    auto async_wait_read(Token&& token) {
        return asio::async_initiate<Token, void(std::error_code)>(
            [self = state_.get()](auto handler) {
                self->current->start_wait_read({std::move(handler), self->executor, self->reading});
            },
            token);
    }

    template <class Token>
    auto async_read_some(asio::mutable_buffer buffer, Token&& token) {
        return asio::async_initiate<Token, void(std::error_code, std::size_t)>(
            [self = state_.get(), buffer](auto handler) {
                self->current->start_read(buffer, {std::move(handler), self->executor, self->reading});
            },
            token);
    }

    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        return asio::async_initiate<Token, void(std::error_code, std::size_t)>(
            [self = state_.get(), first = detail::first_buffers(buffers)](auto handler) {
                self->current->start_write(first, {std::move(handler), self->executor, self->writing});
            },
            token);
    }

    std::size_t read_some(asio::mutable_buffer buffer, std::error_code& error) noexcept {
        return state_->current->read_some(buffer, error);
    }

    template <class Buffers>
    std::size_t write_some(const Buffers& buffers, std::error_code& error) noexcept {
        return state_->current->write_some(detail::first_buffers(buffers), error);
    }

    void shutdown_send() noexcept {
        if (state_->current) state_->current->shutdown_send();
    }

    void close() noexcept {
        if (state_ && state_->current) state_->current->close();
    }

private:
    using stream = detail::any_stream<Executor>;

    // On the heap, because transports are moved.
    struct state {
        explicit state(const Executor& e) : executor(e) {}

        TERN_COLD void open(const endpoint& where, const open_timeouts& timeouts,
                            typename stream::opened_handler handler) {
            const std::error_code failure = select(where.scheme);
            if (!failure) return current->open(where, timeouts, std::move(handler));
            asio::post(executor, [failed = std::move(handler), failure]() mutable { failed(failure); });
        }

        // A stream is kept for later openings: it knows which addresses have worked, or a session of TLS.
        TERN_COLD std::error_code select(std::string_view scheme) {
            current = nullptr;
            const detail::broker_scheme* const found = detail::find_broker_scheme(scheme.empty() ? "mqtt" : scheme);
            if (!found) return misuse(errc::unknown_scheme);
            std::unique_ptr<stream>& selected = streams[static_cast<std::size_t>(found->kind)];
            if (!selected) {
                std::unique_ptr<stream> made;
                if (const errc error = make(found->kind, made); error != errc::none) return misuse(error);
                made->set_options(options);
                selected = std::move(made);
            }
            current = selected.get();
            return {};
        }

        TERN_COLD errc make(detail::scheme_kind kind, std::unique_ptr<stream>& made) {
            using detail::any_stream_of;
            using proxied_tcp = basic_proxy<basic_tcp<Executor>>;
            switch (kind) {
            case detail::scheme_kind::tcp:
                made = std::make_unique<any_stream_of<proxied_tcp>>(executor);
                return errc::none;
            case detail::scheme_kind::websocket:
                made = std::make_unique<any_stream_of<basic_websocket<proxied_tcp>>>(executor);
                return errc::none;
            case detail::scheme_kind::tls:
            case detail::scheme_kind::secure_websocket:
                if (!detail::make_secure_stream<Executor>) return errc::tls_not_included;
                made = detail::make_secure_stream<Executor>(kind, executor);
                return errc::none;
            case detail::scheme_kind::unix_socket:
#if defined(ASIO_HAS_LOCAL_SOCKETS)
                made = std::make_unique<any_stream_of<basic_local<Executor>>>(executor);
                return errc::none;
#else
                return errc::unknown_scheme;
#endif
            }
            return errc::unknown_scheme;
        }

        Executor executor;
        detail::any_options options;
        std::array<std::unique_ptr<stream>, detail::scheme_kinds> streams;
        stream* current = nullptr; // of the last opening
        const std::shared_ptr<detail::any_memory> reading = std::make_shared<detail::any_memory>();
        const std::shared_ptr<detail::any_memory> writing = std::make_shared<detail::any_memory>();
    };

    std::unique_ptr<state> state_; // null once it is moved from
};

} // namespace tern
