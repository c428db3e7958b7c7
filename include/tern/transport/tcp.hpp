// Plain TCP.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
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
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace tern {

/// A TCP connection, with TCP_NODELAY set, because Tern itself gathers packets into few writes.
///
/// The transport tries the addresses of a host in the order that the system returns. It moves an address to the end if
/// that address accepted a connection on which nothing was ever read. It does so until something is read on any
/// connection. An address without a responding broker thus does not hide the others.
///
/// The steps of an opening run on the transport's executor.
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
    basic_tcp(basic_tcp&&) = default;
    basic_tcp& operator=(basic_tcp&&) = default;
    ~basic_tcp() { abandon_opening(); }

    executor_type get_executor() noexcept { return socket_.get_executor(); }

    /// Returns the socket, to set its options.
    socket_type& socket() noexcept { return socket_; }

    template <class Token>
    auto async_open(const endpoint& where, const open_timeouts& timeouts, Token&& token) {
        return asio::async_compose<Token, void(std::error_code)>(
            open_op{*this, std::make_shared<opening>(*this, where, timeouts)}, token, socket_);
    }

    connection_phase opening_phase() const noexcept { return phase_; }

    template <class Token>
    auto async_read_some(asio::mutable_buffer buffer, Token&& token) {
        return asio::async_compose<Token, void(std::error_code, std::size_t)>(read_op{*this, buffer}, token, socket_);
    }

    template <class Token>
    auto async_wait_read(Token&& token) {
        return socket_.async_wait(socket_type::wait_read, std::forward<Token>(token));
    }

    std::size_t read_some(asio::mutable_buffer buffer, std::error_code& error) noexcept {
        const std::size_t count = socket_.read_some(buffer, error);
        on_read(count);
        return count;
    }

    template <class Buffers>
    std::size_t write_some(const Buffers& buffers, std::error_code& error) noexcept {
        return socket_.write_some(buffers, error);
    }

    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        return socket_.async_write_some(buffers, std::forward<Token>(token));
    }

    TERN_COLD void shutdown_send() noexcept {
        std::error_code ignored; // an error means that the connection is already lost
        socket_.shutdown(socket_type::shutdown_send, ignored);
    }

    TERN_COLD void close() noexcept {
        abandon_opening();
        std::error_code ignored;
        socket_.close(ignored);
    }

