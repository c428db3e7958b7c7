// How a link comes to its connection: when the hook lets it, it opens the transport.
#pragma once

#include "tern/client/detail/link.hpp"

#include <cstdint>
#include <system_error>
#include <utility>

namespace tern::detail {

template <class Engine, transport Transport>
void link<Engine, Transport>::prepare() {
    if (!before_connect_) return session_.on_prepared(turn_time_);
    const auto hook = before_connect_; // it may set another one
    connect_attempt attempt(self(), ++attempt_, session_.target(), attempt_number_, last_error_);
    preparing_ = true;
    (*hook)(std::move(attempt));
}

template <class Engine, transport Transport>
std::error_code link<Engine, Transport>::proceed(std::uint64_t attempt, const connect_overrides* renewed) {
    if (over_ || !preparing_ || attempt != attempt_) return {};
    engine().schedule();
    preparing_ = false;
    if (!renewed) {
        session_.on_prepared(now());
    } else if (const errc error = session_.on_prepared(*renewed, now()); error != errc::none) {
        close(misuse(error));
        return misuse(error);
    }
    return {};
}

template <class Engine, transport Transport>
void link<Engine, Transport>::give_up(std::uint64_t attempt, std::error_code why) {
    if (over_ || !preparing_ || attempt != attempt_) return;
    close(why);
    engine().wake();
}

template <class Engine, transport Transport>
void link<Engine, Transport>::open() {
    transport_.async_open(session_.target(), session_.open_timeouts(), then<&link::on_open>());
    opening_ = true;
}

template <class Engine, transport Transport>
void link<Engine, Transport>::on_open(const std::error_code& error) {
    opening_ = false;
    act([&] {
        if (error) {
            fail(error);
        } else if (state_ == state::down) {
            state_ = state::up;
            if (tap_) tap_->start();
            session_.on_opened(turn_time_);
        }
    });
}

} // namespace tern::detail
