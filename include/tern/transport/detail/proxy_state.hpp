// The state of a transport that reaches brokers through a proxy.
//
//     closed --open--> opening the transport below, to the proxy --it is open--> negotiating --ready--> open
//     any of these --close--> closed
//
// When it is open, all bytes go directly to the transport below, and come from it, after those that the proxy has sent
// together with its answer.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/transport/concept.hpp"
#include "tern/transport/detail/any_handler.hpp"
#include "tern/transport/detail/negotiation.hpp"
#include "tern/transport/detail/proxy_negotiation.hpp"
#include "tern/transport/proxy_options.hpp"

#include <asio/basic_waitable_timer.hpp>
#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::detail {

template <transport Next>
class proxy_state : public std::enable_shared_from_this<proxy_state<Next>> {
public:
    using executor_type = typename Next::executor_type;
    using timer = asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>,
                                             executor_type>;

    explicit proxy_state(Next n) : next(std::move(n)), opened(next.get_executor(), (timer::time_point::max)()) {}

    // ---- opening

    /// Precedes every opening, also one without a proxy.
    TERN_COLD void reset() noexcept {
        stage_ = stage::closed;
        machine_.reset();
        taken_ = 0;
    }

    TERN_COLD void open(const endpoint& where, const open_timeouts& timeouts) {
        stage_ = stage::opening;
        try {
            machine_ = std::make_shared<proxy_negotiation>(options, where);
        } catch (const std::system_error& e) {
            return asio::post(next.get_executor(), [self = this->shared_from_this(), code = e.code()] {
                if (self->stage_ == stage::opening) self->finish_opening(code);
            });
        }
        next.async_open({.host = options.host, .port = options.port}, timeouts,
                        [self = this->shared_from_this(), for_machine = machine_, limit = timeouts.connect](
                            const std::error_code& e) { self->on_opened(for_machine, e, limit); });
    }
    /// The opening has ended, unless it is aborted yet.
    const std::error_code& opening_error() const noexcept { return error_; }

    connection_phase opening_phase() const noexcept {
        return stage_ == stage::negotiating ? connection_phase::connecting : next.opening_phase();
    }

    TERN_COLD void close() noexcept {
        stage_ = stage::closed;
        taken_ = SIZE_MAX;
        next.close();
        finish_opening(asio::error::operation_aborted);
    }

    // ---- bytes after the negotiation

    bool has_leftover() const noexcept { return machine_ && taken_ < machine_->leftover().size(); }

    std::size_t take_leftover(asio::mutable_buffer into) noexcept {
        const std::string_view left = machine_->leftover().substr(taken_);
        const std::size_t count = (std::min)(left.size(), into.size());
        std::copy_n(left.data(), count, static_cast<char*>(into.data()));
        taken_ += count;
        if (!has_leftover()) machine_.reset();
        return count;
    }

    void post_readable(any_handler<std::error_code> handler) {
        asio::post(next.get_executor(), [self = this->shared_from_this(), h = std::move(handler)]() mutable {
            // The bytes may have been read meanwhile.
            h(self->stage_ == stage::open ? std::error_code() : asio::error::operation_aborted);
        });
    }
    void post_leftover(asio::mutable_buffer into, any_handler<std::error_code, std::size_t> handler) {
        asio::post(next.get_executor(), [self = this->shared_from_this(), into, h = std::move(handler)]() mutable {
            if (self->has_leftover())
                h({}, self->take_leftover(into));
            else
                h(asio::error::operation_aborted, 0);
        });
    }

    Next next;
    proxy_options options;
    timer opened; // the operation that opens waits for it

private:
    enum class stage : std::uint8_t {
        closed,      ///< There is no connection, or one without a proxy.
        opening,     ///< The transport below connects to the proxy.
        negotiating, ///< The proxy connects to the broker.
        open,        ///< Bytes flow.
    };

    TERN_COLD void on_opened(const std::shared_ptr<proxy_negotiation>& for_machine, const std::error_code& failure,
                             std::chrono::milliseconds limit) {
        if (for_machine != machine_ || stage_ != stage::opening) return;
        if (failure) return finish_opening(failure);
        stage_ = stage::negotiating;
        try {
            negotiate(next, *machine_, limit, errc::connect_timeout,
                      [self = this->shared_from_this(), for_machine](const std::error_code& e) {
                          self->on_negotiated(for_machine, e);
                      });
        } catch (const std::bad_alloc&) {
            finish_opening(std::make_error_code(std::errc::not_enough_memory));
        }
    }

    TERN_COLD void on_negotiated(const std::shared_ptr<proxy_negotiation>& for_machine,
                                 const std::error_code& failure) {
        if (for_machine != machine_ || stage_ != stage::negotiating) return;
        if (!failure) stage_ = stage::open;
        finish_opening(failure);
    }

    TERN_COLD void finish_opening(const std::error_code& result) noexcept {
        error_ = result; // a successful opening can still be aborted
        opened.cancel();
    }

    std::shared_ptr<proxy_negotiation> machine_; // null without a proxy, and when nothing is left of its bytes
    std::size_t taken_ = 0;                      // bytes of the leftover
    std::error_code error_;
    stage stage_ = stage::closed;
};

} // namespace tern::detail
