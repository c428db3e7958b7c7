// Views of results that have no name. dangling_views.cmake compiles this, once for each macro, and expects the compiler
// to refuse it: such a view would outlive what it borrows from.
#include "tern/client/connect_result.hpp"
#include "tern/client/received_message.hpp"
#include "tern/message.hpp"
#include "tern/session/event.hpp"

#include <utility>

tern::message make_message();
tern::received_message receive();
tern::acknowledgement subscribe();
tern::connect_result connect();
tern::connection_event next_event();

void test(const tern::message& named) {
    // Objects that have a name give their views, and a received message is a message.
    const tern::received_message received = receive();
    const tern::message_view received_view = received.view();
    const tern::message copy = received;
    const tern::message moved = receive();
    const tern::acknowledgement answer = subscribe();
    const tern::acknowledgement_view answer_view = answer.view();
    (void)(received_view == named && copy == moved && answer.reason_code == answer_view.reason_code);

#if defined(MESSAGE_TO_VIEW)
    const tern::message_view view = make_message();
#elif defined(RECEIVED_MESSAGE_TO_VIEW)
    const tern::message_view view = receive();
#elif defined(NAMED_MESSAGE_TO_VIEW)
    const tern::message_view view = named;
#elif defined(ACKNOWLEDGEMENT_TO_VIEW)
    const tern::acknowledgement_view view = subscribe();
#elif defined(CONNECT_RESULT_TO_VIEW)
    const tern::connack view = connect();
#elif defined(EVENT_TO_VIEW)
    const tern::connection_event_view view = next_event();
#elif defined(REFERENCE_TO_VIEW)
    const tern::message_view& view = receive();
#elif defined(VIEW_OF_TEMPORARY)
    const tern::message_view view = receive().view();
#elif defined(VIEW_OF_MOVED)
    tern::received_message other = receive();
    const tern::message_view view = std::move(other).view();
#elif defined(VIEW_OF_TEMPORARY_ACKNOWLEDGEMENT)
    const tern::acknowledgement_view view = subscribe().view();
#endif
}
