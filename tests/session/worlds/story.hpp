// The chance, the story and the verdict of a random world.
#pragma once

#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>

namespace worlds {

/// The same numbers on every platform.
class chance {
public:
    explicit chance(std::uint64_t seed) : state_(mix(seed)) {}

    unsigned below(unsigned n) {
        state_ += 0x9E3779B97F4A7C15U;
        return static_cast<unsigned>(mix(state_) % n);
    }
    bool one_in(unsigned n) { return below(n) == 0; }

private:
    static std::uint64_t mix(std::uint64_t x) {
        x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
        x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
        return x ^ (x >> 31U);
    }

    std::uint64_t state_;
};

/// One line per step. Only a world that is repeated writes it.
class story {
public:
    bool is_written = false;

    template <class... Part>
    void line(const Part&... part) {
        if (!is_written) return;
        std::ostringstream text;
        (text << ... << part);
        lines_ += text.str() + '\n';
    }
    const std::string& lines() const noexcept { return lines_; }

private:
    std::string lines_;
};

/// A rule was broken.
struct broken_rule : std::runtime_error {
    using runtime_error::runtime_error;
};

template <class... Part>
[[noreturn]] void break_rule(const Part&... part) {
    std::ostringstream text;
    (text << ... << part);
    throw broken_rule(text.str());
}
template <class... Part>
void demand(bool holds, const Part&... part) {
    if (!holds) break_rule(part...);
}

} // namespace worlds
