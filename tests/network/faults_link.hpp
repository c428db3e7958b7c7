// The transport of a client whose allocations and timers fail. It wraps the transport of the network in memory, whose
// own allocations and timers do not fail. Both use the same context: what they post tells them apart.
#pragma once

#include "support/heap.hpp"
#include "tern/testing/network.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>

// Selects the wait for a timer that ends at once with an error.
struct timer_faults {
    std::size_t waits = 0;
    std::size_t nth = 0; // 0: none
};

// Calls the handler in a section of tested code.
template <class Handler>
auto as_tested(Handler handler) {
    return [handler = std::move(handler)](auto... results) mutable {
        const heap::tested section;
        std::move(handler)(results...);
    };
}

class faulty_timer {
public:
    faulty_timer(tern::testing::virtual_timer timer, std::shared_ptr<timer_faults> faults)
        : timer_(std::move(timer))
        , faults_(std::move(faults)) {}

    void expires_at(std::chrono::steady_clock::time_point time) {
        const heap::untested section;
        timer_.expires_at(time);
    }
    template <class Handler>
    void async_wait(Handler handler) {
        if (!std::exchange(has_memory_, true)) heap::touch(); // later waits use it again
        const heap::untested section;
        if (++faults_->waits == faults_->nth)
            asio::post(timer_.get_executor(), [handler = as_tested(std::move(handler))]() mutable {
                handler(std::make_error_code(std::errc::io_error));
            });
        else
            timer_.async_wait(as_tested(std::move(handler)));
    }
    void cancel() {
        const heap::untested section;
        timer_.cancel();
    }

private:
    tern::testing::virtual_timer timer_;
    std::shared_ptr<timer_faults> faults_;
    bool has_memory_ = false;
};

template <class Executor = asio::any_io_executor>
class basic_faulty_link {
public:
    using executor_type = Executor;
    template <class Other>
    struct rebind_executor {
        using other = basic_faulty_link<Other>;
    };

    basic_faulty_link(tern::testing::basic_link<Executor> link, executor_type tested,
                      std::shared_ptr<timer_faults> faults)
        : link_(std::move(link))
        , tested_(std::move(tested))
        , faults_(std::move(faults)) {}

    executor_type get_executor() const noexcept { return tested_; }

    template <class Handler>
    void async_open(const tern::endpoint& where, const tern::open_timeouts& timeouts, Handler handler) {
        heap::touch();
        const heap::untested section;
        link_.async_open(where, timeouts, as_tested(std::move(handler)));
    }
    tern::connection_phase opening_phase() const noexcept { return link_.opening_phase(); }
    template <class Handler>
    void async_read_some(asio::mutable_buffer buffer, Handler handler) {
        heap::touch();
        const heap::untested section;
        link_.async_read_some(buffer, as_tested(std::move(handler)));
    }
    template <class Buffers, class Handler>
    void async_write_some(const Buffers& buffers, Handler handler) {
        heap::touch();
        const heap::untested section;
        link_.async_write_some(buffers, as_tested(std::move(handler)));
    }
    void shutdown_send() noexcept {
        const heap::untested section;
        link_.shutdown_send();
    }
    void close() noexcept {
        const heap::untested section;
        link_.close();
    }
    std::chrono::steady_clock::time_point now() const noexcept { return link_.now(); }
    faulty_timer make_timer() { return {link_.make_timer(), faults_}; }
    std::uint64_t seed() { return link_.seed(); }

private:
    tern::testing::basic_link<Executor> link_;
    executor_type tested_;
    std::shared_ptr<timer_faults> faults_;
};

using faulty_link = basic_faulty_link<>;
