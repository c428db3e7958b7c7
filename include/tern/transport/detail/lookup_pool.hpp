// The threads of an execution context that look up host names.
//
// The system offers no look-up that can be interrupted, and a slow one can take minutes. So each name has a thread, up
// to `most_threads` at once. Further names wait. Requests for a name that is already being looked up, or waits, share
// the answer: one slow name never uses several threads, however often a client repeats its attempt. A thread ends when
// no name waits.
//
// A look-up holds no work of the executor. The opening that waits for it does. The destructor of the context waits for
// the look-ups that run, and so does `notify_fork` before a fork.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/transport/detail/lookup.hpp"

#include <asio/error.hpp>
#include <asio/execution_context.hpp>
#include <asio/ip/tcp.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#if defined(_WIN32)
#include <asio/detail/socket_types.hpp> // Windows' own headers, in the order that they need
#else
#include <netdb.h>
#include <signal.h>
#include <sys/socket.h>
#endif

namespace tern::detail {

// Blocks all signals in the present thread. A thread that starts meanwhile receives none.
class signal_block {
public:
#if !defined(_WIN32)
    signal_block() noexcept {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, &before_);
    }
    ~signal_block() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    signal_block(const signal_block&) = delete;
    signal_block& operator=(const signal_block&) = delete;

private:
    sigset_t before_;
#endif
};

// The error of `getaddrinfo`, as Asio reports it.
TERN_COLD inline std::error_code lookup_error(int failure) noexcept {
    switch (failure) {
    case EAI_AGAIN: return asio::error::host_not_found_try_again;
    case EAI_MEMORY: return asio::error::no_memory;
    case EAI_FAIL: return asio::error::no_recovery;
#if defined(EAI_SYSTEM)
    case EAI_SYSTEM: return {errno, asio::error::get_system_category()};
#endif
    default: return asio::error::host_not_found;
    }
}

class lookup_pool final : public asio::execution_context::service {
public:
    using key_type = lookup_pool;
    static inline asio::execution_context::id id;
    static constexpr std::size_t most_threads = 4;

    explicit lookup_pool(asio::execution_context& context) : asio::execution_context::service(context) {}

    TERN_COLD void add(std::shared_ptr<const lookup_request> request) {
        const std::lock_guard lock(mutex_);
        if (stage_ == stage::shut_down) return;
        if (lookup* const same = find(request->host())) {
            same->requests.push_back(std::move(request));
            return;
        }
        waiting_.push_back(lookup(std::move(request)));
        try {
            if (stage_ == stage::open) start_thread();
        } catch (...) {
            waiting_.pop_back();
            throw;
        }
    }

    TERN_COLD void remove(const lookup_request& request) noexcept {
        const std::lock_guard lock(mutex_);
        const auto is_request = [&](const auto& each) { return each.get() == &request; };
        for (worker& each : workers_)
            each.present.requests.erase_if(is_request);
        for (lookup& each : waiting_)
            each.requests.erase_if(is_request);
        waiting_.erase_if([](const lookup& each) { return each.requests.empty(); });
    }

private:
    enum class stage : std::uint8_t {
        open,      ///< Threads run while names wait.
        forking,   ///< No thread runs until the process has forked. Names wait.
        shut_down, ///< The context is being destroyed.
    };

    struct lookup {
        lookup() = default;
        explicit lookup(std::shared_ptr<const lookup_request> first) : host(first->host()) {
            requests.push_back(std::move(first));
        }

        TERN_COLD void add(const addrinfo& found) {
            asio::ip::tcp::endpoint address;
            const auto size = static_cast<std::size_t>(found.ai_addrlen);
            if (size > address.capacity()) return; // of another family
            std::memcpy(address.data(), found.ai_addr, size);
            addresses.push_back(address);
        }

        std::string host;
        growing_array<std::shared_ptr<const lookup_request>> requests; // none: all were withdrawn
        address_list addresses;
        std::error_code error;
    };
    struct worker {
        std::thread thread;
        lookup present;
        bool runs = false;
    };

    TERN_COLD lookup* find(const std::string& host) noexcept {
        for (worker& each : workers_)
            if (each.runs && each.present.host == host) return &each.present;
        for (lookup& each : waiting_)
            if (each.host == host) return &each;
        return nullptr;
    }

    // ---- threads

