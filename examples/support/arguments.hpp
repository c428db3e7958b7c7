// The command-line arguments of publish and subscribe. Only arguments.cpp includes CLI11, so that the programs compile
// fast.
#pragma once

#include "support/transport_arguments.hpp"
#include "tern/session/options.hpp"
#include "tern/types.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace example {

enum exit_code : int {
    success = 0,
    wrong_arguments = 1,
    cannot_connect = 2, ///< there was no connection, or the broker refused it
    failed = 3,         ///< the broker refused a request, or the connection was lost
    timed_out = 27,
    interrupted = 130,
};

/// The broker's address and the options of CONNECT. What is set here overrides a part of the URL.
struct connection_arguments {
    transport_arguments transport;
    std::optional<std::string> host;
    std::optional<std::uint16_t> port;
    tern::protocol_version version = tern::protocol_version::v5;
    std::string client_id;
    std::optional<std::string> user_name;
    std::optional<std::string> password;
    std::uint16_t keep_alive = 60;
    std::string will_topic;
    std::string will_payload;
    unsigned will_qos = 0;
    bool will_retain = false;
    bool debug = false;

    /// The result points into this object.
    tern::connect_options options() const;
};

struct publish_arguments {
    connection_arguments connection;
    std::string topic;
    std::string payload;
    std::string file;
    bool whole_input = false;
    bool lines = false;
    bool empty = false;
    unsigned qos = 0;
    bool retain = false;
    unsigned repeat = 1;
    double repeat_delay = 0;
    std::vector<std::tuple<std::string, std::string, std::string, std::string>> properties;
};

struct subscribe_arguments {
    connection_arguments connection;
    std::vector<std::string> filters;
    std::vector<std::string> filtered_out;
    std::vector<std::string> unsubscribe;
    unsigned qos = 0;
    bool keep_session = false;
    bool exit_after_subscribe = false;
    unsigned count = 0;
    double seconds = 0;
    bool verbose = false;
    bool no_end_of_line = false;
    bool no_retained = false;
    std::string format;
};

/// Parse a command line. If it asks for help or is wrong, they print the help or the error and return the exit code.
std::optional<exit_code> parse(int argc, char** argv, publish_arguments& args);
std::optional<exit_code> parse(int argc, char** argv, subscribe_arguments& args);

} // namespace example
