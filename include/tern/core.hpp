// Everything that does not need Asio: the vocabulary, the codec and the session.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/config.hpp"
#include "tern/endpoint.hpp"
#include "tern/error.hpp"
#include "tern/message.hpp"
#include "tern/payload.hpp"
#include "tern/reason_code.hpp"
#include "tern/session/event_text.hpp"
#include "tern/session/session.hpp"
#include "tern/topic.hpp"
#include "tern/topic_map.hpp"
#include "tern/types.hpp"
