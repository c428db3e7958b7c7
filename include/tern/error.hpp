// Errors: the rules of MQTT and of Tern that can be broken, and the party that broke them.
//
// An `errc` names the rule. The category of a `std::error_code` names the party:
//     tern.usage            the caller requested something that must not be sent; nothing was sent
//     tern.protocol         the peer violated the standard or stopped responding; the connection is closed
//     tern.refusal          the broker refused the request with a reason code (reason_code.hpp)
//     tern.outcome_unknown  the request was sent, at least in part, and its answer will not come
// `error == errc::x` compares the rule in all categories but `tern.refusal`, `error == reason_code::x` the reason in
// that one.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/detail/rules.hpp"
#include "tern/errc.hpp"
#include "tern/reason_code.hpp"
#include "tern/types.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

namespace tern {

/// Describes the broken rule, such as "a string is not valid UTF-8".
constexpr std::string_view to_string(errc error) noexcept {
    return detail::rule(error).text;
}

/// The statement or section of the standard that was violated, such as "MQTT-1.5.4-1". Empty if that version
/// of the standard has no such rule.
constexpr std::string_view clause(errc error, protocol_version version = protocol_version::v5) noexcept {
    return version == protocol_version::v5 ? detail::rule(error).clause_v5 : detail::rule(error).clause_v3_1_1;
}

/// The reason code with which a 5.0 DISCONNECT or CONNACK reports the error.
constexpr reason_code answer_to(errc error) noexcept {
    return detail::rule(error).answer;
}

namespace detail {

struct rule_category : std::error_category {
    TERN_COLD std::string message(int value) const override {
        const bool known = value >= 0 && value <= UINT8_MAX;
        return std::string{known ? to_string(static_cast<errc>(value)) : unknown_rule.text};
    }
};

inline const std::error_category& errc_category() noexcept {
    static const struct : rule_category {
        const char* name() const noexcept override { return "tern"; }
    } category;
    return category;
}

struct party_category : rule_category {
    std::error_condition default_error_condition(int value) const noexcept override { return {value, errc_category()}; }
};

} // namespace detail

/// The category of errors of the caller; the value is an `errc`.
inline const std::error_category& usage_category() noexcept {
    static const struct : detail::party_category {
        const char* name() const noexcept override { return "tern.usage"; }
    } category;
    return category;
}

/// The category of errors of the peer; the value is an `errc`.
inline const std::error_category& protocol_category() noexcept {
    static const struct : detail::party_category {
        const char* name() const noexcept override { return "tern.protocol"; }
    } category;
    return category;
}

/// The category of errors after which the outcome is unknown: the broker may have received the message or the request;
/// the value is an `errc`.
inline const std::error_category& outcome_unknown_category() noexcept {
    static const struct : detail::party_category {
        const char* name() const noexcept override { return "tern.outcome_unknown"; }
    } category;
    return category;
}

/// The error code of a request that must not be sent.
inline std::error_code misuse(errc error) noexcept {
    return {static_cast<int>(error), usage_category()};
}

/// The error code of a rule that the peer violated.
inline std::error_code violation(errc error) noexcept {
    return {static_cast<int>(error), protocol_category()};
}

/// The error code of a request that was sent, whose answer will not come.
inline std::error_code outcome_unknown(errc error) noexcept {
    return {static_cast<int>(error), outcome_unknown_category()};
}

/// Whether another attempt can succeed.
enum class failure_class : std::uint8_t {
    transient, ///< the next attempt may succeed
    lasting,   ///< the next attempt is likely to fail in the same way: it follows after the longest delay
    permanent, ///< the next attempt fails in the same way, or does harm, until a person changes something
};

namespace detail {

inline const std::error_category& failure_category() noexcept {
    static const struct : std::error_category {
        const char* name() const noexcept override { return "tern.failure"; }
        TERN_COLD std::string message(int value) const override {
            return value == static_cast<int>(failure_class::permanent) ? "permanent failure" : "failure";
        }
    } category;
    return category;
}

} // namespace detail

/// Enables `error == failure_class::x`. The category of a transport's errors maps each of them to such a condition with
/// `default_error_condition`, if another attempt should not follow as usual.
inline std::error_condition make_error_condition(failure_class kind) noexcept {
    return {static_cast<int>(kind), detail::failure_category()};
}

/// Enables `error == errc::x` for these categories.
inline std::error_condition make_error_condition(errc error) noexcept {
    return {static_cast<int>(error), detail::errc_category()};
}

} // namespace tern

template <>
struct std::is_error_condition_enum<tern::errc> : std::true_type {};

template <>
struct std::is_error_condition_enum<tern::failure_class> : std::true_type {};
