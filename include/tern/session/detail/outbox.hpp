// The outgoing log: every outgoing packet is encoded once, here, and the socket writes straight from here.
//
// Packets lie in chunks of memory. What is to be written is a queue of segments of those chunks; packets that
// are appended one after the other make one segment: the last one grows. A chunk is kept as long as a segment
// or a retained packet (one that may have to be sent again) lies in it, then it is used anew.
//
// Positions count the bytes ever queued: a packet has been written when `written()` has reached the position
// at which it ended.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/detail/ring.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
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

    /// Encodes a packet that `measure` has measured. It is neither queued nor retained: the caller does one of both
    /// before it calls anything else.
    template <packet Packet>
    place encode(const Packet& p, protocol_version version, measured length) {
        return length.simple ? encode_as<true>(p, version, length) : encode_as<false>(p, version, length);
    }
    template <bool Simple, packet Packet>
    TERN_INLINE place encode_as(const Packet& p, protocol_version version, measured length) {
        const std::size_t size = with_header(length);
        chunk& tail = chunk_with_room(size);
        const place at{tail_, static_cast<std::uint32_t>(tail.used), static_cast<std::uint32_t>(size)};
        write_as<Simple>(p, version, length.remaining_length, tail.data.get() + tail.used);
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
    TERN_INLINE void reserve() { segments_.reserve(1); }

    /// Puts a packet to the end of what is to be written; returns the position at which it ends.
    TERN_INLINE position queue(const place& at) {
        if (last_.end == at.offset && last_.chunk == at.chunk) [[likely]]
            last_.end += at.size;
        else
            begin_segment(at);
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

    /// The pieces that are to be written, one after the other. Valid until bytes are committed or dropped; more may
    /// be queued meanwhile.
    class pieces {
    public:
        class iterator {
        public:
            using value_type = std::string_view;
            using difference_type = std::ptrdiff_t;

            iterator() = default;
            iterator(const outbox& from, std::size_t index) noexcept : from_(&from), index_(index) {}
            std::string_view operator*() const noexcept { return from_->piece(index_); }
            iterator& operator++() noexcept {
                ++index_;
                return *this;
            }
            iterator operator++(int) noexcept { return {*from_, index_++}; }
            friend bool operator==(const iterator&, const iterator&) = default;

        private:
            const outbox* from_ = nullptr;
            std::size_t index_ = 0;
        };

        explicit pieces(const outbox& from) noexcept : from_(&from) {}
        bool empty() const noexcept { return from_->empty(); }
        std::string_view front() const noexcept { return from_->piece(0); }
        iterator begin() const noexcept { return {*from_, 0}; }
        iterator end() const noexcept { return {*from_, from_->segments_.size() + (empty() ? 0 : 1)}; }

    private:
        const outbox* from_;
    };
    pieces pending() const noexcept { return pieces(*this); }

    /// The first `count` bytes of what was pending have been written.
    void commit(std::size_t count) noexcept {
        written_ += count;
        while (count != 0) {
            segment& s = segments_.empty() ? last_ : segments_.front();
            const auto taken = static_cast<std::uint32_t>(std::min<std::size_t>(count, s.end - s.begin));
            s.begin += taken;
            count -= taken;
            if (s.begin != s.end) return;
            drop_user(s.chunk);
            if (&s == &last_)
                last_ = {};
            else
                segments_.drop_front();
        }
    }

    /// Forgets what has not been written: the connection is gone. Retained packets stay.
    void drop_pending() noexcept {
        while (!segments_.empty())
            drop_user(segments_.pop_front().chunk);
        if (!empty()) drop_user(last_.chunk);
        last_ = {};
        written_ = queued_;
    }

    /// Gives up the memory that is not in use.
    void trim() noexcept {
        while (spare_ != none) {
            const std::uint32_t index = take(spare_);
            give_up(chunks_[index]);
            put(index);
        }
        if (chunks_[tail_].users == 0) give_up(chunks_[tail_]);
    }

    bool empty() const noexcept { return last_.begin == last_.end; }
    std::uint64_t unwritten() const noexcept { return queued_ - written_; }
    std::size_t retained() const noexcept { return retained_; }
    /// The memory of all chunks. A small packet that stays can keep a large one.
    std::size_t allocated() const noexcept { return allocated_; }
    position queued() const noexcept { return queued_; }
    position written() const noexcept { return written_; }

private:
    static constexpr std::uint32_t none = 0xFFFF'FFFF; // no chunk
    static constexpr std::size_t smallest_chunk = 128;
    static constexpr std::size_t largest_chunk = 64 * 1024;          // but for a packet that is larger
    static constexpr std::uint32_t spare_chunks = 4;                 // of which the memory is kept,
    static constexpr std::size_t most_spare = std::size_t{4} << 20U; // if it is not more than this

    struct chunk {
        chunk() = default;
        chunk(chunk&&) noexcept = default;
        chunk& operator=(chunk&&) noexcept = default;
        chunk(const chunk& other)
            : capacity(other.capacity)
            , used(other.used)
            , users(other.users)
            , next(other.next) {
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
        std::uint32_t users = 0;   // segments and retained packets
        std::uint32_t next = none; // in a list
    };

    struct segment {
        std::uint32_t chunk = none;
        std::uint32_t begin = 0;
        std::uint32_t end = 0;
    };

    std::string_view piece(std::size_t index) const noexcept {
        const segment& s = index == segments_.size() ? last_ : segments_[index];
        return {chunks_[s.chunk].data.get() + s.begin, s.end - s.begin};
    }

    TERN_NOINLINE void begin_segment(const place& at) {
        if (!empty()) segments_.push_back(last_);
        last_ = {at.chunk, at.offset, at.offset + at.size};
        ++chunks_[at.chunk].users;
    }

    // The chunk at the end of the log, after making it one with room for `size` more bytes.
    TERN_INLINE chunk& chunk_with_room(std::size_t size) {
        if (chunks_[tail_].capacity - chunks_[tail_].used >= size) [[likely]]
            return chunks_[tail_];
        return another_chunk(size);
    }
    TERN_NOINLINE chunk& another_chunk(std::size_t size) {
        const std::size_t capacity = std::clamp(chunks_[tail_].capacity * 2, smallest_chunk, largest_chunk);
        if (chunks_[tail_].users != 0)
            tail_ = unused_chunk(size);
        else
            chunks_[tail_].used = 0; // there may be a packet in it that found no memory to be queued
        chunk& tail = chunks_[tail_];
        const std::size_t before = tail.capacity;
        tail.reserve(std::max(capacity, size));
        allocated_ += tail.capacity - before;
        return tail;
    }

    // If there is one, a chunk that has memory enough.
    std::uint32_t unused_chunk(std::size_t size) {
        for (std::uint32_t* i = &spare_; *i != none; i = &chunks_[*i].next)
            if (chunks_[*i].capacity >= size) return take(*i);
        if (bare_ != none) return take(bare_);
        if (spare_ != none) return take(spare_);
        chunks_.emplace_back();
        return static_cast<std::uint32_t>(chunks_.size() - 1);
    }
    // A list is the index of its first chunk, which knows the next one.
    std::uint32_t take(std::uint32_t& list) noexcept {
        const std::uint32_t taken = list;
        list = std::exchange(chunks_[taken].next, none);
        if (chunks_[taken].capacity != 0) {
            --spare_count_;
            spare_bytes_ -= chunks_[taken].capacity;
        }
        return taken;
    }
    void put(std::uint32_t index) noexcept {
        chunk& c = chunks_[index];
        c.next = std::exchange(c.capacity != 0 ? spare_ : bare_, index);
        if (c.capacity == 0) return;
        ++spare_count_;
        spare_bytes_ += c.capacity;
    }

    TERN_INLINE void drop_user(std::uint32_t index) noexcept {
        if (--chunks_[index].users == 0) [[unlikely]]
            free_chunk(index);
    }
    TERN_NOINLINE void free_chunk(std::uint32_t index) noexcept {
        chunk& c = chunks_[index];
        c.used = 0;
        if (index == tail_) {
            if (c.capacity > most_spare) give_up(c);
            return;
        }
        if (spare_count_ == spare_chunks || spare_bytes_ + c.capacity > most_spare) give_up(c);
        put(index);
    }
    void give_up(chunk& c) noexcept {
        allocated_ -= c.capacity;
        c = chunk{};
    }

    std::vector<chunk> chunks_ = std::vector<chunk>(1); // never empty: there is a tail
    std::uint32_t tail_ = 0;
    std::uint32_t spare_ = none; // unused chunks that keep their memory
    std::uint32_t bare_ = none;  // unused chunks without
    std::uint32_t spare_count_ = 0;
    std::size_t spare_bytes_ = 0;
    ring<segment> segments_; // but for the last one
    segment last_;           // empty if there is none
    std::size_t retained_ = 0;
    std::size_t allocated_ = 0;
    position queued_ = 0;
    position written_ = 0;
};

} // namespace tern::detail
