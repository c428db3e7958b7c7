// SCRAM-SHA-256 [RFC 5802, RFC 7677] with OpenSSL, both sides, without channel binding. User names and passwords are
// ASCII here: others would have to be prepared first [RFC 4013].
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace example::scram {

inline constexpr std::string_view method = "SCRAM-SHA-256";
using digest = std::array<unsigned char, 32>;

inline const unsigned char* bytes_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}
inline std::string_view text_of(const digest& d) {
    return {reinterpret_cast<const char*>(d.data()), d.size()};
}
inline void check(bool succeeded, const char* what) {
    if (!succeeded) throw std::runtime_error(what);
}

inline digest hmac(std::string_view key, std::string_view text) {
    digest result{};
    check(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(text), text.size(), result.data(),
               nullptr) != nullptr,
          "HMAC failed");
    return result;
}
inline digest hash(std::string_view text) {
    digest result{};
    check(EVP_Digest(text.data(), text.size(), result.data(), nullptr, EVP_sha256(), nullptr) == 1, "SHA-256 failed");
    return result;
}
inline digest salted_password(std::string_view password, std::string_view salt, int iterations) {
    digest result{};
    check(PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), bytes_of(salt),
                            static_cast<int>(salt.size()), iterations, EVP_sha256(), static_cast<int>(result.size()),
                            result.data()) == 1,
          "PBKDF2 failed");
    return result;
}
inline digest combined(digest a, const digest& b) {
    for (std::size_t i = 0; i != a.size(); ++i)
        a[i] ^= b[i];
    return a;
}
// In constant time, so that the time says nothing about the first difference.
inline bool is_equal(std::string_view a, std::string_view b) {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

inline std::string to_base64(std::string_view from) {
    std::string result((from.size() + 2) / 3 * 4 + 1, '\0');
    const int size =
        EVP_EncodeBlock(reinterpret_cast<unsigned char*>(result.data()), bytes_of(from), static_cast<int>(from.size()));
    result.resize(static_cast<std::size_t>(size));
    return result;
}
inline std::string from_base64(std::string_view from) {
    check(!from.empty() && from.size() % 4 == 0 && from.size() < 1'000, "this is not base64");
    std::string result(from.size() / 4 * 3, '\0');
    const int size =
        EVP_DecodeBlock(reinterpret_cast<unsigned char*>(result.data()), bytes_of(from), static_cast<int>(from.size()));
    check(size >= 0, "this is not base64");
    const std::size_t padding = from.ends_with("==") ? 2 : from.ends_with('=') ? 1 : 0;
    result.resize(result.size() - padding);
    return result;
}
inline std::string random_nonce() {
    std::array<unsigned char, 18> random{};
    check(RAND_bytes(random.data(), static_cast<int>(random.size())) == 1, "no randomness");
    return to_base64({reinterpret_cast<const char*>(random.data()), random.size()});
}

// The next attribute of a message, which must have this name.
inline std::string_view take(std::string_view& message, char name) {
    check(message.size() >= 2 && message[0] == name && message[1] == '=', "an attribute is missing");
    const std::size_t end = (std::min)(message.find(','), message.size());
    const std::string_view value = message.substr(2, end - 2);
    message.remove_prefix((std::min)(end + 1, message.size()));
    return value;
}
inline std::string escaped(std::string_view name) {
    std::string result;
    for (const char c : name)
        result += c == '=' ? std::string("=3D") : c == ',' ? std::string("=2C") : std::string(1, c);
    return result;
}

// The keys of a password [RFC 5802 §3]. A server stores these two instead of the password.
struct server_keys {
    digest stored_key;
    digest server_key;
};
inline server_keys keys_of(const digest& salted) {
    return {hash(text_of(hmac(text_of(salted), "Client Key"))), hmac(text_of(salted), "Server Key")};
}

// The client's side of one exchange. Each function throws if the server's message is not acceptable.
class client {
public:
    client(std::string_view user, std::string password, std::string nonce = random_nonce())
        : password_(std::move(password))
        , nonce_(std::move(nonce))
        , first_("n=" + escaped(user) + ",r=" + nonce_) {}

    std::string first_message() const { return "n,," + first_; }

    std::string final_message(std::string_view server_first) {
        std::string_view rest = server_first;
        const std::string_view nonce = take(rest, 'r');
        const std::string salt = from_base64(take(rest, 's'));
        const std::string_view count = take(rest, 'i');
        int iterations = 0;
        const auto [end, error] = std::from_chars(count.data(), count.data() + count.size(), iterations);
        check(nonce.starts_with(nonce_) && nonce.size() > nonce_.size(), "the nonce is not an answer to ours");
        check(error == std::errc{} && end == count.data() + count.size(), "the number of iterations is not a number");
        // Fewer make the password easy to guess, and a server must not keep us busy.
        check(iterations >= 4'096 && iterations <= 1'000'000, "the number of iterations is out of range");
        const digest salted = salted_password(password_, salt, iterations);
        const std::string without_proof = "c=biws,r=" + std::string(nonce);
        const std::string message = first_ + "," + std::string(server_first) + "," + without_proof;
        const server_keys keys = keys_of(salted);
        const digest proof = combined(hmac(text_of(salted), "Client Key"), hmac(text_of(keys.stored_key), message));
        expected_ = "v=" + to_base64(text_of(hmac(text_of(keys.server_key), message)));
        return without_proof + ",p=" + to_base64(text_of(proof));
    }

    // Whether the server knows the password, too.
    bool accepts(std::string_view server_final) const {
        return !expected_.empty() && is_equal(server_final, expected_);
    }

private:
    std::string password_;
    std::string nonce_;
    std::string first_;
    std::string expected_;
};

// The server's side of one exchange, for one user.
class server {
public:
    server(std::string_view user, std::string_view password)
        : user_(escaped(user))
        , salt_(random_nonce())
        , keys_(keys_of(salted_password(password, salt_, iterations))) {}

    std::string first_message(std::string_view client_first) {
        check(client_first.starts_with("n,,"), "channel binding is not supported");
        client_first_ = client_first.substr(3);
        std::string_view rest = client_first_;
        is_known_ = take(rest, 'n') == user_;
        nonce_ = std::string(take(rest, 'r')) + random_nonce();
        server_first_ = "r=" + nonce_ + ",s=" + to_base64(salt_) + ",i=" + std::to_string(iterations);
        return server_first_;
    }

    // Nothing if the client does not know the password.
    std::optional<std::string> final_message(std::string_view client_final) const {
        std::string_view rest = client_final;
        const bool is_bound = take(rest, 'c') == "biws";
        const bool has_nonce = take(rest, 'r') == nonce_;
        const std::string proof = from_base64(take(rest, 'p'));
        check(proof.size() == digest{}.size(), "the proof has another size");
        const std::string_view without_proof = client_final.substr(0, client_final.rfind(",p="));
        const std::string message = client_first_ + "," + server_first_ + "," + std::string(without_proof);
        digest key{};
        std::copy(proof.begin(), proof.end(), key.begin());
        key = combined(key, hmac(text_of(keys_.stored_key), message));
        const bool is_right = is_equal(text_of(hash(text_of(key))), text_of(keys_.stored_key));
        if (!is_known_ || !is_bound || !has_nonce || !is_right) return std::nullopt;
        return "v=" + to_base64(text_of(hmac(text_of(keys_.server_key), message)));
    }

private:
    static constexpr int iterations = 4'096;

    std::string user_;
    std::string salt_;
    server_keys keys_;
    std::string client_first_;
    std::string server_first_;
    std::string nonce_;
    bool is_known_ = false;
};

} // namespace example::scram