    // Starts a thread for the names that wait, if there may be a further one.
    TERN_COLD void start_thread() {
        worker* const idle = idle_worker();
        if (!idle) return;
        if (idle->thread.joinable()) idle->thread.join(); // it has looked up its last name
        [[maybe_unused]] const signal_block block;
        idle->thread = std::thread([this, idle] { run(*idle); });
        idle->runs = true;
    }

    worker* idle_worker() noexcept {
        for (worker& each : workers_)
            if (!each.runs) return &each;
        return nullptr;
    }

    TERN_COLD void run(worker& self) noexcept {
        std::unique_lock lock(mutex_);
        while (stage_ == stage::open && !waiting_.empty()) {
            begin_next(self);
            lock.unlock();
            look_up(self.present);
            lock.lock();
            answer(self.present, lock);
        }
        self.present = {};
        self.runs = false;
    }

    TERN_COLD void begin_next(worker& w) noexcept {
        w.present = std::move(waiting_[0]);
        waiting_.erase(waiting_.begin());
    }

    TERN_COLD static void look_up(lookup& present) noexcept {
        addrinfo hints{};
        hints.ai_socktype = SOCK_STREAM;
        addrinfo* first = nullptr;
        const int failure = ::getaddrinfo(present.host.c_str(), nullptr, &hints, &first);
        if (failure != 0) {
            present.error = lookup_error(failure);
            return;
        }
        try {
            for (const addrinfo* each = first; each; each = each->ai_next)
                present.add(*each);
        } catch (const std::bad_alloc&) {
            present.error = asio::error::no_memory;
        }
        ::freeaddrinfo(first);
    }

    // Answers all requests. If memory runs out, tries again until there is enough or all of them are withdrawn.
    TERN_COLD static void answer(lookup& present, std::unique_lock<std::mutex>& lock) noexcept {
        while (!present.requests.empty()) {
            try {
                answer_last(present);
            } catch (const std::bad_alloc&) {
                lock.unlock();
                std::this_thread::sleep_for(std::chrono::milliseconds(10));
                lock.lock();
            }
        }
    }

    TERN_COLD static void answer_last(lookup& present) {
        const lookup_request& request = *present.requests.back();
        address_list addresses = present.addresses;
        for (asio::ip::tcp::endpoint& each : addresses)
            each.port(request.port());
        request.answer(present.error, std::move(addresses));
        present.requests.pop_back();
    }

    // ---- the context

    // Waits for the look-ups that run.
    TERN_COLD void join_threads() {
        for (worker& each : workers_)
            if (each.thread.joinable()) each.thread.join();
    }

    TERN_COLD void shutdown() override {
        {
            const std::lock_guard lock(mutex_);
            stage_ = stage::shut_down;
            waiting_.clear();
            for (worker& each : workers_)
                each.present.requests.clear();
        }
        join_threads();
    }

    TERN_COLD void notify_fork(asio::execution_context::fork_event event) override {
        if (event == asio::execution_context::fork_prepare) {
            set_stage(stage::forking);
            return join_threads();
        }
        set_stage(stage::open);
        resume();
    }

    TERN_COLD void set_stage(stage s) {
        const std::lock_guard lock(mutex_);
        stage_ = s;
    }

    // Starts threads for the names that wait. Their requests fail if there can be none.
    TERN_COLD void resume() {
        std::unique_lock lock(mutex_);
        try {
            std::size_t count = (std::min)(waiting_.size(), most_threads);
            for (; count != 0; --count)
                start_thread();
        } catch (const std::system_error& e) {
            worker& failed = *idle_worker();
            failed.runs = true;
            while (!waiting_.empty()) {
                begin_next(failed);
                failed.present.error = e.code();
                answer(failed.present, lock);
            }
            failed.present = {};
            failed.runs = false;
        }
    }

    std::mutex mutex_;
    std::array<worker, most_threads> workers_;
    growing_array<lookup> waiting_;
    stage stage_ = stage::open;
};

TERN_DECLARE void start_lookup(asio::execution_context& context, std::shared_ptr<const lookup_request> request) {
    asio::use_service<lookup_pool>(context).add(std::move(request));
}

TERN_DECLARE void abandon_lookup(asio::execution_context& context, const lookup_request& request) noexcept {
    asio::use_service<lookup_pool>(context).remove(request);
}

} // namespace tern::detail
