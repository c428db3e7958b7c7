// What a network in memory knows: its clock, its chance, its hosts, and what is to go wrong.
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

} // namespace tern::testing::detail
