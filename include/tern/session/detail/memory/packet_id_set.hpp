// A set of packet identifiers: one bit for each of the 65,535, allocated with the first.
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/types.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace tern::detail {

class packet_id_set {
public:
    bool empty() const noexcept { return !bits_ || bits_->count == 0; }
    bool contains(packet_id id) const noexcept { return bits_ && (bits_->words[id / 64U] >> (id % 64U) & 1U) != 0; }

    /// Makes room: every identifier is added without allocating.
    void reserve() {
        if (!bits_) bits_.emplace();
    }

    TERN_COLD void insert(packet_id id) {
        if (contains(id)) return;
        reserve();
        bits_->words[id / 64U] |= std::uint64_t{1} << (id % 64U);
        ++bits_->count;
    }
    void erase(packet_id id) noexcept {
        if (!contains(id)) return;
        bits_->words[id / 64U] &= ~(std::uint64_t{1} << (id % 64U));
        --bits_->count;
    }
    void clear() noexcept { bits_.reset(); }
    /// Frees the memory if it is not in use.
    void trim() noexcept {
        if (bits_ && bits_->count == 0) bits_.reset();
    }

    /// The first identifier that is not in the set, from the given one on, and after the last from 0. There must be
    /// one, and room for it.
    packet_id next_absent(packet_id from) const noexcept {
        std::size_t word = from / 64U;
        std::uint64_t absent = ~bits_->words[word] & ~std::uint64_t{0} << (from % 64U);
        while (absent == 0) {
            word = (word + 1) % bits_->words.size();
            absent = ~bits_->words[word];
        }
        return static_cast<packet_id>(word * 64 + static_cast<std::size_t>(std::countr_zero(absent)));
    }

private:
    struct bits {
        std::array<std::uint64_t, 65'536 / 64> words{};
        std::uint32_t count = 0;
    };

    heap_optional<bits> bits_;
};

} // namespace tern::detail
