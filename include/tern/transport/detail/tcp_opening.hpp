// The opening of a TCP connection: the look-up of the host, and the race of its addresses (RFC 8305 §5).
//
// An attempt begins every 250 ms, and at once when the previous one has failed. The first one that is connected wins.
// Each address has the same time limit.
//
//     resolving --addresses--> racing --an attempt is connected--> ended
//     racing --all attempts have failed--> ended, with the error of the last one
//     each of these --the time limit, or the transport is closed--> ended
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/transport/detail/address_order.hpp"
#include "tern/transport/detail/lookup.hpp"
#include "tern/transport/detail/tcp_socket.hpp"
#include "tern/transport/name_lookup.hpp"

#include <asio/basic_waitable_timer.hpp>
#include <asio/error.hpp>
#include <asio/execution/context.hpp>
#include <asio/execution_context.hpp>
#include <asio/ip/address.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/query.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <utility>

namespace tern::detail {

/// The part of the transport that an opening changes.
template <class Executor>
struct tcp_connection {
    explicit tcp_connection(const Executor& executor) : socket(executor) {}

    tcp_socket<Executor> socket;
    address_order order;
    connection_phase phase = connection_phase::resolving;
};

template <class Executor>
class tcp_opening : public std::enable_shared_from_this<tcp_opening<Executor>> {
public:
    using settings = tcp_settings<typename tcp_socket<Executor>::socket_type>;
    using clock = std::chrono::steady_clock;
    using timer = asio::basic_waitable_timer<clock, asio::wait_traits<clock>, Executor>;

    TERN_COLD tcp_opening(tcp_connection<Executor>& connection, std::shared_ptr<const settings> s,
                          const endpoint& where, const open_timeouts& timeouts)
        : end(connection.socket.socket.get_executor(), (clock::time_point::max)())
        , executor_(connection.socket.socket.get_executor())
        , connection_(&connection)
        , settings_(std::move(s))
        , host_(where.host)
        , port_(where.port)
        , timeouts_(timeouts)
        , timer_(executor_) {}

    // The functions of the application are not called inside `async_open`.
    TERN_COLD void start() {
        connection_->phase = connection_phase::resolving;
        asio::post(executor_, continuation{this->weak_from_this(), awaited::start});
    }

    // The transport is closed or destroyed.
    TERN_COLD void abandon() noexcept { finish(asio::error::operation_aborted); }

    timer end;
    std::error_code error;

private:
    using address = asio::ip::tcp::endpoint;

    static constexpr std::chrono::milliseconds attempt_delay{250};

    // The event that the opening has waited for. One type for all, because Asio compiles much code for each type of
    // handler.
    enum class awaited : std::uint8_t { start, addresses, connection, time };
    struct continuation {
        std::weak_ptr<tcp_opening> of;
        awaited what;
        std::size_t which = 0; // attempt

        void operator()(const std::error_code& result = {}) const {
            if (const auto self = of.lock()) self->go_on(*this, result);
        }
    };

    // The answer to this request continues the opening, if it still exists.
    class request final : public lookup_request {
    public:
        explicit request(tcp_opening& o)
            : lookup_request(o.host_, o.port_)
            , executor_(o.executor_)
            , of_(o.weak_from_this()) {}

        void answer(std::error_code why, address_list list) const override {
            failure = why;
            addresses = std::move(list);
            asio::post(executor_, continuation{of_, awaited::addresses});
        }

        mutable std::error_code failure; // the answer, once the opening continues
        mutable address_list addresses;

    private:
        Executor executor_;
        std::weak_ptr<tcp_opening> of_;
    };

    // To connect to one address.
    struct attempt {
        attempt(const Executor& executor, clock::time_point d) : socket(executor), deadline(d) {}

        tcp_socket<Executor> socket;
        clock::time_point deadline;
    };

