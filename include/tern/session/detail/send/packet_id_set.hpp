// A set of packet identifiers: one bit for each of the 65,535, allocated with the first.
#pragma once

#include "tern/session/detail/memory/heap_optional.hpp"
#include "tern/types.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace tern::detail {

class packet_id_set {
public:
    bool empty() const noexcept { return size_ == 0; }
    bool contains(packet_id id) const noexcept { return size_ != 0 && ((*words_)[id / 64U] >> (id % 64U) & 1U) != 0; }

    /// Makes room: every identifier is added without allocating.
    void reserve() {
        if (!words_) words_.emplace();
    }

    void insert(packet_id id) {
        if (contains(id)) return;
        reserve();
        (*words_)[id / 64U] |= std::uint64_t{1} << (id % 64U);
        ++size_;
    }
    void erase(packet_id id) noexcept {
        if (!contains(id)) return;
        (*words_)[id / 64U] &= ~(std::uint64_t{1} << (id % 64U));
        --size_;
    }
    void clear() noexcept {
        if (size_ != 0) words_->fill(0);
        size_ = 0;
    }

    /// The first identifier that is not in the set, from the given one on, and after the last from 0. There must be
    /// one.
    packet_id next_absent(packet_id from) const noexcept {
        std::size_t word = from / 64U;
        std::uint64_t absent = ~(*words_)[word] & ~std::uint64_t{0} << (from % 64U);
        while (absent == 0) {
            word = (word + 1) % words_->size();
            absent = ~(*words_)[word];
        }
        return static_cast<packet_id>(word * 64 + static_cast<std::size_t>(std::countr_zero(absent)));
    }

private:
    heap_optional<std::array<std::uint64_t, 65'536 / 64>> words_;
    std::uint32_t size_ = 0;
};

} // namespace tern::detail
