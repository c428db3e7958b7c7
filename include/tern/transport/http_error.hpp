// Errors of HTTP answers, to a WebSocket upgrade or to CONNECT of a proxy: the value is the status.
#pragma once

#include "tern/error.hpp"

#include <string>
#include <system_error>
#include <type_traits>

namespace tern {

/// Answers without a usable status. They share the category with the statuses, which begin at 100.
enum class http_errc {
    malformed_response = 1, ///< The server did not answer in HTTP/1.
    response_too_large = 2, ///< The head of the answer exceeds the limit.
};

/// The category "tern.http" of answers in HTTP: the value is a status from 100 to 999, or an `http_errc`.
inline const std::error_category& http_category() noexcept {
    static const struct : std::error_category {
        const char* name() const noexcept override { return "tern.http"; }
        std::string message(int value) const override {
            if (value == static_cast<int>(http_errc::malformed_response)) return "the server did not answer in HTTP/1";
            if (value == static_cast<int>(http_errc::response_too_large)) return "the HTTP answer is too large";
            return "HTTP status " + std::to_string(value);
        }
        // Statuses that ask to try again are transient. Other answers will probably be the same the next time.
        std::error_condition default_error_condition(int value) const noexcept override {
            const bool is_transient = value >= 500 || value == 408 || value == 429;
            return is_transient ? std::error_condition(value, *this) : failure_class::lasting;
        }
    } category;
    return category;
}

inline std::error_code make_error_code(http_errc error) noexcept {
    return {static_cast<int>(error), http_category()};
}

/// The error code of an answer with this status.
inline std::error_code http_status_error(int status) noexcept {
    return {status, http_category()};
}

/// The status of an answer, for example 401, or 0 if the error is not an HTTP status.
inline int http_status(const std::error_code& error) noexcept {
    return error.category() == http_category() && error.value() >= 100 ? error.value() : 0;
}

} // namespace tern

template <>
struct std::is_error_code_enum<tern::http_errc> : std::true_type {};
