// Host names for the tests. Replacing `getaddrinfo` is the only way to make the resolver slow, or to make it return
// several addresses, that works on every machine. Only one file of a test may include this header.
#pragma once

#include <atomic>
#include <mutex>
#include <string_view>

#if defined(__linux__)
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>

namespace test_names {

inline std::mutex slow; // "slow.test" and names that end with it do not resolve while it is locked
inline std::atomic<int> slow_lookups = 0;
inline const char* first_address = "127.0.0.99"; // the first of "several.test"; the second is 127.0.0.1

} // namespace test_names

extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints, addrinfo** result) {
    using function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
    static const auto next = reinterpret_cast<function>(dlsym(RTLD_NEXT, "getaddrinfo"));
    const std::string_view text = name ? name : "";
    if (text.ends_with("slow.test")) {
        ++test_names::slow_lookups;
        const std::lock_guard lock(test_names::slow);
        return next("127.0.0.1", service, hints, result);
    }
    if (text == "unknown.test") return EAI_NONAME;
    if (text == "several.test") {
        addrinfo* second = nullptr;
        if (const int error = next("127.0.0.1", service, hints, &second)) return error;
        if (const int error = next(test_names::first_address, service, hints, result)) return error;
        addrinfo* last = *result;
        while (last->ai_next)
            last = last->ai_next;
        last->ai_next = second;
        return 0;
    }
    return next(name, service, hints, result);
}
#endif
