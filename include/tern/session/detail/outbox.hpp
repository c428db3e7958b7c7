// The outgoing log: every outgoing packet is encoded once, here, and the socket writes straight from here.
//
// Packets lie in chunks of memory. What is to be written is a queue of segments of those chunks; packets that
// are appended one after the other make one segment. A chunk is kept as long as a segment or a retained
// packet (one that may have to be sent again) lies in it, then it is used anew.
//
// Positions count the bytes ever queued: a packet has been written when `written()` has reached the position
// at which it ended.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/session/detail/ring.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace tern::detail {

class outbox {
public:
    using position = std::uint64_t;

    /// Where a retained packet lies.
    struct place {
        std::uint32_t chunk = 0;
        std::uint32_t offset = 0;
        std::uint32_t size = 0;
    };

    /// Encodes a packet of which `measure` has given the remaining length. It is neither queued nor retained:
    /// the caller does one of both before it calls anything else.
    template <packet Packet>
    place encode(const Packet& p, protocol_version version, std::size_t remaining_length) {
        const std::size_t size = with_header(remaining_length);
        chunk& tail = chunk_with_room(size);
        const place at{tail_, static_cast<std::uint32_t>(tail.used), static_cast<std::uint32_t>(size)};
        write(p, version, remaining_length, tail.data.get() + tail.used);
        tail.used += size;
        return at;
    }

    /// Copies a packet that has been encoded before; as `encode`.
    place copy(std::string_view bytes) {
        chunk& tail = chunk_with_room(bytes.size());
        const place at{tail_, static_cast<std::uint32_t>(tail.used),
                       static_cast<std::uint32_t>(bytes.size())};
        bytes.copy(tail.data.get() + tail.used, bytes.size());
        tail.used += bytes.size();
        return at;
    }

    /// The packet's bytes, to be patched in place.
    char* bytes(const place& at) noexcept { return chunks_[at.chunk].data.get() + at.offset; }
    std::string_view view(const place& at) const noexcept {
        return {chunks_[at.chunk].data.get() + at.offset, at.size};
    }

    /// Makes room, so that a packet can be queued without memory.
    void reserve() { segments_.reserve(1); }

    /// Puts a packet to the end of what is to be written; returns the position at which it ends.
    position queue(const place& at) {
        if (!segments_.empty() && segments_.back().chunk == at.chunk && segments_.back().end == at.offset) {
            segments_.back().end += at.size;
        } else {
            segments_.push_back({at.chunk, at.offset, at.offset + at.size});
            ++chunks_[at.chunk].users;
        }
        return queued_ += at.size;
    }

    void retain(const place& at) noexcept {
        ++chunks_[at.chunk].users;
        retained_ += at.size;
    }
    void release(const place& at) noexcept {
        retained_ -= at.size;
        drop_user(at.chunk);
    }

    /// What is to be written, as far as one gathered write takes it. Valid until bytes are committed or
    /// dropped; more may be queued meanwhile.
    std::span<const std::string_view> pending() noexcept {
        const std::size_t count = std::min(segments_.size(), gathered_.size());
        for (std::size_t i = 0; i != count; ++i) {
            const segment& s = segments_[i];
            gathered_[i] = {chunks_[s.chunk].data.get() + s.begin, s.end - s.begin};
        }
        return {gathered_.data(), count};
    }

    /// The first `count` bytes of what was pending have been written.
    void commit(std::size_t count) noexcept {
        written_ += count;
        while (count != 0) {
            segment& s = segments_.front();
            const auto taken = static_cast<std::uint32_t>(std::min<std::size_t>(count, s.end - s.begin));
            s.begin += taken;
            count -= taken;
            if (s.begin == s.end) drop_user(segments_.pop_front().chunk);
        }
    }

    /// Forgets what has not been written: the connection is gone. Retained packets stay.
    void drop_pending() noexcept {
        while (!segments_.empty())
            drop_user(segments_.pop_front().chunk);
        written_ = queued_;
    }

