// The outgoing log. Every outgoing packet is encoded here once, and the socket writes straight from here.
//
// Packets lie in chunks of memory. The bytes to be written are a queue of segments of those chunks. Packets that are
// appended one after the other share a segment: the last segment grows. A chunk stays in use as long as a segment or a
// retained packet (one that may have to be sent again) lies in it. Then it is reused.
//
// Positions count the bytes ever queued: a packet has been written when `written()` has reached the position of its
// end.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

namespace tern {
namespace detail {

/// Where a packet lies in the log.
struct packet_slice {
    std::uint32_t chunk = 0;
    std::uint32_t offset = 0;
    std::uint32_t size = 0;
};

class packet_log {
public:
    using position = std::uint64_t;

    /// Encodes a packet that `measure` has measured. The packet is neither queued nor retained: the caller does one of
    /// both before it calls another function of the log.
    template <packet Packet>
    packet_slice encode(const Packet& p, protocol_version version, measured length) {
        if constexpr (Packet::type == packet_type::publish) // the one that must be fast
            if (length.simple) return encode_as<true>(p, version, length);
        return encode_as<false>(p, version, length);
    }
    template <bool Simple, packet Packet>
    TERN_INLINE packet_slice encode_as(const Packet& p, protocol_version version, measured length) {
        const std::size_t size = with_header(length);
        chunk& tail = chunk_with_room(size);
        const packet_slice slice{tail_, static_cast<std::uint32_t>(tail.used), static_cast<std::uint32_t>(size)};
        write_as<Simple>(p, version, length.remaining_length, tail.data.get() + tail.used);
        tail.used += size;
        return slice;
    }

    /// Copies an encoded packet into the log; otherwise as `encode`.
    packet_slice copy(std::string_view encoded) {
        const packet_slice slice = make_room(encoded.size());
        encoded.copy(bytes(slice), encoded.size());
        return slice;
    }

    /// The packet's bytes, to be patched in place.
    char* bytes(const packet_slice& slice) noexcept { return chunks_[slice.chunk].data.get() + slice.offset; }
    std::string_view view(const packet_slice& slice) const noexcept {
        return {chunks_[slice.chunk].data.get() + slice.offset, slice.size};
    }

    /// Makes room: the next packet is queued without allocating.
    TERN_INLINE void reserve() { segments_.reserve(1); }

    /// Whether most of a retained packet's chunk may be used for something else.
    bool is_movable(const packet_slice& slice) const noexcept { return slice.size < chunks_[slice.chunk].capacity / 2; }
    /// Moves a retained packet to the end of the log. Bytes of it that are to be written stay where they are.
    packet_slice move(const packet_slice& slice) {
        const packet_slice moved = make_room(slice.size);
        std::copy_n(bytes(slice), slice.size, bytes(moved));
        retain(moved);
        release(slice);
        return moved;
    }

    /// Appends a packet to the bytes to be written. Returns the position of its end.
    TERN_INLINE position queue(const packet_slice& slice) {
        if (last_.end == slice.offset && last_.chunk == slice.chunk) [[likely]]
            last_.end += slice.size;
        else
            begin_segment(slice);
        return queued_ += slice.size;
    }

    void retain(const packet_slice& slice) noexcept {
        ++chunks_[slice.chunk].users;
        retained_ += slice.size;
    }
    void release(const packet_slice& slice) noexcept {
        retained_ -= slice.size;
        remove_user(slice.chunk);
    }

    /// The first `count` bytes to be written have been written.
    void commit(std::size_t count) noexcept {
        written_ += count;
        while (count != 0) {
            segment& s = segments_.empty() ? last_ : segments_.front();
            const auto taken = static_cast<std::uint32_t>(std::min<std::size_t>(count, s.end - s.begin));
            s.begin += taken;
            count -= taken;
            if (s.begin != s.end) return;
            remove_user(s.chunk);
            ++first_segment_;
            if (&s == &last_)
                last_ = {};
            else
                segments_.drop_front();
        }
    }

