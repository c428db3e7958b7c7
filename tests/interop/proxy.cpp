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

// Returns errors instead of throwing them, because here they are expected.
auto into(std::error_code& error) {
    return asio::redirect_error(asio::use_awaitable, error);
}

// The distribution is log-uniform, so that cuts within the first packets are as frequent as after a thousand packets.
constexpr double max_byte_limit = 50'000;
constexpr std::size_t max_stall = 20;    // ms
constexpr unsigned reads_per_stall = 50; // on average

void shutdown_send(tcp::socket& socket) {
    std::error_code ignored;
    socket.shutdown(tcp::socket::shutdown_send, ignored);
}

void reset(tcp::socket& socket) {
    std::error_code ignored;
    socket.set_option(asio::socket_base::linger(true, 0), ignored);
    socket.close(ignored);
}

} // namespace

// A client's connection and the corresponding connection to the broker.
class proxy::connection : public std::enable_shared_from_this<connection> {
public:
    connection(proxy& of, tcp::socket client)
        : proxy_(of)
        , client_(std::move(client))
        , broker_(client_.get_executor())
        , lifetime_timer_(client_.get_executor()) {
        std::error_code ignored;
        client_.set_option(tcp::no_delay(true), ignored);
    }

    void start() { asio::co_spawn(client_.get_executor(), run(shared_from_this()), asio::detached); }

    void cut() {
        if (std::exchange(is_cut_, true)) return;
        lifetime_timer_.cancel();
        if (proxy_.draw_one_in(2)) {
            ++proxy_.counters_.resets;
            reset(client_);
        } else {
            ++proxy_.counters_.closes;
            shutdown_send(client_);
        }
        shutdown_send(broker_);
    }

private:
    asio::awaitable<void> run(std::shared_ptr<connection> self) {
        const tcp::endpoint address(asio::ip::address_v4::loopback(), proxy_.broker_port_);
        std::error_code error;
        co_await broker_.async_connect(address, into(error));
        if (error) cut();
        if (is_cut_) co_return;
        broker_.set_option(tcp::no_delay(true), error);
        if (proxy_.faults_ == faults::injected) {
            bytes_until_cut_ = proxy_.draw_byte_limit();
            lifetime_timer_.expires_after(
                milliseconds(proxy_.draw_between(1, static_cast<std::size_t>(proxy_.longest_life_.count()))));
            lifetime_timer_.async_wait([self](std::error_code cancelled) {
                if (!cancelled) self->cut();
            });
        }
        asio::co_spawn(client_.get_executor(), forward(self, client_, broker_), asio::detached);
        co_await forward(self, broker_, client_);
    }

    // After a cut it continues to read, so that the sender gets no reset.
    asio::awaitable<void> forward(std::shared_ptr<connection>, tcp::socket& from, tcp::socket& to) {
        std::array<char, 4'096> piece{};
        std::error_code error;
        for (;;) {
            const std::size_t size = co_await from.async_read_some(asio::buffer(piece), into(error));
            if (error) break;
            if (proxy_.faults_ == faults::injected && !is_cut_ && proxy_.draw_one_in(reads_per_stall)) co_await stall();
            if (is_cut_) continue;
            const std::size_t forwarded = std::min(size, bytes_until_cut_);
            bytes_until_cut_ -= forwarded;
            co_await asio::async_write(to, asio::buffer(piece, forwarded), into(error));
            if (error || bytes_until_cut_ == 0) cut();
        }
        // The sender has closed its connection and all of its bytes are delivered.
        close(from);
    }

    asio::awaitable<void> stall() {
        ++proxy_.counters_.stalls;
        asio::steady_timer timer(client_.get_executor(), milliseconds(proxy_.draw_between(1, max_stall)));
        co_await timer.async_wait(asio::use_awaitable);
    }

    void close(tcp::socket& from) {
        std::error_code ignored;
        from.close(ignored);
        if (std::exchange(is_cut_, true)) return;
        lifetime_timer_.cancel();
        shutdown_send(&from == &client_ ? broker_ : client_);
    }

    proxy& proxy_;
    tcp::socket client_;
    tcp::socket broker_;
    asio::steady_timer lifetime_timer_;
    std::size_t bytes_until_cut_ = std::numeric_limits<std::size_t>::max();
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
        ++counters_.connections;
        std::erase_if(connections_, [](const auto& each) { return each.expired(); });
        if (!has_broker_) {
            ++counters_.rejected;
            if (draw_one_in(2)) reset(client);
            continue;
        }
        const auto accepted = std::make_shared<connection>(*this, std::move(client));
        connections_.push_back(accepted);
        accepted->start();
    }
}

void proxy::on_broker_killed() {
    has_broker_ = false;
    for (const auto& each : connections_)
        if (const auto alive = each.lock()) alive->cut();
}

std::size_t proxy::draw_between(std::size_t minimum, std::size_t maximum) {
    return std::uniform_int_distribution(minimum, maximum)(random_);
}

std::size_t proxy::draw_byte_limit() {
    return static_cast<std::size_t>(std::exp(std::uniform_real_distribution(0.0, std::log(max_byte_limit))(random_)));
}

} // namespace interop
