// A transport that transforms the bytes of another one, as TLS and WebSocket do: the public functions that all such
// layers have. A layer is a class that derives from this and adds its settings.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/transport/concept.hpp"
#include "tern/transport/detail/layer_state.hpp"
#include "tern/transport/time.hpp"

#include <asio/buffer.hpp>
#include <asio/compose.hpp>
#include <asio/post.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>

namespace tern::detail {

template <transport Next, layer_machine Machine>
class layer {
public:
    using executor_type = typename Next::executor_type;
    using next_layer_type = Next;

    explicit layer(const executor_type& executor) : layer(Next(executor)) {}
    explicit layer(Next next) : state_(std::make_shared<state>(std::move(next))) {}
    layer(layer&&) noexcept = default;
    layer& operator=(layer&& other) noexcept {
        if (this == &other) return *this;
        if (state_) state_->close();
        state_ = std::move(other.state_);
        return *this;
    }
    ~layer() {
        if (state_) state_->close();
    }

    executor_type get_executor() noexcept { return state_->next.get_executor(); }

    /// The transport below, to set its options.
    Next& next_layer() noexcept { return state_->next; }

    template <class Token>
    auto async_open(const endpoint& where, const open_timeouts& timeouts, Token&& token) {
        return asio::async_compose<Token, void(std::error_code)>(
            open_op{state_, std::make_unique<stored_endpoint>(where), timeouts}, token, get_executor());
    }

    connection_phase opening_phase() const noexcept { return state_->opening_phase(); }

    template <class Token>
    auto async_read_some(asio::mutable_buffer buffer, Token&& token) {
        return asio::async_compose<Token, void(std::error_code, std::size_t)>(read_op{*state_, buffer}, token,
                                                                              get_executor());
    }

    template <class Token>
        requires readable_transport<Next>
    auto async_wait_read(Token&& token) {
        return asio::async_compose<Token, void(std::error_code)>(wait_op{*state_}, token, get_executor());
    }

    std::size_t read_some(asio::mutable_buffer buffer, std::error_code& error) noexcept
        requires readable_transport<Next>
    {
        return state_->read_some(buffer, error);
    }

    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        return asio::async_compose<Token, void(std::error_code, std::size_t)>(write_op<Buffers>{*state_, buffers},
                                                                              token, get_executor());
    }

    template <class Buffers>
        requires writes_at_once<Next>
    std::size_t write_some(const Buffers& buffers, std::error_code& error) noexcept {
        return state_->write_some(buffers, error);
    }

    void shutdown_send() noexcept { state_->shutdown_send(); }
    void close() noexcept { state_->close(); }

    // ---- the time and the randomness of the transport below

    std::chrono::steady_clock::time_point now() const noexcept
        requires timed_transport<Next>
    {
        return now_of(state_->next);
    }
    auto make_timer()
        requires timed_transport<Next>
    {
        return make_timer_of(state_->next);
    }
    std::uint64_t seed()
        requires seeded_transport<Next>
    {
        return state_->next.seed();
    }

protected:
    using state = layer_state<Next, Machine>;

    /// The settings of the next opening.
    typename Machine::settings& settings() noexcept { return state_->options; }
    /// The machine of the present or the last opening, or null.
    const Machine* machine() const noexcept { return state_->machine.get(); }

private:
    struct open_op {
        std::shared_ptr<state> of;
        std::unique_ptr<stored_endpoint> where;
        open_timeouts timeouts;

        template <class Self>
        void operator()(Self& self) {
            const auto keep = of; // `self` is moved below
            keep->open(where->view(), timeouts);
            where.reset();
            try {
                keep->read_end.async_wait(std::move(self));
            } catch (...) {
                keep->close();
                throw;
            }
        }
        template <class Self>
        void operator()(Self& self, const std::error_code&) {
            const std::error_code result = of->opening_error();
            of.reset();
            self.complete(result);
        }
    };

    struct read_op {
        state& of;
        asio::mutable_buffer buffer;
        bool is_posted = false;

        template <class Self>
        void operator()(Self& self) {
            if (is_posted) return self.complete({}, 0);
            state& present = of; // `self` is moved below
            is_posted = buffer.size() == 0;
            if (is_posted) return asio::post(present.next.get_executor(), std::move(self));
            present.start_read(buffer);
            try {
                present.read_end.async_wait(std::move(self));
            } catch (...) {
                present.abandon_read();
                throw;
            }
        }
        template <class Self>
        void operator()(Self& self, const std::error_code&) {
            self.complete(of.read_error(), of.read_count());
        }
    };

    struct wait_op {
        state& of;
        bool is_posted = false;

        template <class Self>
        void operator()(Self& self) {
            if (is_posted) return self.complete({});
            state& present = of; // `self` is moved below
            is_posted = present.has_plain();
            if (is_posted)
                asio::post(present.next.get_executor(), std::move(self));
            else
                present.next.async_wait_read(std::move(self));
        }
        template <class Self>
        void operator()(Self& self, const std::error_code& error) {
            self.complete(error);
        }
    };

    template <class Buffers>
    struct write_op {
        state& of;
        Buffers buffers;
        bool is_posted = false;

        template <class Self>
        void operator()(Self& self) {
            if (is_posted) return self.complete({}, 0);
            state& present = of; // `self` is moved below
            is_posted = asio::buffer_size(buffers) == 0;
            if (is_posted) return asio::post(present.next.get_executor(), std::move(self));
            present.start_write(buffers);
            try {
                present.write_end.async_wait(std::move(self));
            } catch (...) {
                present.abandon_write();
                throw;
            }
        }
        template <class Self>
        void operator()(Self& self, const std::error_code&) {
            self.complete(of.write_error(), of.write_count());
        }
    };

    std::shared_ptr<state> state_;
};

} // namespace tern::detail
