// The head of an HTTP/1 response: the status line and the header fields (RFC 9112 §4, §5). The answers to a WebSocket
// upgrade and to CONNECT of a proxy begin with it.
//
//     version -> status -> reason -> line_start -> name -> value -> line_start ... -> complete
//
// Any byte that the present step does not allow makes the response malformed, and every split of the bytes gives the
// same result. It accepts all that servers send in practice: HTTP/1.0, a status line without a reason, LF without CR
// (§2.2), and folded values (§5.2). It refuses CR without LF, control characters, and whitespace before a colon (§5.1).
#pragma once

#include "tern/detail/ascii.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tern::detail {

/// Whether a character may be part of the name of a header field (RFC 9110 §5.6.2).
constexpr bool is_token_character(char c) noexcept {
    const char lower = ascii_lower(c);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos);
}

/// Whether a character may be part of the value of a header field (RFC 9110 §5.5).
constexpr bool is_field_character(char c) noexcept {
    const auto byte = static_cast<unsigned char>(c);
    return (byte >= 0x20 && byte != 0x7F) || c == '\t';
}

constexpr std::string_view without_outer_whitespace(std::string_view text) noexcept {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
        text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
        text.remove_suffix(1);
    return text;
}

enum class http_progress : std::uint8_t {
    reading,   ///< The head is incomplete.
    complete,  ///< The head is complete; all functions may be called.
    malformed, ///< The bytes are not an HTTP/1 response.
    too_large, ///< The head is larger than the limit.
};

/// Reads the head of a response. Its memory is bounded by the limit, whatever the server sends.
///
/// It skips interim responses (1xx, RFC 9110 §15.2) except 101, which ends HTTP on the connection. Their size counts.
class http_response {
public:
    /// Some servers send large cookies and policies with a refusal.
    static constexpr std::size_t default_limit = 16 * 1024;

    explicit http_response(std::size_t limit = default_limit) noexcept : limit_(limit) {}

    /// Reads bytes up to the end of the head. Returns their number: bytes after it are not part of the head. It must
    /// not be called after the head is complete, or after an error. Throws `std::bad_alloc`.
    std::size_t read(std::string_view bytes) {
        for (std::size_t i = 0; i != bytes.size(); ++i) {
            read_byte(bytes[i]);
            if (progress() != http_progress::reading) return i + 1;
        }
        return bytes.size();
    }

    http_progress progress() const noexcept {
        switch (step_) {
        case step::complete: return http_progress::complete;
        case step::malformed: return http_progress::malformed;
        case step::too_large: return http_progress::too_large;
        default: return http_progress::reading;
        }
    }

    /// The status code, from 100 to 999.
    int status() const noexcept { return status_; }

    /// The number of field lines with this name.
    std::size_t count(std::string_view name) const noexcept {
        std::size_t found = 0;
        for_each_value(name, [&](std::string_view) { ++found; });
        return found;
    }

    /// The value of the first field line with this name, empty if there is none. Borrows.
    std::string_view field(std::string_view name) const noexcept {
        std::string_view first;
        for_each_value(name, [&](std::string_view value) {
            if (first.data() == nullptr) first = value;
        });
        return first;
    }

    /// Whether the comma-separated list in the field lines with this name contains the token, in any case.
    bool has_token(std::string_view name, std::string_view token) const noexcept {
        bool found = false;
        for_each_value(name, [&](std::string_view list) {
            for (;;) {
                const std::size_t comma = list.find(',');
                found = found || equal_ignoring_case(without_outer_whitespace(list.substr(0, comma)), token);
                if (comma == std::string_view::npos) return;
                list.remove_prefix(comma + 1);
            }
        });
        return found;
    }

    /// Frees the memory. There are no fields any more.
    void clear_fields() noexcept {
        std::string().swap(text_);
        fields_ = 0;
    }

private:
    enum class step : std::uint8_t {
        version,    ///< in "HTTP/1.x "
        status,     ///< in the three digits
        reason,     ///< after the status
        line_start, ///< before the first character of a field line, or of the empty line
        name,       ///< in the name of a field
        value,      ///< after the colon
        line_end,   ///< after CR
        complete,   ///< after the empty line
        malformed,  ///< a byte was not allowed
        too_large,  ///< the limit is exceeded
    };

    static constexpr std::string_view version_pattern = "HTTP/1.? ";

    void read_byte(char c) {
        if (++size_ > limit_) {
            step_ = step::too_large;
            return;
        }
        switch (step_) {
        case step::version: return read_version(c);
        case step::status: return read_status(c);
        case step::line_start: return read_line_start(c);
        case step::name: return read_name(c);
        case step::line_end: return c == '\n' ? end_line() : refuse();
        default: return read_text(c);
        }
    }

    void read_version(char c) {
        const char expected = version_pattern[text_.size()];
        const bool is_expected = expected == '?' ? c >= '0' && c <= '9' : c == expected;
        if (!is_expected) return refuse();
        text_ += c;
        if (text_.size() == version_pattern.size()) step_ = step::status;
    }

    void read_status(char c) {
        if (c < '0' || c > '9' || (status_ == 0 && c == '0')) return refuse();
        text_ += c;
        status_ = status_ * 10 + (c - '0');
        if (status_ >= 100) step_ = step::reason;
    }

    // The reason, or a value.
    void read_text(char c) {
        if (c == '\n') return end_line();
        if (c == '\r') {
            step_ = step::line_end;
            return;
        }
        const bool follows_status = text_.size() == version_pattern.size() + 3;
        if (!is_field_character(c) || (follows_status && c != ' ')) return refuse();
        text_ += c;
    }

    void read_line_start(char c) {
        if (c == '\n') return end_line();
        if (c == '\r') {
            step_ = step::line_end;
        } else if (c == ' ' || c == '\t') { // the value continues; a line end counts as whitespace
            if (text_.size() == fields_) return refuse();
            text_.back() = ' ';
            step_ = step::value;
        } else {
            step_ = step::name;
            read_name(c);
        }
    }

    void read_name(char c) {
        if (c == ':' && text_.back() != '\n')
            step_ = step::value;
        else if (!is_token_character(c))
            return refuse();
        text_ += c;
    }

    void end_line() {
        if (text_.back() == '\n') return end_head();
        text_ += '\n';
        if (fields_ == 0) fields_ = text_.size();
        step_ = step::line_start;
    }

    void end_head() noexcept {
        step_ = step::complete;
        if (status_ >= 200 || status_ == 101) return;
        step_ = step::version;
        status_ = 0;
        fields_ = 0;
        text_.clear();
    }

    void refuse() noexcept { step_ = step::malformed; }

    template <class Function>
    void for_each_value(std::string_view name, Function function) const {
        std::string_view lines = std::string_view(text_).substr(fields_);
        while (!lines.empty()) {
            const std::string_view line = lines.substr(0, lines.find('\n'));
            const std::size_t colon = line.find(':');
            if (equal_ignoring_case(line.substr(0, colon), name))
                function(without_outer_whitespace(line.substr(colon + 1)));
            lines.remove_prefix((std::min)(line.size() + 1, lines.size()));
        }
    }

    std::string text_;       // all lines, each with LF at its end, folded lines joined
    std::size_t fields_ = 0; // where the field lines begin in `text_`, 0 in the status line
    std::size_t limit_;
    std::size_t size_ = 0; // of all bytes that were read
    int status_ = 0;
    step step_ = step::version;
};

} // namespace tern::detail
