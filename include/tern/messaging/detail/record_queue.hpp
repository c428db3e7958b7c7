// The calls of other threads that wait for the strand of a client, in their order: messages, and requests.
//
// Records lie in chunks. Producers append to the last chunk, and the strand takes all chunks at once, reads them
// without a lock, and gives them back to be reused. The owner's mutex orders these calls; `record_reader` needs none.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/message.hpp"
#include "tern/session/options.hpp"
#include "tern/types.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

namespace tern::detail {

/// A piece of memory for records, which follow it.
struct record_chunk {
    record_chunk* next = nullptr;
    std::size_t capacity = 0;
    std::size_t used = 0;

    char* bytes() noexcept { return reinterpret_cast<char*>(this + 1); }
    bool has_room(std::size_t size) const noexcept { return capacity - used >= size; }

    static record_chunk* make(std::size_t capacity) {
        return ::new (::operator new(sizeof(record_chunk) + capacity)) record_chunk{.capacity = capacity};
    }
    static void free(record_chunk* chunk) noexcept { ::operator delete(chunk); }
};

/// Chunks in the order of their records. It owns them.
class record_chunks {
public:
    record_chunks() = default;
    record_chunks(record_chunks&& other) noexcept
        : first_(std::exchange(other.first_, nullptr))
        , last_(std::exchange(other.last_, nullptr)) {}
    record_chunks& operator=(record_chunks&& other) noexcept {
        std::swap(first_, other.first_);
        std::swap(last_, other.last_);
        return *this;
    }
    record_chunks(const record_chunks&) = delete;
    record_chunks& operator=(const record_chunks&) = delete;
    ~record_chunks() {
        while (!empty())
            record_chunk::free(pop_front());
    }

    bool empty() const noexcept { return first_ == nullptr; }
    record_chunk& front() noexcept { return *first_; }
    record_chunk& back() noexcept { return *last_; }

    void push_back(record_chunk* chunk) noexcept {
        chunk->next = nullptr;
        (empty() ? first_ : last_->next) = chunk;
        last_ = chunk;
    }
    record_chunk* pop_front() noexcept { return std::exchange(first_, first_->next); }

private:
    record_chunk* first_ = nullptr;
    record_chunk* last_ = nullptr; // valid unless it is empty
};

/// A message, a request, or both: then the request waits for the end of the message. The texts follow it.
template <class Request>
struct queued_record {
    Request* request = nullptr;
    publish_options options = {};
    std::uint32_t payload_bytes = 0;
    std::uint16_t topic_bytes = 0;
    tern::qos qos = tern::qos::at_most_once;
    bool retain = false;

    char* text() noexcept { return reinterpret_cast<char*>(this + 1); }
    std::string_view topic() noexcept { return {text(), topic_bytes}; }
    std::string_view payload() noexcept { return {text() + topic_bytes, payload_bytes}; }
    /// The size of the record with its texts, so that the next one is aligned.
    std::size_t size() const noexcept { return size_with(std::size_t{topic_bytes} + payload_bytes); }
    static constexpr std::size_t size_with(std::size_t text_bytes) noexcept {
        constexpr std::size_t step = alignof(queued_record);
        return (sizeof(queued_record) + text_bytes + step - 1) / step * step;
    }
};

/// The end of the queue that producers use.
template <class Request>
class record_queue {
public:
    using record = queued_record<Request>;
    static_assert(sizeof(record_chunk) % alignof(record) == 0);

    bool empty() const noexcept { return waiting_.empty(); }

    /// Makes room: the next record with so many bytes of text is appended without allocating.
    TERN_INLINE void reserve(std::size_t text_bytes) {
        const std::size_t size = record::size_with(text_bytes);
        if (waiting_.empty() || !waiting_.back().has_room(size)) [[unlikely]]
            add_chunk(size);
    }
    /// Appends a message without properties, with the request that waits for its end.
    TERN_INLINE void append(const message_view& m, const publish_options& options, Request* request) noexcept {
        record& r = next({.request = request,
                          .options = options,
                          .payload_bytes = static_cast<std::uint32_t>(m.payload.size()),
                          .topic_bytes = static_cast<std::uint16_t>(m.topic.size()),
                          .qos = m.qos,
                          .retain = m.retain});
        m.topic.copy(r.text(), m.topic.size());
        m.payload.copy(r.text() + r.topic_bytes, m.payload.size());
    }
    /// Appends a request.
    void append(Request* request) noexcept { next({.request = request}); }

    /// Takes all records.
    record_chunks take() noexcept { return std::move(waiting_); }
    /// Reuses chunks whose records have been read.
    void reuse(record_chunks&& chunks) noexcept {
        while (!chunks.empty()) {
            record_chunk* const chunk = chunks.pop_front();
            if (chunk->capacity != chunk_bytes) {
                record_chunk::free(chunk);
                continue;
            }
            chunk->used = 0;
            free_.push_back(chunk);
        }
    }
    /// Frees the chunks that a burst has needed.
    void trim() noexcept {
        record_chunks rest = std::move(free_);
        free_ = record_chunks();
        for (int kept = 0; kept != 2 && !rest.empty(); ++kept)
            free_.push_back(rest.pop_front());
    }

private:
    static constexpr std::size_t chunk_bytes = 32 * std::size_t{1024} - sizeof(record_chunk);

    TERN_NOINLINE void add_chunk(std::size_t size) {
        const bool reuses = size <= chunk_bytes && !free_.empty();
        waiting_.push_back(reuses ? free_.pop_front() : record_chunk::make((std::max)(size, chunk_bytes)));
    }
    TERN_INLINE record& next(const record& r) noexcept {
        record_chunk& chunk = waiting_.back();
        record* const made = ::new (static_cast<void*>(chunk.bytes() + chunk.used)) record(r);
        chunk.used += made->size();
        return *made;
    }

    record_chunks waiting_;
    record_chunks free_;
};

/// Reads the records of chunks that were taken from a queue.
template <class Request>
class record_reader {
public:
    using record = queued_record<Request>;

    bool empty() const noexcept { return chunks_.empty(); }
    void assign(record_chunks&& chunks) noexcept { chunks_ = std::move(chunks); }

    /// Returns the next record, or null. It is valid until `take_read`.
    TERN_INLINE record* next() noexcept {
        for (; !chunks_.empty(); position_ = 0) {
            record_chunk& chunk = chunks_.front();
            if (position_ != chunk.used) [[likely]] {
                void* const place = chunk.bytes() + position_; // aligned, as each size is
                auto* const r = std::launder(static_cast<record*>(place));
                position_ += r->size();
                return r;
            }
            read_.push_back(chunks_.pop_front());
        }
        return nullptr;
    }
    /// Takes the chunks of which all records were read.
    record_chunks take_read() noexcept { return std::move(read_); }

private:
    record_chunks chunks_;
    record_chunks read_;
    std::size_t position_ = 0; // in the first chunk
};

} // namespace tern::detail
