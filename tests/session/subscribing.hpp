// SUBSCRIBE and SUBACK as dialogs about subscriptions write them.
#pragma once

#include "dialog.hpp"

#include <vector>

inline constexpr tern::reason_code yes = tern::reason_code::success;
inline constexpr tern::reason_code no = tern::reason_code::unspecified_error;

inline tern::subscribe subscribe_of(const std::vector<tern::subscription>& list, tern::packet_id id,
                                    const tern::subscribe_properties& properties = {}) {
    return {id, list, properties};
}
inline tern::suback suback_of(tern::packet_id id, const std::vector<tern::reason_code>& codes) {
    return {id, codes};
}
