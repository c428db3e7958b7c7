#include "proxy.hpp"

#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/ip/address_v4.hpp>
#include <asio/redirect_error.hpp>
#include <asio/socket_base.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <system_error>
#include <utility>

namespace interop {
namespace {

using asio::ip::tcp;
using std::chrono::milliseconds;

// Errors are not thrown, because here they are what is expected.
auto into(std::error_code& error) {
    return asio::redirect_error(asio::use_awaitable, error);
}

// Log-uniform: as many end within the first packets as after a thousand of them.
constexpr double most_bytes = 50'000;
constexpr std::size_t longest_life = 100;   // ms
constexpr std::size_t longest_silence = 20; // ms
constexpr unsigned one_silence_in = 50;     // pieces of what is carried

void end_sending(tcp::socket& socket) {
    std::error_code ignored;
    socket.shutdown(tcp::socket::shutdown_send, ignored);
}

void reset(tcp::socket& socket) {
    std::error_code ignored;
    socket.set_option(asio::socket_base::linger(true, 0), ignored);
    socket.close(ignored);
}

} // namespace

// A client's connection, and the one to the broker that belongs to it.
class proxy::link : public std::enable_shared_from_this<link> {
public:
    link(proxy& of, tcp::socket client)
        : proxy_(of)
        , client_(std::move(client))
        , broker_(client_.get_executor())
        , life_(client_.get_executor()) {
        std::error_code ignored;
        client_.set_option(tcp::no_delay(true), ignored);
    }

    void start() { asio::co_spawn(client_.get_executor(), run(shared_from_this()), asio::detached); }

    void cut() {
        if (std::exchange(is_cut_, true)) return;
        life_.cancel();
        if (proxy_.is_one_in(2)) {
            ++proxy_.seen_.resets;
            reset(client_);
        } else {
            ++proxy_.seen_.closes;
            end_sending(client_);
        }
        end_sending(broker_);
    }

private:
    asio::awaitable<void> run(std::shared_ptr<link> self) {
        const tcp::endpoint address(asio::ip::address_v4::loopback(), proxy_.broker_port_);
        std::error_code error;
        co_await broker_.async_connect(address, into(error));
        if (error) cut();
        if (is_cut_) co_return;
        broker_.set_option(tcp::no_delay(true), error);
        if (proxy_.is_bad_) {
            left_ = proxy_.bytes_to_live();
            life_.expires_after(milliseconds(proxy_.between(1, longest_life)));
            life_.async_wait([self](std::error_code cancelled) {
                if (!cancelled) self->cut();
            });
        }
        asio::co_spawn(client_.get_executor(), carry(self, client_, broker_), asio::detached);
        co_await carry(self, broker_, client_);
    }

    // After a cut it goes on reading, so that who is there gets an orderly end.
    asio::awaitable<void> carry(std::shared_ptr<link>, tcp::socket& from, tcp::socket& to) {
        std::array<char, 4'096> piece{};
        std::error_code error;
        for (;;) {
            const std::size_t size = co_await from.async_read_some(asio::buffer(piece), into(error));
            if (error) break;
            if (proxy_.is_bad_ && !is_cut_ && proxy_.is_one_in(one_silence_in)) co_await fall_silent();
            if (is_cut_) continue;
            const std::size_t most = std::min(size, left_);
            left_ -= most;
            co_await asio::async_write(to, asio::buffer(piece, most), into(error));
            if (error || left_ == 0) cut();
        }
        // Who sent has ended, and all of it is delivered: there is nothing more to carry either way.
        is_over(from);
    }

    asio::awaitable<void> fall_silent() {
        ++proxy_.seen_.silences;
        asio::steady_timer timer(client_.get_executor(), milliseconds(proxy_.between(1, longest_silence)));
        co_await timer.async_wait(asio::use_awaitable);
    }

    void is_over(tcp::socket& from) {
        std::error_code ignored;
        from.close(ignored);
        if (std::exchange(is_cut_, true)) return;
        life_.cancel();
        end_sending(&from == &client_ ? broker_ : client_);
    }

    proxy& proxy_;
    tcp::socket client_;
    tcp::socket broker_;
    asio::steady_timer life_;
    std::size_t left_ = std::numeric_limits<std::size_t>::max(); // bytes until it is cut
    bool is_cut_ = false;
};

proxy::proxy(asio::io_context& context, std::uint16_t broker_port, std::uint32_t seed)
    : acceptor_(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0))
    , broker_port_(broker_port)
    , random_(seed) {
    asio::co_spawn(context, accept(), asio::detached);
}

proxy::~proxy() = default;

asio::awaitable<void> proxy::accept() {
    std::error_code error;
    for (;;) {
        tcp::socket client = co_await acceptor_.async_accept(into(error));
        if (error) co_return;
        ++seen_.connections;
        std::erase_if(links_, [](const auto& each) { return each.expired(); });
        if (!has_broker_) {
            ++seen_.turned_away;
            if (is_one_in(2)) reset(client);
            continue;
        }
        const auto born = std::make_shared<link>(*this, std::move(client));
        links_.push_back(born);
        born->start();
    }
}

void proxy::broker_died() {
    has_broker_ = false;
    for (const auto& each : links_)
        if (const auto alive = each.lock()) alive->cut();
}

std::size_t proxy::between(std::size_t least, std::size_t most) {
    return std::uniform_int_distribution(least, most)(random_);
}

std::size_t proxy::bytes_to_live() {
    return static_cast<std::size_t>(
        std::exp(std::uniform_real_distribution(0.0, std::log(most_bytes))(random_)));
}

} // namespace interop
