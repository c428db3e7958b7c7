// Plain TCP.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/fwd.hpp"
#include "tern/transport/concept.hpp"
#include "tern/transport/detail/lookup.hpp"
#include "tern/transport/detail/tcp_socket.hpp"
#include "tern/transport/name_lookup.hpp"
#include "tern/transport/tcp_options.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/basic_waitable_timer.hpp>
#include <asio/buffer.hpp>
#include <asio/compose.hpp>
#include <asio/error.hpp>
#include <asio/execution/context.hpp>
#include <asio/execution_context.hpp>
#include <asio/ip/address.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/query.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <utility>

namespace tern {

/// A TCP connection.
///
/// The transport looks up host names in threads that its context owns, up to four at once. An address needs no look-up.
/// An abandoned look-up does not keep the context running, but the destructor of the context waits for it.
///
/// The transport tries the addresses of a host in the order that the system returns. It moves an address to the end if
/// that address accepted a connection on which nothing was ever read, until something is read on any connection. An
/// address without a responding broker thus does not hide the others.
///
/// Each attempt uses a new socket. The options and functions that are set here apply to all of them, from the next
/// opening on. The functions run on the transport's executor, never inside a call of the transport. An exception that
/// they throw propagates out of the executor's `run` and ends the opening, except `std::system_error`, whose code is
/// the error of the attempt. They must not own the client.
///
/// **Processes.** Programs that the process executes do not inherit sockets. After `fork`, with `notify_fork` of the
/// context called before and after it, one of the two processes may use the transport, and the other may only destroy
/// it. `notify_fork` waits for look-ups.
template <class Executor>
class basic_tcp {
public:
    using executor_type = Executor;
    using socket_type = typename detail::tcp_socket<Executor>::socket_type;

    /// The same transport on another executor.
    template <class Other>
    struct rebind_executor {
        using other = basic_tcp<Other>;
    };

    explicit basic_tcp(const Executor& executor) : socket_(executor) {}
    basic_tcp(basic_tcp&&) = default;
    basic_tcp& operator=(basic_tcp&&) = default;
    ~basic_tcp() { abandon_opening(); }

    executor_type get_executor() noexcept { return socket_.socket.get_executor(); }

    /// Returns the present socket. Options that are set here are lost with the connection.
    socket_type& socket() noexcept { return socket_.socket; }

    /// Sets the options of all later sockets.
    TERN_COLD void set_options(tcp_options options) { change().options = std::move(options); }

    /// Sets a function that receives each new socket before it connects, to set further options. The address to connect
    /// to is the second argument. An empty function removes it.
    TERN_COLD void set_on_socket_opened(std::function<void(socket_type&, const asio::ip::tcp::endpoint&)> function) {
        change().on_socket_opened = std::move(function);
    }

    /// Sets a function that looks up host names in place of the system. An empty function removes it.
    ///
    ///     client.transport().set_resolver([](tern::name_lookup lookup) {
    ///         lookup.complete({{asio::ip::make_address("192.0.2.1"), lookup.port()}});
    ///     });
    TERN_COLD void set_resolver(std::function<void(name_lookup)> resolver) { change().resolver = std::move(resolver); }

    template <class Token>
    auto async_open(const endpoint& where, const open_timeouts& timeouts, Token&& token) {
        return asio::async_compose<Token, void(std::error_code)>(
            open_op{*this, std::make_shared<opening>(*this, where, timeouts)}, token, socket());
    }

    connection_phase opening_phase() const noexcept { return phase_; }

    template <class Token>
    auto async_read_some(asio::mutable_buffer buffer, Token&& token) {
        return asio::async_compose<Token, void(std::error_code, std::size_t)>(read_op{*this, buffer}, token, socket());
    }

    template <class Token>
    auto async_wait_read(Token&& token) {
        return socket().async_wait(socket_type::wait_read, std::forward<Token>(token));
    }

