// The outcome of an operation.
#pragma once

#include "catch.hpp"

#include <cstddef>
#include <system_error>

struct outcome {
    bool done = false;
    std::error_code error = {};
    std::size_t size = 0;

    auto operator*() {
        return [this](std::error_code e, std::size_t n = 0) {
            CHECK_FALSE(done);
            done = true;
            error = e;
            size = n;
        };
    }
};
