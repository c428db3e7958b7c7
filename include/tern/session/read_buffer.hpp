// Memory into which a session reads, and which many sessions can share: one that waits for the broker needs none.
#pragma once

#include <cstddef>
#include <memory>

namespace tern {

struct read_buffer {
    std::unique_ptr<char[]> bytes;
    std::size_t size = 0;

    static read_buffer of(std::size_t size) { return {std::make_unique_for_overwrite<char[]>(size), size}; }

    explicit operator bool() const noexcept { return bytes != nullptr; }
};

} // namespace tern
