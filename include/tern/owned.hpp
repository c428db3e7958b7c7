// Makes an owner of a view: a copy of everything that it points to, in a single block of memory.
#pragma once

#include "tern/property.hpp"
#include "tern/sequence.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

namespace tern {
namespace detail {

// Calls `visit` on every string and list that the properties borrow.
template <class Properties, class Visit, class... Field>
void visit_borrowed(Properties& properties, Visit& visit, field_list<Field...>) {
    (visit(properties.*Field::member), ...);
}

struct measure_borrowed {
    std::size_t size = 0;

    template <class T>
    void operator()(const T&) {}
    void operator()(const std::string_view& text) { size += text.size(); }
    void operator()(const std::optional<std::string_view>& text) {
        if (text) size += text->size();
    }
    template <class T, class Wire>
    void operator()(const sequence<T, Wire>& items) {
        for (const T& item : items)
            size += Wire::size(item);
    }
};

struct copy_borrowed {
    char* p;

    template <class T>
    void operator()(T&) {}
    void operator()(std::string_view& text) {
        text = {p, text.copy(p, text.size())};
        p += text.size();
    }
    void operator()(std::optional<std::string_view>& text) {
        if (text) (*this)(*text);
    }
    template <class T, class Wire>
    void operator()(sequence<T, Wire>& items) {
        const char* const begin = p;
        for (const T& item : items)
            Wire::put(p, item);
        items = sequence<T, Wire>::from_wire({begin, static_cast<std::size_t>(p - begin)});
    }
};

} // namespace detail

/// A `View` that owns what its members point to. Its members are read as the view's are.
///
/// `View::visit(view, f)` calls `f` on each of the view's strings, lists and property structs' members.
template <class View>
struct owned : View {
    owned() = default;
    explicit owned(const View& view) : View(view) { own(); }
    owned(const owned& other) : View(other) { own(); }
    owned(owned&& other) noexcept
        : View(std::exchange(other.view(), View{}))
        , block_(std::move(other.block_)) {}
    owned& operator=(const owned& other) { return *this = owned(other); }
    owned& operator=(owned&& other) noexcept {
        owned taken(std::move(other));
        view() = taken.view();
        block_.swap(taken.block_);
        return *this;
    }
    ~owned() = default;

    /// What is owned, as a view.
    View& view() noexcept { return *this; }
    const View& view() const noexcept { return *this; }

private:
    void own() {
        detail::measure_borrowed measured;
        View::visit(view(), measured);
        if (measured.size != 0) block_ = std::make_unique_for_overwrite<char[]>(measured.size);
        View::visit(view(), detail::copy_borrowed{block_.get()});
    }

    std::unique_ptr<char[]> block_;
};

} // namespace tern