private:
    using address = asio::ip::tcp::endpoint;
    using resolver_type = asio::ip::basic_resolver<asio::ip::tcp, Executor>;
    using clock = std::chrono::steady_clock;
    using timer = asio::basic_waitable_timer<clock, asio::wait_traits<clock>, Executor>;

    // The maximum number of remembered addresses that did not respond.
    static constexpr std::size_t most_silent = 16;

    // False if the list does not contain the address. The algorithms of the library compile to five times the code.
    TERN_COLD static bool remove(std::vector<address>& list, const address& a) {
        for (std::size_t i = 0; i != list.size(); ++i) {
            if (list[i] != a) continue;
            list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
            return true;
        }
        return false;
    }

    // One opening. It may outlive its operation, because a name lookup by the system may take minutes and cannot be
    // stopped. The late answer is dropped. The operation itself only waits for `end`, which the last step cancels. The
    // operation alone stores the handler during all steps, and a step that runs out of memory can still report it.
    class opening : public std::enable_shared_from_this<opening> {
    public:
        TERN_COLD opening(basic_tcp& owner, const endpoint& where, const open_timeouts& timeouts)
            : end(owner.get_executor(), clock::time_point::max())
            , tcp_(&owner)
            , host_(where.host)
            , port_(where.port)
            , timeouts_(timeouts)
            , resolver_(owner.get_executor())
            , limit_(owner.get_executor()) {}

        TERN_COLD void start() {
            tcp_->phase_ = connection_phase::resolving;
            std::error_code is_name;
            const asio::ip::address literal = asio::ip::make_address(host_, is_name);
            if (!is_name) { // an address needs no resolution
                addresses_.push_back({literal, port_});
                return connect_to_next();
            }
            start_limit(timeouts_.resolve, errc::resolve_timeout);
            resolver_.async_resolve(
                host_, std::to_string(port_), resolver_type::numeric_service,
                [self = this->shared_from_this()](const std::error_code& failure, const auto& results) {
                    self->step([&] { self->on_resolved(failure, results); });
                });
        }

        // The transport is closed or destroyed.
        TERN_COLD void abandon() noexcept { finish(asio::error::operation_aborted); }

        timer end;
        std::error_code error;

    private:
        // Runs a step unless the opening has ended.
        template <class Step>
        void step(Step take) {
            if (!tcp_) return;
            try {
                take();
            } catch (const std::bad_alloc&) {
                finish(std::make_error_code(std::errc::not_enough_memory));
            }
        }

        template <class Results>
        TERN_COLD void on_resolved(const std::error_code& failure, const Results& results) {
            if (failure) return finish(failure);
            for (const auto& each : results)
                addresses_.push_back(each.endpoint());
            for (const address& silent : tcp_->silent_)
                if (remove(addresses_, silent)) addresses_.push_back(silent);
            connect_to_next();
        }

        TERN_COLD void connect_to_next() {
            if (next_ == addresses_.size()) return finish(last_error_ ? last_error_ : asio::error::host_not_found);
            tcp_->phase_ = connection_phase::connecting;
            ++next_;
            start_limit(timeouts_.connect, errc::connect_timeout);
            std::error_code ignored;
            tcp_->socket_.close(ignored); // the next address may belong to the other family
            tcp_->socket_.async_connect(addresses_[next_ - 1], [self = this->shared_from_this(),
                                                                which = next_](const std::error_code& failure) {
                if (which == self->next_) self->step([&] { self->on_connected(failure); });
            });
        }

        TERN_COLD void on_connected(std::error_code failure) {
            std::error_code ignored; // a socket that cannot turn off Nagle's delay still works
            if (!failure) tcp_->socket_.set_option(asio::ip::tcp::no_delay{true}, ignored);
            if (!failure) tcp_->socket_.non_blocking(true, failure);
            if (failure) return fail(failure);
            tcp_->remember(addresses_[next_ - 1]);
            finish({});
        }

        TERN_COLD void fail(const std::error_code& failure) {
            last_error_ = failure;
            connect_to_next();
        }

        // Ends the current step if it takes too long.
        TERN_COLD void start_limit(std::chrono::milliseconds time, errc late) {
            if (time.count() == 0) return;
            limit_.expires_after(time);
            limit_.async_wait([self = this->shared_from_this(), late, which = next_](const std::error_code& e) {
                if (!e && which == self->next_) self->step([&] { self->on_limit(violation(late)); });
            });
        }

        TERN_COLD void on_limit(const std::error_code& late) {
            if (next_ == 0) return finish(late);
            fail(late);
        }

        TERN_COLD void finish(const std::error_code& result) noexcept {
            if (tcp_) {
                tcp_ = nullptr;
                resolver_.cancel();
                limit_.cancel();
            }
            error = result; // a successful opening can still be aborted
            end.cancel();
        }

        basic_tcp* tcp_; // null once the opening has ended
        std::string host_;
        std::uint16_t port_;
        open_timeouts timeouts_;
        resolver_type resolver_;
        timer limit_;
        std::vector<address> addresses_;
        std::size_t next_ = 0; // index into `addresses_`
        std::error_code last_error_;
    };

    // It is small, because Asio reuses its memory for the timer on which an idle client waits.
    struct open_op {
        basic_tcp& tcp;
        std::shared_ptr<opening> present;

        template <class Self>
        void operator()(Self& self) {
            tcp.abandon_opening();
            const auto fresh = present; // `self` is moved below
            tcp.opening_ = fresh;
            try {
                fresh->start();
                fresh->end.async_wait(std::move(self));
            } catch (...) {
                fresh->abandon();
                throw;
            }
        }

        template <class Self>
        void operator()(Self& self, std::error_code) {
            tcp.opening_.reset(); // a weak pointer keeps the memory allocated
            const std::error_code result = present->error;
            present.reset();
            self.complete(result);
        }
    };

    struct read_op {
        basic_tcp& tcp;
        asio::mutable_buffer buffer;

        template <class Self>
        void operator()(Self& self) {
            tcp.socket_.async_read_some(buffer, std::move(self));
        }
        template <class Self>
        void operator()(Self& self, std::error_code error, std::size_t count) {
            tcp.on_read(count);
            self.complete(error, count);
        }
    };

    TERN_COLD void abandon_opening() noexcept {
        if (const auto present = opening_.lock()) present->abandon();
    }

    // Moves an address with a new connection to the end of the order, until something is read.
    TERN_COLD void remember(const address& a) {
        remove(silent_, a);
        if (silent_.size() == most_silent) silent_.erase(silent_.begin());
        silent_.push_back(a);
    }

    void on_read(std::size_t count) noexcept {
        if (count != 0 && !silent_.empty()) std::vector<address>().swap(silent_);
    }

    socket_type socket_;
    std::weak_ptr<opening> opening_;
    std::vector<address> silent_; // addresses that accepted connections but sent no bytes
    connection_phase phase_ = connection_phase::resolving;
};

} // namespace tern
