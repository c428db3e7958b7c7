// The parts of packet structs that are not plain values: lists that a packet borrows, either from the
// caller's array or from the bytes of a received packet, and the list of a property struct's members.
#pragma once

#include "tern/detail/inline.hpp"

#include <concepts>
#include <cstddef>
#include <iterator>
#include <span>
#include <string_view>

namespace tern {

/// A view of a list of `T`. It refers to a contiguous range of `T`, or to encoded items in a received packet,
/// which it decodes during iteration. Trivially destructible; owns nothing.
///
/// `Wire` encodes and decodes one item: `next(p, end, item)` reads one, `size(item)` and `put(p, item)` write
/// one.
template <class T, class Wire>
class sequence {
public:
    class iterator {
    public:
        using value_type = T;
        using difference_type = std::ptrdiff_t;

        constexpr iterator() = default;
        constexpr const T& operator*() const noexcept { return encoded_ ? value_ : *item_; }
        constexpr const T* operator->() const noexcept { return &**this; }
        constexpr iterator& operator++() noexcept {
            if (encoded_)
                at_end_ = !Wire::next(next_, end_, value_);
            else
                at_end_ = ++item_ == items_end_;
            return *this;
        }
        constexpr iterator operator++(int) noexcept {
            iterator before = *this;
            ++*this;
            return before;
        }
        friend constexpr bool operator==(const iterator& i, std::default_sentinel_t) noexcept { return i.at_end_; }

    private:
        friend class sequence;
        const T* item_ = nullptr;
        const T* items_end_ = nullptr;
        const char* next_ = nullptr;
        const char* end_ = nullptr;
        T value_{};
        bool encoded_ = false;
        bool at_end_ = true;
    };

    constexpr sequence() = default;

    /// Borrows a contiguous range, such as an array or a vector, which must outlive the view.
    template <class Range>
        requires(!std::same_as<Range, sequence> && std::convertible_to<const Range&, std::span<const T>>)
    constexpr sequence(const Range& range) noexcept { // NOLINT(google-explicit-constructor)
        const std::span<const T> items = range;
        items_ = items.data();
        size_ = items.size();
    }

    /// Borrows encoded items, which must be well-formed.
    static constexpr sequence from_wire(std::string_view bytes) noexcept {
        sequence result;
        result.bytes_ = bytes.data();
        result.size_ = bytes.size();
        result.encoded_ = true;
        return result;
    }

    constexpr iterator begin() const noexcept {
        iterator i;
        if (size_ == 0) return i;
        if (encoded_) {
            i.encoded_ = true;
            i.next_ = bytes_;
            i.end_ = bytes_ + size_;
            i.at_end_ = !Wire::next(i.next_, i.end_, i.value_);
        } else {
            i.item_ = items_;
            i.items_end_ = items_ + size_;
            i.at_end_ = false;
        }
        return i;
    }
    constexpr std::default_sentinel_t end() const noexcept { return {}; }

    /// Returns the result of `state = f(state, item)` for each item in turn, a little faster than iterators
    /// do. The state is a value, so that it can stay in a register.
    template <class State, class F>
    TERN_INLINE constexpr State fold(State state, F f) const {
        if (encoded_) return fold_encoded(state, f);
        const T* item = items_;
        for (std::size_t left = size_; left != 0; --left)
            state = f(state, *item++);
        return state;
    }

    constexpr bool empty() const noexcept { return size_ == 0 || begin() == end(); }

    /// The number of items, or of encoded bytes. 0 means `empty()`, at the cost of one comparison.
    constexpr std::size_t extent() const noexcept { return size_; }

    /// The number of items; linear for a received list.
    constexpr std::size_t size() const noexcept {
        if (!encoded_) return size_;
        std::size_t count = 0;
        for (auto i = begin(); i != end(); ++i)
            ++count;
        return count;
    }

    constexpr T front() const noexcept { return *begin(); }

    /// The item at `index`, which must be below `size()`; linear for a received list.
    constexpr T operator[](std::size_t index) const noexcept {
        auto i = begin();
        while (index-- != 0)
            ++i;
        return *i;
    }

    friend constexpr bool operator==(const sequence& a, const sequence& b) noexcept {
        auto i = a.begin();
        auto j = b.begin();
        for (; i != a.end() && j != b.end(); ++i, ++j)
            if (!(*i == *j)) return false;
        return i == a.end() && j == b.end();
    }

private:
    template <class State, class F>
    TERN_NOINLINE constexpr State fold_encoded(State state, F f) const {
        T item{};
        for (const char *next = bytes_, *const end = next + size_; Wire::next(next, end, item);)
            state = f(state, item);
        return state;
    }

    union {
        const T* items_ = nullptr;
        const char* bytes_;
    };
    std::size_t size_ = 0; // items, or bytes
    bool encoded_ = false; // instead of a pointer: with UBSan, comparing one is no constant expression
};

namespace detail {

/// The members of a property struct, each as a `field` of its identifier.
template <class... Field>
struct field_list {};

constexpr bool is_set(const auto& optional) noexcept {
    return optional.has_value();
}
template <class T, class Wire>
constexpr bool is_set(const sequence<T, Wire>& items) noexcept {
    return items.extent() != 0;
}

template <class Properties, class... Field>
constexpr bool any_set(const Properties& properties, field_list<Field...>) noexcept {
    return (static_cast<unsigned>(is_set(properties.*Field::member)) | ...) != 0; // one branch, not one for each
}

/// Whether no member has been assigned, as in most packets. Absent properties cost next to nothing.
template <class Properties>
constexpr bool is_unset(const Properties& properties) noexcept {
    return !any_set(properties, typename Properties::fields{});
}

constexpr bool is_present(const auto& optional) {
    return optional.has_value();
}
template <class T, class Wire>
constexpr bool is_present(const sequence<T, Wire>& items) {
    return !items.empty();
}

template <class Properties, class... Field>
constexpr bool any_present(const Properties& properties, field_list<Field...>) {
    return (is_present(properties.*Field::member) || ...);
}

/// Whether the struct holds no property. A list that is set may be empty: its bytes may hold other properties.
template <class Properties>
constexpr bool is_empty(const Properties& properties) noexcept {
    return is_unset(properties) || !any_present(properties, typename Properties::fields{});
}

// Calls `visit` on every member of the properties.
template <class Properties, class Visit, class... Field>
TERN_COLD void visit_borrowed(Properties& properties, Visit& visit, field_list<Field...>) {
    (visit(properties.*Field::member), ...);
}

} // namespace detail
} // namespace tern