    bool empty() const noexcept { return segments_.empty(); }
    std::uint64_t unwritten() const noexcept { return queued_ - written_; }
    std::size_t retained() const noexcept { return retained_; }
    /// The memory of all chunks. A small packet that stays can keep a large one.
    std::size_t allocated() const noexcept { return allocated_; }
    position queued() const noexcept { return queued_; }
    position written() const noexcept { return written_; }

private:
    static constexpr std::size_t smallest_chunk = 1024;
    static constexpr std::size_t largest_chunk = 64 * 1024; // but for a packet that is larger
    static constexpr std::size_t spare_chunks = 4;          // of which the memory is kept

    struct chunk {
        chunk() = default;
        chunk(chunk&&) noexcept = default;
        chunk& operator=(chunk&&) noexcept = default;
        chunk(const chunk& other) : capacity(other.capacity), used(other.used), users(other.users) {
            if (capacity == 0) return;
            data = std::make_unique_for_overwrite<char[]>(capacity);
            std::copy_n(other.data.get(), used, data.get());
        }
        chunk& operator=(const chunk& other) { return *this = chunk(other); }
        ~chunk() = default;

        // Makes an empty chunk at least this large.
        void reserve(std::size_t size) {
            if (capacity >= size) return;
            data = std::make_unique_for_overwrite<char[]>(size);
            capacity = size;
            used = 0;
        }

        std::unique_ptr<char[]> data;
        std::size_t capacity = 0;
        std::size_t used = 0;
        std::size_t users = 0; // segments and retained packets
    };

    struct segment {
        std::uint32_t chunk = 0;
        std::uint32_t begin = 0;
        std::uint32_t end = 0;
    };

    // The chunk at the end of the log, after making it one with room for `size` more bytes.
    chunk& chunk_with_room(std::size_t size) {
        std::size_t capacity = smallest_chunk;
        if (chunks_.empty()) {
            tail_ = unused_chunk();
        } else {
            const chunk& tail = chunks_[tail_];
            if (tail.capacity - tail.used >= size) return chunks_[tail_];
            capacity = std::clamp(tail.capacity * 2, smallest_chunk, largest_chunk);
            if (tail.users != 0) tail_ = unused_chunk();
        }
        chunk& tail = chunks_[tail_];
        const std::size_t before = tail.capacity;
        tail.reserve(std::max(capacity, size));
        allocated_ += tail.capacity - before;
        return tail;
    }

    std::uint32_t unused_chunk() {
        for (std::vector<std::uint32_t>* const list : {&spare_, &bare_}) {
            if (list->empty()) continue;
            const std::uint32_t index = list->back();
            list->pop_back();
            return index;
        }
        chunks_.emplace_back();
        spare_.reserve(spare_chunks);
        bare_.reserve(chunks_.size());
        return static_cast<std::uint32_t>(chunks_.size() - 1);
    }

    void drop_user(std::uint32_t index) noexcept {
        chunk& c = chunks_[index];
        if (--c.users != 0) return;
        c.used = 0;
        const bool keep = c.capacity <= largest_chunk && (index == tail_ || spare_.size() != spare_chunks);
        if (!keep) {
            allocated_ -= c.capacity;
            c = chunk{};
        }
        if (index != tail_) (keep ? spare_ : bare_).push_back(index);
    }

    std::vector<chunk> chunks_;
    std::vector<std::uint32_t> spare_; // unused chunks that keep their memory
    std::vector<std::uint32_t> bare_;  // unused chunks without
    std::uint32_t tail_ = 0;
    ring<segment> segments_;
    std::size_t retained_ = 0;
    std::size_t allocated_ = 0;
    position queued_ = 0;
    position written_ = 0;
    std::array<std::string_view, 16> gathered_{};
};

} // namespace tern::detail
