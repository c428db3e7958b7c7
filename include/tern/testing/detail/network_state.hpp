// What a network in memory knows: its clock, its chance, its hosts, and what is to go wrong.
#pragma once

#include "tern/testing/detail/link_flow.hpp"
#include "tern/testing/detail/random_source.hpp"
#include "tern/testing/detail/waiting.hpp"
#include "tern/testing/network_options.hpp"
#include "tern/testing/virtual_clock.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/error.hpp>
#include <asio/execution_context.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace tern::testing::detail {

struct link_end;

// Where a connection may lead to.
struct network_address {
    std::function<void(std::shared_ptr<link_end>)> accept = nullptr;
    std::error_code refusal = {}; // unless it accepts; neither: it never answers
};

// What is to become of an operation.
struct verdict {
    bool hangs = false;
    std::error_code error = {};
};

class network_state {
public:
    network_state(asio::any_io_executor e, std::uint64_t seed)
        : executor(std::move(e))
        , random(std::make_shared<random_source>(seed)) {}

    using addresses = std::vector<std::shared_ptr<network_address>>;

    // A host with its port, or else the host with any port.
    addresses find(const std::string& host, std::uint16_t port) const {
        auto found = hosts.find(host + ':' + std::to_string(port));
        if (found == hosts.end()) found = hosts.find(host);
        return found == hosts.end() ? addresses{} : found->second;
    }

    link_options next_options() {
        if (scripted.empty()) return usual;
        const link_options first = scripted.front();
        scripted.pop_front();
        return first;
    }

    void plan(step kind, std::size_t nth, verdict what) { plans_.push_back({kind, nth, what}); }

    // Counts an operation. The first plan that is for it wins.
    verdict judge(step kind) {
        ++counts_[static_cast<std::size_t>(kind)];
        ++counts_[static_cast<std::size_t>(step::any)];
        std::optional<verdict> found;
        for (auto& each : plans_) {
            if ((each.kind == kind || each.kind == step::any) && --each.left == 0 && !found)
                found = each.what;
        }
        std::erase_if(plans_, [](const auto& each) { return each.left == 0; });
        return found.value_or(verdict{});
    }
    std::size_t count(step kind) const noexcept { return counts_[static_cast<std::size_t>(kind)]; }

    void add(const std::shared_ptr<link_connection>& connection) {
        std::erase_if(connections_, [](const auto& each) { return each.expired(); });
        connections_.push_back(connection);
    }
    void finish_all(ending how) {
        for (const auto& each : std::vector(connections_))
            if (const auto connection = each.lock()) connection->finish(how);
    }

    asio::any_io_executor executor;
    virtual_clock clock;
    std::shared_ptr<random_source> random;
    std::map<std::string, addresses, std::less<>> hosts;
    link_options usual;
    std::deque<link_options> scripted; // for the next connections
    std::chrono::nanoseconds resolve_time{0};

private:
    struct planned {
        step kind;
        std::size_t left;
        verdict what;
    };

    std::vector<planned> plans_;
    std::array<std::size_t, 5> counts_ = {}; // of each `step`
    std::vector<std::weak_ptr<link_connection>> connections_;
};

// One end of a connection, of one that is being made, or of none.
struct link_end final : waiting_place {
    explicit link_end(std::shared_ptr<network_state> n) : net(std::move(n)) {}
    link_end(const link_end&) = delete;
    link_end& operator=(const link_end&) = delete;
    ~link_end() override { close(); }

    link_flow& in() const { return is_server ? connection->to_server : connection->to_client; }
    link_flow& out() const { return is_server ? connection->to_client : connection->to_server; }

    void cancel_read() {
        auto operation = connection ? in().take_reader() : nullptr;
        complete(operation, asio::error::operation_aborted);
        complete(hanging_read, asio::error::operation_aborted);
    }
    void cancel_write() {
        auto operation = connection ? out().take_writer() : nullptr;
        complete(operation, asio::error::operation_aborted);
        complete(hanging_write, asio::error::operation_aborted);
    }
    void cancel_opening() {
        ++attempt;
        complete(opening, asio::error::operation_aborted);
    }
    void close() {
        cancel_opening();
        cancel_read();
        cancel_write();
        if (const auto ended = std::move(connection)) {
            connection = nullptr;
            (is_server ? ended->to_server : ended->to_client).close_reader();
            (is_server ? ended->to_client : ended->to_server).close_writer(true);
        }
    }
    void abandon(asio::execution_context&) override {
        const std::array abandoned{std::move(opening), std::move(hanging_read), std::move(hanging_write),
                                   connection ? in().take_reader() : nullptr,
                                   connection ? out().take_writer() : nullptr};
    }

    std::shared_ptr<network_state> net;
    std::shared_ptr<link_connection> connection;
    bool is_server = false;
    network_state::addresses addresses;
    waiting_ptr opening; // resolving or connecting
    unsigned attempt = 0;
    waiting_ptr hanging_read; // until it is closed
    waiting_ptr hanging_write;
};

} // namespace tern::testing::detail
