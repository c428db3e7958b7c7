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
#include <iterator>
#include <list>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

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
inline std::error_code lookup_error(int failure) noexcept {
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

    void add(std::shared_ptr<const lookup_request> request) {
        const std::lock_guard lock(mutex_);
        if (stage_ == stage::shut_down) return;
        if (lookup* const same = find(request->host())) {
            same->requests.push_back(std::move(request));
            return;
        }
        waiting_.emplace_back(std::move(request));
        try {
            if (stage_ == stage::open) start_thread();
        } catch (...) {
            waiting_.pop_back();
            throw;
        }
    }

    void remove(const lookup_request& request) noexcept {
        const std::lock_guard lock(mutex_);
        const auto is_request = [&](const auto& each) { return each.get() == &request; };
        for (lookup& each : running_)
            std::erase_if(each.requests, is_request);
        for (lookup& each : waiting_)
            std::erase_if(each.requests, is_request);
        waiting_.remove_if([](const lookup& each) { return each.requests.empty(); });
    }

private:
    enum class stage : std::uint8_t {
        open,      ///< Threads run while names wait.
        forking,   ///< No thread runs until the process has forked. Names wait.
        shut_down, ///< The context is being destroyed.
    };

    struct lookup {
        explicit lookup(std::shared_ptr<const lookup_request> first) : host(first->host()) {
            requests.push_back(std::move(first));
        }

        void add(const addrinfo& found) {
            asio::ip::tcp::endpoint address;
            const auto size = static_cast<std::size_t>(found.ai_addrlen);
            if (size > address.capacity()) return; // of another family
            std::memcpy(address.data(), found.ai_addr, size);
            addresses.push_back(address);
        }

        std::string host;
        std::vector<std::shared_ptr<const lookup_request>> requests; // none: all were withdrawn
        std::vector<asio::ip::tcp::endpoint> addresses = {};
        std::error_code error = {};
    };
    struct worker {
        std::thread thread;
        bool runs = false;
    };

    lookup* find(const std::string& host) noexcept {
        for (auto* const list : {&running_, &waiting_})
            for (lookup& each : *list)
                if (each.host == host) return &each;
        return nullptr;
    }

    // ---- threads

    // Starts a thread for the names that wait, if there may be a further one.
    void start_thread() {
        for (worker& each : workers_) {
            if (each.runs) continue;
            if (each.thread.joinable()) each.thread.join(); // it has looked up its last name
            const signal_block block;
            each.thread = std::thread(&lookup_pool::run, this, &each);
            each.runs = true;
            return;
        }
    }

    void run(worker* self) noexcept {
        std::unique_lock lock(mutex_);
        while (stage_ == stage::open && !waiting_.empty()) {
            const auto present = begin_next();
            lock.unlock();
            look_up(*present);
            lock.lock();
            answer(*present, lock);
            running_.erase(present);
        }
        self->runs = false;
    }

    std::list<lookup>::iterator begin_next() noexcept {
        running_.splice(running_.end(), waiting_, waiting_.begin());
        return std::prev(running_.end());
    }

    static void look_up(lookup& present) noexcept {
        addrinfo hints{};
        hints.ai_socktype = SOCK_STREAM;
        addrinfo* first = nullptr;
        const int failure = ::getaddrinfo(present.host.c_str(), nullptr, &hints, &first);
        if (failure != 0) {
            present.error = lookup_error(failure);
            return;
        }
        const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(first, [](addrinfo* list) { ::freeaddrinfo(list); });
        try {
            for (; first; first = first->ai_next)
                present.add(*first);
        } catch (const std::bad_alloc&) {
            present.error = asio::error::no_memory;
        }
    }

    // Answers all requests. If memory runs out, tries again until there is enough or all of them are withdrawn.
    static void answer(lookup& present, std::unique_lock<std::mutex>& lock) noexcept {
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

    static void answer_last(lookup& present) {
        const lookup_request& request = *present.requests.back();
        std::vector<asio::ip::tcp::endpoint> addresses = present.addresses;
        for (asio::ip::tcp::endpoint& each : addresses)
            each.port(request.port());
        request.answer(present.error, std::move(addresses));
        present.requests.pop_back();
    }

    // ---- the context

    // Waits for the look-ups that run.
    void join_threads() {
        for (worker& each : workers_)
            if (each.thread.joinable()) each.thread.join();
    }

    void shutdown() override {
        {
            const std::lock_guard lock(mutex_);
            stage_ = stage::shut_down;
            waiting_.clear();
            for (lookup& each : running_)
                each.requests.clear();
        }
        join_threads();
    }

    void notify_fork(asio::execution_context::fork_event event) override {
        if (event == asio::execution_context::fork_prepare) {
            set_stage(stage::forking);
            return join_threads();
        }
        set_stage(stage::open);
        resume();
    }

    void set_stage(stage s) {
        const std::lock_guard lock(mutex_);
        stage_ = s;
    }

    // Starts threads for the names that wait. Their requests fail if there can be none.
    void resume() {
        std::unique_lock lock(mutex_);
        try {
            for (std::size_t i = std::min(waiting_.size(), most_threads); i != 0; --i)
                start_thread();
        } catch (const std::system_error& e) {
            while (!waiting_.empty()) {
                const auto failed = begin_next();
                failed->error = e.code();
                answer(*failed, lock);
                running_.erase(failed);
            }
        }
    }

    std::mutex mutex_;
    std::array<worker, most_threads> workers_;
    std::list<lookup> running_;
    std::list<lookup> waiting_;
    stage stage_ = stage::open;
};

TERN_DECLARE void start_lookup(asio::execution_context& context, std::shared_ptr<const lookup_request> request) {
    asio::use_service<lookup_pool>(context).add(std::move(request));
}

TERN_DECLARE void abandon_lookup(asio::execution_context& context, const lookup_request& request) noexcept {
    asio::use_service<lookup_pool>(context).remove(request);
}

} // namespace tern::detail
