// The packet identifiers of incoming QoS 2 messages: two bits for each of the 65,535, once there has been one.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/session/detail/box.hpp"
#include "tern/types.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace tern::detail {

/// How far the QoS 2 message of an identifier has come.
enum class incoming_state : std::uint8_t {
    none,    ///< there is none
    due,     ///< its PUBREC has yet to be sent on this connection
    open,    ///< its PUBREC was sent on this connection, its PUBREL has not come
    earlier, ///< its PUBREL has not come, and it has not come again on this connection
};

class incoming_ids {
public:
    bool empty() const noexcept {
        return !words_ ||
               std::all_of(words_->begin(), words_->end(), [](std::uint64_t word) { return word == 0; });
    }
    incoming_state operator[](packet_id id) const noexcept {
        return words_ ? static_cast<incoming_state>((*words_)[id / 32U] >> shift(id) & 3U)
                      : incoming_state::none;
    }

    /// Makes room, so that all can be set without memory.
    void reserve() {
        if (!words_) words_.emplace();
    }

    /// There must be room.
    TERN_INLINE void change(packet_id id, incoming_state from, incoming_state to) noexcept {
        const auto bits = static_cast<std::uint64_t>(from) ^ static_cast<std::uint64_t>(to);
        (*words_)[id / 32U] ^= bits << shift(id);
    }

    /// A connection is gone: what there was on it is of an earlier one.
    void end_connection() noexcept {
        constexpr std::uint64_t low_bits = ~std::uint64_t{0} / 3;
        if (!words_) return;
        for (std::uint64_t& word : *words_)
            word = ((word | word >> 1U) & low_bits) * static_cast<std::uint64_t>(incoming_state::earlier);
    }

    void clear() noexcept {
        if (words_) words_->fill(0);
    }

private:
    static constexpr unsigned shift(packet_id id) noexcept { return id % 32U * 2; }

    box<std::array<std::uint64_t, 65'536 / 32>> words_;
};

} // namespace tern::detail
