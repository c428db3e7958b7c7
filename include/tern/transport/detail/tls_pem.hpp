// Reading objects in PEM format from files and memory.
#pragma once

#include "tern/transport/detail/tls_openssl.hpp"
#include "tern/transport/tls_error.hpp"

#include <climits>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

namespace tern::detail {

/// The result of `read_pem_objects`.
struct pem_count {
    tls_errc error = tls_errc::none;
    std::size_t objects = 0;
};

/// Reads a whole file. Returns whether that succeeded.
inline bool read_whole_file(const std::filesystem::path& file, std::string& content) {
    std::error_code failure;
    if (std::filesystem::is_directory(file, failure)) return false;
    std::ifstream in(file, std::ios::binary);
    if (!in) return false;
    char block[4096];
    while (in.read(block, sizeof(block)) || in.gcount() != 0) {
        content.append(block, static_cast<std::size_t>(in.gcount()));
        if (content.size() > INT_MAX) return false;
    }
    OPENSSL_cleanse(block, sizeof(block)); // the file may contain a key
    return in.eof();
}

// Never asks on the terminal, as OpenSSL does without a callback.
inline int refuse_password(char*, int, int, void*) {
    return -1;
}

/// Reads all objects of one kind from a text and passes each to `use`, which returns an error. Text between the objects
/// is allowed, other objects are skipped.
///
/// `read` is a function of OpenSSL such as PEM_read_bio_X509. `malformed` is the error if an object cannot be decoded.
template <class Pointer, class Read, class Use>
pem_count read_pem_objects(std::string_view pem, Read read, tls_errc malformed, Use use) {
    pem_count result;
    const bio_ptr bio = make_bio(pem);
    while (result.error == tls_errc::none) {
        const error_queue_scope errors;
        Pointer object(read(bio.get(), nullptr, &refuse_password, nullptr));
        if (!object) {
            const unsigned long error = ERR_peek_last_error();
            const bool is_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
            if (!is_end) result.error = reason_of_failure(malformed);
            return result;
        }
        ++result.objects;
        result.error = use(std::move(object));
    }
    return result;
}

} // namespace tern::detail