    /// Drops the bytes to be written, because the connection is lost. Retained packets stay.
    void drop_pending() noexcept {
        while (!segments_.empty())
            remove_user(segments_.pop_front().chunk);
        if (!empty()) remove_user(last_.chunk);
        last_ = {};
        written_ = queued_;
    }

    /// Frees the memory that is not in use.
    void trim() noexcept {
        while (spare_ != none) {
            const std::uint32_t index = take(spare_);
            free_memory(chunks_[index]);
            put(index);
        }
        if (chunks_[tail_].users == 0) free_memory(chunks_[tail_]);
        if (segments_.empty()) segments_.clear();
        if (retained_ == 0 && empty()) drop_chunks();
    }

    bool empty() const noexcept { return last_.begin == last_.end; }
    std::uint64_t unwritten() const noexcept { return queued_ - written_; }
    std::size_t retained() const noexcept { return retained_; }
    /// The memory of all chunks. A small packet that stays can keep a large chunk.
    std::size_t allocated() const noexcept { return allocated_; }
    /// The same without those that are ready to be used again.
    std::size_t in_chunks() const noexcept { return allocated_ - spare_bytes_; }
    position queued() const noexcept { return queued_; }
    position written() const noexcept { return written_; }

    /// The segments to be written have numbers, so that an iterator stays valid while bytes are committed.
    std::uint64_t first_segment() const noexcept { return first_segment_; }
    std::uint64_t end_segment() const noexcept { return first_segment_ + segments_.size() + (empty() ? 0U : 1U); }
    std::string_view segment_bytes(std::uint64_t number) const noexcept {
        const std::uint64_t index = number - first_segment_;
        const segment& s = index == segments_.size() ? last_ : segments_[static_cast<std::size_t>(index)];
        return {chunks_[s.chunk].data.get() + s.begin, s.end - s.begin};
    }

private:
    static constexpr std::uint32_t none = 0xFFFF'FFFF; // no chunk
    static constexpr std::size_t smallest_chunk = 128;
    static constexpr std::size_t largest_chunk = 64 * 1024; // unless a packet is larger
    static constexpr std::uint32_t most_spare_chunks = 4;   // that keep their memory
    static constexpr std::size_t most_spare_bytes = std::size_t{4} << 20U;

    struct chunk {
        chunk() = default;
        chunk(chunk&&) noexcept = default;
        chunk& operator=(chunk&&) noexcept = default;
        chunk(const chunk& other) : capacity(other.capacity), used(other.used), users(other.users), next(other.next) {
            if (capacity == 0) return;
            data = std::make_unique_for_overwrite<char[]>(capacity);
            std::copy_n(other.data.get(), used, data.get());
        }
        chunk& operator=(const chunk& other) { return *this = chunk(other); }
        ~chunk() = default;

        // Makes this an empty chunk of at least this size.
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

    // Room for a packet at the end.
    packet_slice make_room(std::size_t size) {
        chunk& tail = chunk_with_room(size);
        const packet_slice slice{tail_, static_cast<std::uint32_t>(tail.used), static_cast<std::uint32_t>(size)};
        tail.used += size;
        return slice;
    }

    // No chunk is in use, and none has memory. The first one stays.
    void drop_chunks() noexcept {
        if (chunks_.size() == 1) return;
        std::swap(chunks_[0], chunks_[tail_]);
        chunks_.resize(1);
        chunks_.shrink_to_fit();
        tail_ = 0;
        bare_ = none;
    }

    TERN_NOINLINE void begin_segment(const packet_slice& slice) {
        if (!empty()) segments_.push_back(last_);
        last_ = {slice.chunk, slice.offset, slice.offset + slice.size};
        ++chunks_[slice.chunk].users;
    }

