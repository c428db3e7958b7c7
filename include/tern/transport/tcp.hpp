// Plain TCP.
#pragma once

#include "tern/fwd.hpp"
#include "tern/transport/concept.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/basic_waitable_timer.hpp>
#include <asio/buffer.hpp>
#include <asio/compose.hpp>
#include <asio/error.hpp>
#include <asio/ip/address.hpp>
#include <asio/ip/tcp.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace tern {

/// A TCP connection, with TCP_NODELAY set: Tern gathers what belongs together by itself.
///
/// Each address that a host has is connected to by a call of its own.
template <class Executor>
class basic_tcp {
public:
    using executor_type = Executor;
    using socket_type = asio::basic_stream_socket<asio::ip::tcp, Executor>;

    /// The same transport on another executor.
    template <class Other>
    struct rebind_executor {
        using other = basic_tcp<Other>;
    };

    explicit basic_tcp(const Executor& executor) : socket_(executor) {}

    executor_type get_executor() noexcept { return socket_.get_executor(); }

    /// The socket, for options.
    socket_type& socket() noexcept { return socket_; }

    template <class Token>
    auto async_resolve(std::string_view host, std::uint16_t port, Token&& token) {
        return asio::async_compose<Token, void(std::error_code, std::size_t)>(
            resolve_op{*this, std::string{host}, port}, token, socket_);
    }

    template <class Token>
    auto async_connect(std::size_t address, Token&& token) {
        return asio::async_compose<Token, void(std::error_code)>(connect_op{*this, address}, token, socket_);
    }

    template <class Token>
    auto async_read_some(asio::mutable_buffer buffer, Token&& token) {
        return socket_.async_read_some(buffer, std::forward<Token>(token));
    }

    template <class Token>
    auto async_wait_read(Token&& token) {
        return socket_.async_wait(socket_type::wait_read, std::forward<Token>(token));
    }

    std::size_t read_some(asio::mutable_buffer buffer, std::error_code& error) noexcept {
        return socket_.read_some(buffer, error);
    }

    template <class Buffers>
    std::size_t write_some(const Buffers& buffers, std::error_code& error) noexcept {
        return socket_.write_some(buffers, error);
    }

    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        return socket_.async_write_some(buffers, std::forward<Token>(token));
    }

    void shutdown_send() noexcept {
        std::error_code ignored; // then there is no connection any more
        socket_.shutdown(socket_type::shutdown_send, ignored);
    }

    void close() noexcept {
        ++attempt_;
        if (const auto name = lookup_.lock()) {
            name->resolver.cancel();
            name->end.cancel();
        }
        std::error_code ignored;
        socket_.close(ignored);
    }

private:
    using resolver_type = asio::ip::basic_resolver<asio::ip::tcp, Executor>;
    using clock = std::chrono::steady_clock;

    // The system may take minutes to resolve a name, and cannot be told to stop. So the wait for its answer
    // is a wait of its own, which `close` can end; an answer that comes later goes nowhere.
    struct lookup {
        explicit lookup(const Executor& executor)
            : resolver(executor)
            , end(executor, clock::time_point::max()) {}

        resolver_type resolver;
        asio::basic_waitable_timer<clock, asio::wait_traits<clock>, Executor> end;
        std::error_code error;
        std::vector<asio::ip::tcp::endpoint> addresses;
    };

    struct resolve_op {
        basic_tcp& tcp;
        std::string host;
        std::uint16_t port;
        unsigned attempt = 0; // tells an attempt that was closed meanwhile
        std::shared_ptr<lookup> name = nullptr;

        template <class Self>
        void operator()(Self& self) {
            attempt = tcp.attempt_;
            tcp.addresses_.clear();
            name = std::make_shared<lookup>(tcp.get_executor());
            tcp.lookup_ = name;
            std::error_code error;
            const asio::ip::address address = asio::ip::make_address(host, error);
            if (!error)
                found({address, port});
            else
                ask_system();
            name->end.async_wait(std::move(self));
        }

        // The host is an address: there is nothing to wait for.
        void found(const asio::ip::tcp::endpoint& address) {
            name->addresses.push_back(address);
            name->end.expires_at(clock::time_point::min());
        }

        void ask_system() {
            name->resolver.async_resolve(host, std::to_string(port), resolver_type::numeric_service,
                                         [name = name](std::error_code error, const auto& results) {
                                             name->error = error;
                                             for (const auto& each : results)
                                                 name->addresses.push_back(each.endpoint());
                                             name->end.cancel();
                                         });
        }

        template <class Self>
        void operator()(Self& self, std::error_code) {
            std::error_code error = name->error;
            if (!error && name->addresses.empty()) error = asio::error::host_not_found;
            if (attempt != tcp.attempt_) error = asio::error::operation_aborted;
            if (error) return self.complete(error, 0);
            tcp.addresses_ = std::move(name->addresses);
            tcp.lookup_.reset(); // a weak pointer keeps memory
            self.complete({}, tcp.addresses_.size());
        }
    };

    struct connect_op {
        basic_tcp& tcp;
        std::size_t address;
        unsigned attempt = 0;
        bool started = false;

        template <class Self>
        void operator()(Self& self, std::error_code error = {}) {
            if (!std::exchange(started, true)) return start(self);
            if (attempt != tcp.attempt_) error = asio::error::operation_aborted;
            std::error_code ignored; // a socket that cannot turn off Nagle's delay still works
            if (!error) tcp.socket_.set_option(asio::ip::tcp::no_delay{true}, ignored);
            if (!error) tcp.socket_.non_blocking(true, error);
            self.complete(error);
        }

        // On a fresh socket: the next address may be of the other family.
        template <class Self>
        void start(Self& self) {
            attempt = tcp.attempt_;
            std::error_code ignored;
            tcp.socket_.close(ignored);
            tcp.socket_.async_connect(tcp.addresses_.at(address), std::move(self));
        }
    };

    socket_type socket_;
    std::weak_ptr<lookup> lookup_;
    std::vector<asio::ip::tcp::endpoint> addresses_;
    unsigned attempt_ = 0;
};

} // namespace tern
