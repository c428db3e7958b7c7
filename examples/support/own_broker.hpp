// The broker of the short examples: the one on the command line, or else an embedded one.
#pragma once

#include "tern/testing/broker.hpp"

#include <asio/any_io_executor.hpp>

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

namespace example {

struct broker_address {
    std::string host = "127.0.0.1";
    std::uint16_t port = 0;
    std::optional<tern::testing::broker> embedded = {};

    /// Parses `program [host [port]]`.
    broker_address(const asio::any_io_executor& executor, int argc, char** argv) {
        if (argc > 1) {
            host = argv[1];
            port = static_cast<std::uint16_t>(argc > 2 ? std::atoi(argv[2]) : 1883);
        } else {
            embedded.emplace(executor);
            port = embedded->listen();
        }
    }
};

} // namespace example
