// Prints the output of the demo: scenes, explanations, packets and the results of its checks.
#pragma once

#include "support/tap.hpp"
#include "tern/format.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#ifdef _WIN32
#include <io.h>
#else
#include <unistd.h>
#endif

namespace example {

/// Whether standard output is a terminal that supports colour, and NO_COLOR (https://no-color.org) is not set.
inline bool can_print_colour() {
    const char* const no_colour = std::getenv("NO_COLOR");
    if (no_colour != nullptr && *no_colour != '\0') return false;
#ifdef _WIN32
    return std::getenv("WT_SESSION") != nullptr && _isatty(_fileno(stdout)) != 0;
#else
    const char* const terminal = std::getenv("TERM");
    return isatty(STDOUT_FILENO) == 1 && terminal != nullptr && std::string_view(terminal) != "dumb";
#endif
}

class narrator {
public:
    enum class packets { hidden, shown };

    explicit narrator(packets visibility) : packets_(visibility), has_colour_(can_print_colour()) {}

    void title(std::string_view text) { line(bold, text); }

    /// Starts a scene and prints its number and name.
    void scene(std::string_view name) { line(bold, fmt::format("\n{}. {}", ++scenes_, name)); }

    /// Prints a sentence for the reader.
    void print(std::string_view text) { line(plain, fmt::format("   {}", text)); }

    /// Counts a check and prints its result.
    void check(bool passed, std::string_view text) {
        ++checks_;
        if (!passed) ++failures_;
        line(passed ? green : red, fmt::format("   {} {}", passed ? "ok  " : "FAIL", text));
    }

    /// Prints the reason why the demo cannot show something.
    void skip(std::string_view text) { line(yellow, fmt::format("   --   {}", text)); }

    /// Prints a packet that `client` has sent or received.
    void packet(std::string_view client, direction direction, const tern::any_packet& packet) {
        if (packets_ == packets::hidden) return;
        const std::string_view arrow = direction == direction::sent ? "-->" : "<--";
        line(dim, fmt::format("        {:>11} {} {}", client, arrow, packet));
    }

    /// Prints the number of checks that passed or failed, and returns the exit code.
    int print_summary() {
        const auto text = failures_ == 0 ? fmt::format("\nAll {} checks passed.", checks_)
                                         : fmt::format("\n{} of {} checks failed.", failures_, checks_);
        line(failures_ == 0 ? green : red, text);
        return failures_ == 0 ? 0 : 1;
    }

private:
    static constexpr std::string_view plain = "";
    static constexpr std::string_view bold = "\033[1m";
    static constexpr std::string_view dim = "\033[36m";
    static constexpr std::string_view red = "\033[1;31m";
    static constexpr std::string_view green = "\033[32m";
    static constexpr std::string_view yellow = "\033[33m";

    void line(std::string_view style, std::string_view text) const {
        const bool styled = has_colour_ && !style.empty();
        fmt::print("{}{}{}\n", styled ? style : "", text, styled ? "\033[0m" : "");
        std::fflush(stdout);
    }

    packets packets_;
    bool has_colour_;
    int scenes_ = 0;
    int checks_ = 0;
    int failures_ = 0;
};

} // namespace example