    // The last chunk of the log, which has room for `size` more bytes afterwards.
    TERN_INLINE chunk& chunk_with_room(std::size_t size) {
        if (chunks_[tail_].capacity - chunks_[tail_].used >= size) [[likely]]
            return chunks_[tail_];
        return add_tail(size);
    }
    TERN_NOINLINE chunk& add_tail(std::size_t size) {
        const std::size_t capacity = std::clamp(chunks_[tail_].capacity * 2, smallest_chunk, largest_chunk);
        if (chunks_[tail_].users != 0)
            tail_ = unused_chunk(size);
        else
            chunks_[tail_].used = 0; // it may hold a packet whose queueing threw
        chunk& tail = chunks_[tail_];
        const std::size_t before = tail.capacity;
        tail.reserve((std::max)(capacity, size));
        allocated_ += tail.capacity - before;
        return tail;
    }

    // A chunk with enough memory, if there is one.
    std::uint32_t unused_chunk(std::size_t size) {
        for (std::uint32_t* i = &spare_; *i != none; i = &chunks_[*i].next)
            if (chunks_[*i].capacity >= size) return take(*i);
        if (bare_ != none) return take(bare_);
        if (spare_ != none) return take(spare_);
        chunks_.push_back({});
        return static_cast<std::uint32_t>(chunks_.size() - 1);
    }
    // A list is the index of its first chunk, and each chunk has the index of the next.
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

    TERN_INLINE void remove_user(std::uint32_t index) noexcept {
        if (--chunks_[index].users == 0) [[unlikely]]
            reuse_chunk(index);
    }
    TERN_NOINLINE void reuse_chunk(std::uint32_t index) noexcept {
        chunk& c = chunks_[index];
        c.used = 0;
        if (index == tail_) {
            if (c.capacity > most_spare_bytes) free_memory(c);
            return;
        }
        if (spare_count_ == most_spare_chunks || spare_bytes_ + c.capacity > most_spare_bytes) free_memory(c);
        put(index);
    }
    void free_memory(chunk& c) noexcept {
        allocated_ -= c.capacity;
        c = chunk{};
    }

    growing_array<chunk> chunks_ = growing_array<chunk>(1); // never empty: there is always a tail
    std::uint32_t tail_ = 0;
    std::uint32_t spare_ = none; // unused chunks that keep their memory
    std::uint32_t bare_ = none;  // unused chunks without memory
    std::uint32_t spare_count_ = 0;
    std::size_t spare_bytes_ = 0;
    ring<segment> segments_; // all but the last
    segment last_;           // empty: there is nothing to be written
    std::uint64_t first_segment_ = 0;
    std::size_t retained_ = 0;
    std::size_t allocated_ = 0;
    position queued_ = 0;
    position written_ = 0;
};

} // namespace detail

/// The bytes that a session has to write: a forward range of `std::string_view`, one for each piece of memory.
///
/// The pieces stay valid until they are committed or the connection ends, and so do iterators: a loop may write and
/// commit piece by piece. Packets that are queued meanwhile may be missing from the range.
class pending_bytes {
public:
    class iterator {
    public:
        using value_type = std::string_view;
        using difference_type = std::ptrdiff_t;

        iterator() = default;
        std::string_view operator*() const noexcept { return log_->segment_bytes(number_); }
        iterator& operator++() noexcept {
            ++number_;
            return *this;
        }
        iterator operator++(int) noexcept { return {*log_, number_++}; }
        friend bool operator==(const iterator&, const iterator&) = default;

    private:
        friend class pending_bytes;
        iterator(const detail::packet_log& log, std::uint64_t number) noexcept : log_(&log), number_(number) {}

        const detail::packet_log* log_ = nullptr;
        std::uint64_t number_ = 0;
    };

    explicit pending_bytes(const detail::packet_log& log) noexcept : log_(&log) {}
    bool empty() const noexcept { return log_->empty(); }
    std::string_view front() const noexcept { return log_->segment_bytes(log_->first_segment()); }
    iterator begin() const noexcept { return {*log_, log_->first_segment()}; }
    iterator end() const noexcept { return {*log_, log_->end_segment()}; }

private:
    const detail::packet_log* log_;
};

} // namespace tern
