// Options that several TLS transports share, with the certificates and keys that were loaded for them.
#pragma once

#include "tern/transport/detail/tls_context.hpp"
#include "tern/transport/tls_options.hpp"

#include <memory>
#include <mutex>
#include <system_error>
#include <utility>

namespace tern {

/// A handle to shared options. Copies refer to the same options, and load certificates and keys only once. Give one to
/// each of many clients. All functions may be called in any thread.
///
/// Files are read at the first attempt to connect, so that a missing file is an error of that attempt. They are read
/// again at the first attempt after one of them has changed, so certificates are renewed without a restart. If that
/// fails, as when a file is only half written, what was loaded before is used, and the next attempt tries again.
class tls_context {
public:
    /// The default options. All such contexts of a process share what was loaded, which may be hundreds of authorities.
    tls_context() : shared_(defaults()) {}
    explicit tls_context(tls_options options)
        : shared_(std::make_shared<shared>(std::make_shared<const tls_options>(std::move(options)))) {}

    const tls_options& options() const noexcept { return *shared_->options; }

    /// What a new connection uses. Null with an error if it cannot be loaded.
    std::shared_ptr<const detail::tls_setup> load(std::error_code& error) const {
        const std::lock_guard lock(shared_->mutex);
        detail::tls_file_stamps stamps(*shared_->options);
        if (!shared_->setup || stamps != shared_->stamps) {
            const auto fresh = detail::make_tls_setup(shared_->options, error);
            if (fresh) {
                shared_->setup = fresh;
                shared_->stamps = stamps;
            } else if (shared_->setup) {
                error.clear();
            }
        }
        return shared_->setup;
    }

private:
    struct shared {
        explicit shared(std::shared_ptr<const tls_options> o) noexcept : options(std::move(o)) {}

        std::shared_ptr<const tls_options> options;
        std::mutex mutex;
        std::shared_ptr<const detail::tls_setup> setup; // null until the first attempt
        detail::tls_file_stamps stamps;                 // of the files that `setup` was made from
    };

    static const std::shared_ptr<shared>& defaults() {
        static const auto all = std::make_shared<shared>(std::make_shared<const tls_options>());
        return all;
    }

    std::shared_ptr<shared> shared_;
};

} // namespace tern
