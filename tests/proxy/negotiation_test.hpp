// Plays the proxy's side of a negotiation, in pieces of any size.
#pragma once

#include "catch.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace negotiation_tests {

/// What the client writes, and what the proxy answers to it.
struct exchange {
    std::string request;
    std::string answer;
};
using dialog = std::vector<exchange>;

struct verdict {
    bool is_ready = false;
    std::error_code error = {};
    std::string leftover = {};

    friend bool operator==(const verdict&, const verdict&) = default;
};

struct pieces {
    std::size_t write = SIZE_MAX;        ///< the most bytes that are written at once
    std::size_t read = SIZE_MAX;         ///< the most bytes that are read at once
    std::size_t answer_bytes = SIZE_MAX; ///< how many bytes the proxy sends in all
};

template <class Machine>
std::string written_by(Machine& machine, std::size_t most) {
    std::string all;
    while (!machine.output().empty()) {
        const std::string_view piece = machine.output().substr(0, most);
        all += piece;
        CHECK(machine.commit_output(piece.size()) == 0);
    }
    return all;
}

/// Plays until an error, or until the proxy has sent its last byte.
template <class Machine>
verdict play(Machine machine, const dialog& script, pieces size = {}) {
    verdict result;
    for (const exchange& each : script) {
        CHECK(written_by(machine, size.write) == each.request);
        std::string_view answer = std::string_view(each.answer).substr(0, size.answer_bytes);
        size.answer_bytes -= size.answer_bytes == SIZE_MAX ? 0 : answer.size();
        while (!answer.empty() && !result.error) {
            const std::string piece(answer.substr(0, size.read)); // a heap block of its own, for AddressSanitizer
            CHECK(machine.read(piece, {}, result.error) == 0);
            answer.remove_prefix(piece.size());
        }
        if (result.error || size.answer_bytes == 0) break;
    }
    result.is_ready = machine.is_ready();
    result.leftover = machine.leftover();
    if (result.is_ready) CHECK(machine.output().empty());
    return result;
}

inline std::size_t answer_size(const dialog& script) {
    std::size_t size = 0;
    for (const exchange& each : script)
        size += each.answer.size();
    return size;
}

/// The same result for every size of pieces. Before the last byte that the result needs, there is no result.
template <class Machine>
verdict play_all(const Machine& machine, const dialog& script) {
    const verdict whole = play(machine, script);
    for (std::size_t read = 1; read != answer_size(script) + 1; ++read)
        for (const std::size_t write : {std::size_t{1}, std::size_t{3}, SIZE_MAX})
            CHECK(play(machine, script, {.write = write, .read = read}) == whole);
    const std::size_t needed = answer_size(script) - whole.leftover.size();
    for (std::size_t cut = 0; cut < needed && !whole.error; ++cut)
        CHECK(play(machine, script, {.answer_bytes = cut}) == verdict{});
    return whole;
}

} // namespace negotiation_tests