    std::size_t read_some(asio::mutable_buffer buffer, std::error_code& error) noexcept {
        const std::size_t count = socket().read_some(buffer, error);
        on_read(count);
        return count;
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
    using address = asio::ip::tcp::endpoint;
    using address_list = detail::address_list;
    using settings = detail::tcp_settings<socket_type>;
    using clock = std::chrono::steady_clock;
    using timer = asio::basic_waitable_timer<clock, asio::wait_traits<clock>, Executor>;

    static constexpr std::size_t most_silent = 16; // remembered addresses that did not respond

    // False if the list does not contain the address.
    TERN_COLD static bool remove(address_list& list, const address& a) {
        for (std::size_t i = 0; i != list.size(); ++i) {
            if (list[i] != a) continue;
            list.erase(&list[i]);
            return true;
        }
        return false;
    }

    // One opening. The operation itself only waits for `end`, which the last step cancels. The operation alone stores
    // the handler during all steps, and a step that runs out of memory can still report it.
    class opening : public std::enable_shared_from_this<opening> {
    public:
        TERN_COLD opening(basic_tcp& owner, const endpoint& where, const open_timeouts& timeouts)
            : end(owner.get_executor(), clock::time_point::max())
            , tcp_(&owner)
            , settings_(owner.settings_)
            , host_(where.host)
            , port_(where.port)
            , timeouts_(timeouts)
            , limit_(owner.get_executor()) {}

        // The functions of the application are not called inside `async_open`.
        TERN_COLD void start() {
            tcp_->phase_ = connection_phase::resolving;
            asio::post(tcp_->get_executor(), continuation{this->weak_from_this(), awaited::start});
        }

        // The transport is closed or destroyed.
        TERN_COLD void abandon() noexcept { finish(asio::error::operation_aborted); }

        timer end;
        std::error_code error;

    private:
        // What the opening has waited for. One type for all, because Asio compiles much code for each type of handler.
        enum class awaited : std::uint8_t { start, addresses, connection, limit };
        struct continuation {
            std::weak_ptr<opening> of;
            awaited what;
            std::size_t which = 0; // address

            void operator()(const std::error_code& result = {}) const {
                if (const auto self = of.lock()) self->go_on(*this, result);
            }
        };
        // The answer to this request continues the opening, if it still exists.
        class request final : public detail::lookup_request {
        public:
            request(opening& o, const Executor& executor)
                : lookup_request(o.host_, o.port_)
                , executor_(executor)
                , opening_(o.weak_from_this()) {}

            void answer(std::error_code error, address_list list) const override {
                failure = error;
                addresses = std::move(list);
                asio::post(executor_, continuation{opening_, awaited::addresses});
            }

            mutable std::error_code failure; // the answer, once the opening continues
            mutable address_list addresses;

        private:
            Executor executor_;
            std::weak_ptr<opening> opening_;
        };

        // Goes on unless the opening has ended.
        TERN_COLD void go_on(const continuation& c, const std::error_code& result) {
            if (!tcp_) return;
            try {
                switch (c.what) {
                case awaited::start: return resolve();
                case awaited::addresses: return on_resolved();
                case awaited::connection: return c.which == next_ ? on_connected(result) : void();
                case awaited::limit: return !result && c.which == next_ ? on_limit() : void();
                }
            } catch (const std::bad_alloc&) {
                finish(std::make_error_code(std::errc::not_enough_memory));
            } catch (const std::system_error& e) {
                finish(e.code());
            } catch (...) {
                finish(std::make_error_code(std::errc::interrupted));
                throw;
            }
        }

        TERN_COLD void resolve() {
            std::error_code is_name;
            const asio::ip::address literal = asio::ip::make_address(host_, is_name);
            if (!is_name) { // an address needs no look-up
                addresses_.push_back(address(literal, port_));
                return connect_to_next();
            }
            start_limit(timeouts_.resolve);
            request_ = std::make_shared<request>(*this, tcp_->get_executor());
            if (settings_ && settings_->resolver)
                settings_->resolver(name_lookup(request_));
            else
                detail::start_lookup(context(), request_);
        }

        TERN_COLD void on_resolved() {
            const std::shared_ptr<request> answered = std::move(request_);
            addresses_ = std::move(answered->addresses);
            if (addresses_.empty()) return finish(answered->failure ? answered->failure : asio::error::host_not_found);
            for (const address& silent : tcp_->silent_)
                if (remove(addresses_, silent)) addresses_.push_back(silent);
            connect_to_next();
        }

        TERN_COLD void connect_to_next() {
            tcp_->phase_ = connection_phase::connecting;
            while (next_ != addresses_.size()) {
                last_error_ = tcp_->socket_.open(addresses_[next_++], settings_.get());
                if (!tcp_) return; // the application's function has closed the transport
                if (!last_error_) return connect_to(addresses_[next_ - 1]);
            }
            finish(last_error_);
        }

        TERN_COLD void connect_to(const address& remote) {
            start_limit(timeouts_.connect);
            tcp_->socket().async_connect(remote, continuation{this->weak_from_this(), awaited::connection, next_});
        }

        TERN_COLD void on_connected(std::error_code failure) {
            if (!failure) tcp_->socket().non_blocking(true, failure);
            last_error_ = failure;
            if (failure) return connect_to_next();
            tcp_->remember(addresses_[next_ - 1]);
            finish({});
        }

        // Ends the current step if it takes too long.
        TERN_COLD void start_limit(std::chrono::milliseconds time) {
            if (time.count() == 0) return;
            limit_.expires_after(time);
            limit_.async_wait(continuation{this->weak_from_this(), awaited::limit, next_});
        }

        TERN_COLD void on_limit() {
            if (next_ == 0) return finish(violation(errc::resolve_timeout));
            last_error_ = violation(errc::connect_timeout);
            connect_to_next();
        }

        TERN_COLD void finish(const std::error_code& result) noexcept {
            if (tcp_) {
                if (request_) detail::abandon_lookup(context(), *request_);
                request_.reset();
                tcp_ = nullptr;
                limit_.cancel();
            }
            error = result; // a successful opening can still be aborted
            end.cancel();
        }

        asio::execution_context& context() noexcept {
            return asio::query(tcp_->get_executor(), asio::execution::context);
        }

        basic_tcp* tcp_; // null once the opening has ended
        std::shared_ptr<const settings> settings_;
        std::string host_;
        std::uint16_t port_;
        open_timeouts timeouts_;
        std::shared_ptr<request> request_; // while a look-up is outstanding
        timer limit_;
        address_list addresses_;
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
            tcp.socket().async_read_some(buffer, std::move(self));
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

    // Openings that have begun use the previous settings.
    settings& change() {
        auto changed = settings_ ? std::make_shared<settings>(*settings_) : std::make_shared<settings>();
        settings_ = changed;
        return *changed;
    }

    // Moves an address with a new connection to the end of the order, until something is read.
    TERN_COLD void remember(const address& a) {
        remove(silent_, a);
        if (silent_.size() == most_silent) silent_.erase(silent_.begin());
        silent_.push_back(a);
    }

    void on_read(std::size_t count) noexcept {
        if (count != 0 && !silent_.empty()) silent_.clear();
    }

    detail::tcp_socket<Executor> socket_;
    std::weak_ptr<opening> opening_;
    address_list silent_;                      // addresses that accepted connections but sent no bytes
    std::shared_ptr<const settings> settings_; // null: all defaults
    connection_phase phase_ = connection_phase::resolving;
};

} // namespace tern

#if !defined(TERN_SEPARATE_COMPILATION)
#include "tern/transport/detail/lookup_pool.hpp"
#include "tern/transport/detail/native_socket_options.hpp"
#endif
