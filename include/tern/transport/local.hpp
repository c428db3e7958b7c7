// Unix domain sockets, for a broker on the same machine.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/fwd.hpp"
#include "tern/transport/concept.hpp"
#include "tern/transport/detail/native_socket.hpp"
#include "tern/transport/detail/open_operation.hpp"
#include "tern/transport/detail/stream_socket.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/basic_waitable_timer.hpp>
#include <asio/buffer.hpp>
#include <asio/compose.hpp>
#include <asio/error.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/post.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#if defined(ASIO_HAS_LOCAL_SOCKETS)

namespace tern {

/// A connection over a Unix domain socket. It uses only `endpoint::path`: `/run/mosquitto.sock`, or `@name` for the
/// abstract namespace of Linux. Its other promises are those of `basic_tcp`.
///
///     tern::basic_client<tern::local> client{context};
///     client.async_connect({.path = "/run/mosquitto.sock", .client_id = "sensor-1"}, token);
template <class Executor>
class basic_local {
public:
    using executor_type = Executor;
    using socket_type = typename detail::stream_socket<asio::local::stream_protocol, Executor>::socket_type;

    /// The same transport on another executor.
    template <class Other>
    struct rebind_executor {
        using other = basic_local<Other>;
    };

    explicit basic_local(const Executor& executor) : socket_(executor) {}
    basic_local(basic_local&&) = default;
    basic_local& operator=(basic_local&&) = default;
    ~basic_local() { abandon_opening(); }

    executor_type get_executor() noexcept { return socket().get_executor(); }

    /// Returns the present socket.
    socket_type& socket() noexcept { return socket_.socket; }

    template <class Token>
    auto async_open(const endpoint& where, const open_timeouts& timeouts, Token&& token) {
        return asio::async_compose<Token, void(std::error_code)>(
            detail::open_operation<opening>{opening_, std::make_shared<opening>(*this, where.path, timeouts.connect)},
            token, socket());
    }

    connection_phase opening_phase() const noexcept { return connection_phase::connecting; }

    template <class Token>
    auto async_read_some(asio::mutable_buffer buffer, Token&& token) {
        return socket().async_read_some(buffer, std::forward<Token>(token));
    }

    template <class Token>
    auto async_wait_read(Token&& token) {
        return socket().async_wait(socket_type::wait_read, std::forward<Token>(token));
    }

    std::size_t read_some(asio::mutable_buffer buffer, std::error_code& error) noexcept {
        return socket().read_some(buffer, error);
    }

    template <class Buffers>
    std::size_t write_some(const Buffers& buffers, std::error_code& error) noexcept {
        return socket().write_some(buffers, error);
    }

    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        return socket().async_write_some(buffers, std::forward<Token>(token));
    }

    TERN_COLD void shutdown_send() noexcept {
        std::error_code ignored; // an error means that the connection is already lost
        socket().shutdown(socket_type::shutdown_send, ignored);
    }

    TERN_COLD void close() noexcept {
        abandon_opening();
        socket_.close();
    }

private:
    using protocol = asio::local::stream_protocol;
    using clock = std::chrono::steady_clock;
    using timer = asio::basic_waitable_timer<clock, asio::wait_traits<clock>, Executor>;

    // How long it waits if the queue of the broker's socket is full. The system cannot report when it has room.
    static constexpr std::chrono::milliseconds retry_delay{10};

    // One opening.
    class opening : public std::enable_shared_from_this<opening> {
    public:
        TERN_COLD opening(basic_local& owner, std::string_view path, std::chrono::milliseconds limit)
            : end(owner.get_executor(), (clock::time_point::max)())
            , local_(&owner)
            , path_(path)
            , deadline_(limit.count() == 0 ? (clock::time_point::max)() : clock::now() + limit)
            , retry_(owner.get_executor()) {}

        TERN_COLD void start() {
            asio::post(local_->get_executor(), [of = this->weak_from_this()] {
                if (const auto self = of.lock()) self->step(&opening::open);
            });
        }

        // The transport is closed or destroyed.
        TERN_COLD void abandon() noexcept { finish(asio::error::operation_aborted); }

        timer end;
        std::error_code error;

    private:
        // Runs a step unless the opening has ended.
        void step(void (opening::*take)()) {
            if (!local_) return;
            try {
                (this->*take)();
            } catch (const std::bad_alloc&) {
                finish(std::make_error_code(std::errc::not_enough_memory));
            } catch (const std::system_error& e) {
                finish(e.code());
            }
        }

        TERN_COLD void open() {
            if (const std::error_code invalid = check_path()) return finish(invalid);
            if (path_.front() == '@') path_.front() = '\0';
            address_ = protocol::endpoint(path_); // throws if it is too long
            std::error_code failure =
                local_->socket_.open(protocol(), [](detail::native_socket) { return std::error_code(); });
            if (!failure) local_->socket().non_blocking(true, failure);
            if (failure) return finish(failure);
            connect();
        }

        std::error_code check_path() const noexcept {
            if (path_.empty() || path_ == "@") return misuse(errc::empty_path);
#if !defined(__linux__)
            if (path_.front() == '@') return asio::error::operation_not_supported;
#endif
            // The system would take it for the end.
            return path_.find('\0') == std::string::npos ? std::error_code() : asio::error::invalid_argument;
        }

        TERN_COLD void connect() {
            const std::error_code failure =
                detail::connect_native_socket(local_->socket().native_handle(), address_.data(), address_.size());
            if (failure != asio::error::would_block && failure != asio::error::try_again) return finish(failure);
            if (clock::now() >= deadline_) return finish(violation(errc::connect_timeout));
            retry_.expires_after(retry_delay);
            retry_.async_wait([self = this->shared_from_this()](const std::error_code& e) {
                if (!e) self->step(&opening::connect);
            });
        }

        TERN_COLD void finish(const std::error_code& result) noexcept {
            if (local_) {
                local_ = nullptr;
                retry_.cancel();
            }
            error = result; // a successful opening can still be aborted
            end.cancel();
        }

        basic_local* local_; // null once the opening has ended
        std::string path_;
        protocol::endpoint address_;
        clock::time_point deadline_;
        timer retry_;
    };

    TERN_COLD void abandon_opening() noexcept {
        if (const auto present = opening_.lock()) present->abandon();
    }

    detail::stream_socket<protocol, Executor> socket_;
    std::weak_ptr<opening> opening_;
};

} // namespace tern

#if !defined(TERN_SEPARATE_COMPILATION)
#include "tern/transport/detail/native_socket_options.hpp"
#endif

#endif
