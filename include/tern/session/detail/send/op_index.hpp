// Finds operations by their ids: a hash table that is allocated when the first operation is cancelled among many.
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/event.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace tern::detail {

/// Maps the ids of operations to numbers. Nothing is removed: an entry whose operation has ended is wrong, and the
/// caller checks what it finds.
class op_index {
public:
    /// Among so few items a search needs no index.
    static constexpr std::size_t few = 32;

    op_index() = default;
    op_index(op_index&& other) noexcept { swap(other); }
    op_index& operator=(op_index&& other) noexcept {
        swap(other);
        return *this;
    }
    op_index(const op_index& other) : used_(other.used_), begin_(other.begin_), end_(other.end_) {
        if (other.size_ == 0) return;
        slots_ = new entry[other.size_];
        size_ = other.size_;
        std::copy_n(other.slots_, size_, slots_);
    }
    op_index& operator=(const op_index& other) { return *this = op_index(other); }
    ~op_index() { delete[] slots_; }

    std::size_t size() const noexcept { return used_; }
    void clear() noexcept {
        op_index empty;
        swap(empty);
    }

    /// Makes room for another `count` entries. False if allocation fails.
    TERN_COLD bool reserve(std::size_t count) noexcept { return (used_ + count) * 2 <= size_ || grow(count); }
    /// There must be room.
    TERN_COLD void set(op_id op, std::uint64_t number) noexcept {
        if (op == op_id::none) return;
        entry& e = slot_of(op);
        if (e.op == op_id::none) ++used_;
        e = {op, number};
    }
    TERN_COLD const std::uint64_t* find(op_id op) const noexcept {
        if (size_ == 0) return nullptr;
        const entry& e = slot_of(op);
        return e.op == op ? &e.number : nullptr;
    }

    /// Finds the item of an operation in a ring. The numbers of items increase from the front to the back, and an item
    /// that is added gets a number that is new at its end. Only what was added since the last call enters the index, so
    /// that finding all operations takes linear time. `Number` returns the number of an item, and has no state.
    template <class Item, class Number>
    TERN_COLD Item* find(ring<Item>& items, op_id op, Number) noexcept {
        const auto at = [](const void* queue, std::size_t index) noexcept -> entry {
            const Item& item = (*static_cast<const ring<Item>*>(queue))[index];
            return {item.op, Number{}(item)};
        };
        const std::size_t index = find(item_list{&items, items.size(), at}, op);
        return index != items.size() ? &items[index] : nullptr;
    }

private:
    struct entry {
        op_id op = op_id::none;
        std::uint64_t number = 0;
    };

    // The items of a ring, whatever their type is.
    struct item_list {
        const void* queue;
        std::size_t size;
        entry (*at)(const void* queue, std::size_t index) noexcept;

        op_id op(std::size_t index) const noexcept { return at(queue, index).op; }
        std::uint64_t number(std::size_t index) const noexcept { return at(queue, index).number; }
    };

    void swap(op_index& other) noexcept {
        std::swap(slots_, other.slots_);
        std::swap(size_, other.size_);
        std::swap(used_, other.used_);
        std::swap(begin_, other.begin_);
        std::swap(end_, other.end_);
    }

    // The slot that has the operation, or the free one that gets it. At least half of the slots are free.
    entry& slot_of(op_id op) const noexcept {
        std::size_t i = static_cast<std::uint32_t>(static_cast<std::uint64_t>(op) * 0x9E37'79B9'7F4A'7C15U >> 32U);
        for (;; ++i) {
            entry& e = slots_[i & (size_ - 1)];
            if (e.op == op || e.op == op_id::none) return e;
        }
    }

    TERN_COLD bool grow(std::size_t count) noexcept {
        op_index larger;
        larger.size_ = 64;
        while ((used_ + count) * 2 > larger.size_)
            larger.size_ *= 2;
        larger.slots_ = new (std::nothrow) entry[larger.size_];
        if (!larger.slots_) return false;
        for (std::size_t i = 0; i != size_; ++i)
            larger.set(slots_[i].op, slots_[i].number);
        std::swap(slots_, larger.slots_);
        std::swap(size_, larger.size_);
        return true;
    }

    // Returns the index of the item; the size of the list: there is none.
    TERN_COLD std::size_t find(const item_list& items, op_id op) noexcept {
        if (items.size > few && update(items)) {
            const std::uint64_t* const found = find(op);
            const std::size_t index = found ? index_of(items, *found) : items.size;
            return index != items.size && items.op(index) == op ? index : items.size;
        }
        std::size_t index = 0;
        while (index != items.size && items.op(index) != op)
            ++index;
        return index;
    }

    // Adds the items before and behind those that are in the index.
    TERN_COLD bool update(const item_list& items) noexcept {
        if (used_ > 2 * items.size + few) clear(); // most of it is about items that are gone
        std::size_t front = 0, back = items.size;
        while (front != back && items.number(front) < begin_)
            ++front;
        while (back != front && items.number(back - 1) >= end_)
            --back;
        if (!reserve(front + items.size - back)) return false;
        for (std::size_t i = 0; i != front; ++i)
            set(items.op(i), items.number(i));
        for (std::size_t i = back; i != items.size; ++i)
            set(items.op(i), items.number(i));
        begin_ = items.number(0);
        end_ = items.number(items.size - 1) + 1;
        return true;
    }

    TERN_COLD static std::size_t index_of(const item_list& items, std::uint64_t wanted) noexcept {
        std::size_t first = 0, count = items.size;
        while (count != 0) {
            const std::size_t half = count / 2;
            if (items.number(first + half) < wanted) {
                first += half + 1;
                count -= half + 1;
            } else {
                count = half;
            }
        }
        return first != items.size && items.number(first) == wanted ? first : items.size;
    }

    entry* slots_ = nullptr;
    std::size_t size_ = 0; // of the table: a power of two, or 0
    std::size_t used_ = 0;
    std::uint64_t begin_ = 0; // the numbers of the items that are in the index
    std::uint64_t end_ = 0;
};

} // namespace tern::detail
