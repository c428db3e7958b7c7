// Any of the fifteen packets, by name only: the decoders are in `codec/packet.hpp`.
#pragma once

#include "tern/types.hpp"

#include <variant>

namespace tern {

struct connect;
struct connack;
struct publish;
struct subscribe;
struct unsubscribe;
struct pingreq;
struct pingresp;
struct disconnect;
struct auth;
template <packet_type Type>
struct publish_ack;
template <packet_type Type>
struct filter_ack;

/// Any packet. The order is that of the packet types.
using any_packet = std::variant<connect, connack, publish, publish_ack<packet_type::puback>,
                                publish_ack<packet_type::pubrec>, publish_ack<packet_type::pubrel>,
                                publish_ack<packet_type::pubcomp>, subscribe, filter_ack<packet_type::suback>,
                                unsubscribe, filter_ack<packet_type::unsuback>, pingreq, pingresp, disconnect, auth>;

} // namespace tern