    // Goes on unless the opening has ended.
    TERN_COLD void go_on(const continuation& c, const std::error_code& result) {
        if (!connection_) return;
        try {
            switch (c.what) {
            case awaited::start: return resolve();
            case awaited::addresses: return on_resolved();
            case awaited::connection: return on_connected(c.which, result);
            case awaited::time: return !result ? on_time(clock::now()) : void();
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

    static clock::time_point after(std::chrono::milliseconds time) noexcept {
        return time.count() == 0 ? (clock::time_point::max)() : clock::now() + time;
    }

    TERN_COLD void wait_until(clock::time_point time) {
        if (time == (clock::time_point::max)()) return;
        timer_.expires_at(time);
        timer_.async_wait(continuation{this->weak_from_this(), awaited::time});
    }

    // ---- the look-up

    TERN_COLD void resolve() {
        std::error_code is_name;
        const asio::ip::address literal = asio::ip::make_address(host_, is_name);
        if (!is_name) { // an address needs no look-up
            addresses_.push_back(address(literal, port_));
            return begin_race();
        }
        resolve_deadline_ = after(timeouts_.resolve);
        wait_until(resolve_deadline_);
        request_ = std::make_shared<request>(*this);
        if (settings_ && settings_->resolver)
            settings_->resolver(name_lookup(request_));
        else
            start_lookup(context(), request_);
    }

    TERN_COLD void on_resolved() {
        const std::shared_ptr<request> answered = std::move(request_);
        timer_.cancel();
        addresses_ = std::move(answered->addresses);
        if (addresses_.empty()) return finish(answered->failure ? answered->failure : asio::error::host_not_found);
        connection_->order.sort(addresses_);
        begin_race();
    }

    // ---- the race

    TERN_COLD void begin_race() {
        connection_->phase = connection_phase::connecting;
        attempts_.resize(addresses_.size());
        start_next();
    }

    // Addresses that no socket can be made for are skipped.
    TERN_COLD void start_next() {
        for (bool started = false; !started && next_ != addresses_.size();) {
            started = start_attempt(next_++);
            if (!connection_) return; // the application's function has closed the transport
        }
        next_start_ = next_ == addresses_.size() ? (clock::time_point::max)() : clock::now() + attempt_delay;
        await_attempts();
    }

    TERN_COLD bool start_attempt(std::size_t which) {
        auto fresh = std::make_unique<attempt>(executor_, after(timeouts_.connect));
        last_error_ = fresh->socket.open(addresses_[which], settings_.get());
        if (!connection_ || last_error_) return false;
        fresh->socket.socket.async_connect(addresses_[which],
                                           continuation{this->weak_from_this(), awaited::connection, which});
        attempts_[which] = std::move(fresh);
        ++under_way_;
        return true;
    }

    TERN_COLD void await_attempts() {
        if (under_way_ == 0) return finish(last_error_);
        clock::time_point next = next_start_;
        for (const auto& each : attempts_)
            if (each) next = (std::min)(next, each->deadline);
        wait_until(next);
    }

    TERN_COLD void on_connected(std::size_t which, std::error_code failure) {
        if (!attempts_[which]) return;
        tcp_socket<Executor>& connected = attempts_[which]->socket;
        if (!failure) connected.socket.non_blocking(true, failure);
        if (failure) {
            end_attempt(which, failure);
            return start_next();
        }
        if (addresses_.size() == 1)
            connection_->order.on_other_connected();
        else
            connection_->order.on_connected(addresses_[which]);
        connection_->socket = std::move(connected);
        finish({});
    }

    TERN_COLD void end_attempt(std::size_t which, const std::error_code& failure) noexcept {
        attempts_[which].reset();
        --under_way_;
        last_error_ = failure;
    }

    TERN_COLD void on_time(clock::time_point now) {
        if (addresses_.empty()) return now >= resolve_deadline_ ? finish(violation(errc::resolve_timeout)) : void();
        for (std::size_t i = 0; i != attempts_.size(); ++i)
            if (attempts_[i] && attempts_[i]->deadline <= now) end_attempt(i, violation(errc::connect_timeout));
        if (now >= next_start_ || under_way_ == 0) return start_next();
        await_attempts();
    }

    // The attempts that have not won are closed.
    TERN_COLD void finish(const std::error_code& result) noexcept {
        if (connection_) {
            if (request_) abandon_lookup(context(), *request_);
            request_.reset();
            connection_ = nullptr;
            timer_.cancel();
            attempts_.clear();
        }
        error = result; // a successful opening can still be aborted
        end.cancel();
    }

    asio::execution_context& context() noexcept { return asio::query(executor_, asio::execution::context); }

    Executor executor_;
    tcp_connection<Executor>* connection_; // null once the opening has ended
    std::shared_ptr<const settings> settings_;
    std::string host_;
    std::uint16_t port_;
    open_timeouts timeouts_;
    std::shared_ptr<request> request_; // while a look-up is outstanding
    clock::time_point resolve_deadline_;
    timer timer_;
    address_list addresses_;
    growing_array<std::unique_ptr<attempt>> attempts_; // one per address, null if it is not under way
    std::size_t next_ = 0;                             // the next address
    std::size_t under_way_ = 0;                        // attempts
    clock::time_point next_start_;
    std::error_code last_error_;
};

} // namespace tern::detail
