// The state of a network in memory: its clock, its random numbers, its hosts, and the faults that it injects.
#pragma once

#include "tern/testing/detail/link_flow.hpp"
#include "tern/testing/detail/random_source.hpp"
#include "tern/testing/network_options.hpp"
#include "tern/testing/virtual_clock.hpp"

#include <asio/any_io_executor.hpp>

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

class link_end;

// An address that a client can connect to.
struct network_address {
    std::function<void(std::shared_ptr<link_end>)> accept = nullptr;
    std::error_code refusal = {}; // applies without `accept`; an address with neither never answers
};

// The planned outcome of an operation.
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

    // Prefers a host registered with this port over one registered with any port.
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

    // Counts an operation. The first plan that matches it decides its outcome.
    verdict judge(step kind) {
        ++counts_[static_cast<std::size_t>(kind)];
        ++counts_[static_cast<std::size_t>(step::any)];
        std::optional<verdict> found;
        for (auto& each : plans_) {
            if ((each.kind == kind || each.kind == step::any) && --each.left == 0 && !found) found = each.what;
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
        const auto connections = connections_; // a connection that ends may change the list
        for (const auto& each : connections)
            if (const auto connection = each.lock()) connection->finish(how);
    }

    asio::any_io_executor executor;
    virtual_clock clock;
    std::shared_ptr<random_source> random;
    std::map<std::string, addresses, std::less<>> hosts;
    link_options usual;
    std::deque<link_options> scripted; // the options of the next connections
    std::chrono::nanoseconds resolve_time{0};

private:
    struct planned {
        step kind;
        std::size_t left;
        verdict what;
    };

    std::vector<planned> plans_;
    std::array<std::size_t, 5> counts_ = {}; // the number of operations of each `step`
    std::vector<std::weak_ptr<link_connection>> connections_;
};

} // namespace tern::testing::detail
