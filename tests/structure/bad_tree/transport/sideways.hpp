#include "tern/codec/packet.hpp"

#include <asio/ip/tcp.hpp>

#include <openssl/ssl.h>
