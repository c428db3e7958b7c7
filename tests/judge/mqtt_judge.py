"""Judges what an MQTT client does with bytes from the broker.

Written from the OASIS standards 3.1.1 and 5.0 alone, like decoder.py. `Client` follows the state that the standard
demands, and `judge` compares an outcome with it. Where the standard leaves a choice, the judge allows both:

  - a Remaining Length with more bytes than needed: 3.1.1 does not forbid it; 5.0 does [MQTT-1.5.5-1]
  - an acknowledgement that belongs to nothing pending: ignored, or a Protocol Error. PUBREC may also be answered with
    PUBREL 0x92 [§3.6.2.1], but never if it refuses the message [MQTT-4.3.3-4]
  - an acknowledgement with the packet identifier 0: as one that belongs to nothing pending, or an error
  - PUBCOMP 0x92: the message has arrived, or the sessions differ [§3.7.2.1]
  - PUBREC again after PUBREL was sent: PUBREL again, ignored, or a Protocol Error
  - a packet identifier that is in use already [MQTT-2.2.1-4]: QoS 2 is not delivered again [MQTT-4.3.3-10] and answered
    with 0x00 or 0x91; QoS 1 is a new message, or refused with 0x91; or a Protocol Error
  - PUBREL before PUBREC was sent: answered with PUBCOMP [MQTT-4.3.3-11], or a Protocol Error
  - an empty Response Topic: [MQTT-4.7.3-1] is about Topic Names
  - DISCONNECT with 0x04, which only a client sends, or 0x8C, which one table of the standard lists and another does not
  - DISCONNECT about an error in AUTH [§4.13.1], or to a broker that answers a 5.0 CONNECT with a CONNACK of 3.1.1
  - CONNACK that refuses the connection in the form of the other version: the refusal, or a malformed packet
  - CONNACK that refuses the connection with an Authentication Method: the refusal, or the error [MQTT-4.12.0-6]
  - Response Information that the client did not ask for [MQTT-3.1.2-28]: ignored, or a Protocol Error
  - a packet whose fixed header alone is wrong: closed at once, or when the packet is complete
  - a packet of more than 16 MiB, if the client has announced no limit: closed at once [§4.13.2, MQTT-4.8.0-2]
  - what comes with one read, before the answers to its beginning could be sent: QoS 1 messages may count towards
    Receive Maximum [§3.3.4]; PUBREL is a Protocol Error, as above; one PUBREC may answer a QoS 2 message that is there
    twice, and none is due for a repetition after its PUBREL

Control characters and non-characters have to be accepted, although a client may refuse them [§1.5.4]: otherwise one
publisher could disconnect all subscribers [§5.4.9].
"""

from decoder import AUTH, ALIAS, CONNACK, CONNECT, DISCONNECT, EITHER, Limits, PINGREQ, PINGRESP, PROTOCOL, \
    PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Packet, RECEIVE_MAXIMUM, Reader, SUBACK, SUBSCRIBE, UNSUBACK, \
    UNSUBSCRIBE, frames, properties

REFUSED = 'connected:tern.refusal:'


def message_event(packet, topic):
    order = (1, 2, 8, 9, 3, 11, 38)
    text = ''
    for wanted in order:
        for number, value in packet.properties:
            if number == wanted:
                text += f'{number}={property_text(value)};'
    return (f'message:{packet.qos}:{"retain" if packet.retain else ""}:{"dup" if packet.dup else ""}:{topic.hex()}:'
            f'{packet.payload.hex()}:{text}')


def property_text(value):
    if isinstance(value, tuple):
        return f'{value[0].hex()}.{value[1].hex()}'
    return value.hex() if isinstance(value, bytes) else str(value)


def done_event(packet, first_code, codes=b'', refused=None):
    text = ''.join(f'{number}={property_text(value)};' for wanted in (31, 38)
                   for number, value in packet.properties if number == wanted)
    if refused is None:
        refused = first_code >= 0x80
    return f'done:1:{"tern.refusal" if refused else "none"}:{codes.hex()}:{first_code:02x}:{text}'


class Effect:
    """What a packet causes if the client does not close: alternatives of an event, and of an acknowledgement."""

    def __init__(self, events=(None,), acks=(None,)):
        self.events, self.acks, self.repeated = events, acks, False


class Client:
    """The state of a client as the standard demands it, from the packets that were exchanged."""

    def __init__(self, transcript, holds):
        self.pending = {}           # packet identifier -> (type that was sent, QoS or number of filters)
        self.pings = 0
        self.incoming = {}          # identifiers of QoS 2 messages: 'open', or 'due' before PUBREC was sent
        self.held = set()           # identifiers of QoS 1 messages before PUBACK was sent
        self.least = self.most = 0  # how many messages count towards Receive Maximum
        self.aliases = {}
        self.connected = self.disconnected = self.closed_by_broker = False
        self.tiny = False           # the broker takes no packet that is as large as the acknowledgements
        self.holds = holds
        self.limits = None
        self.unanswered = {}        # identifiers of QoS 2 messages that may have come with the same read: the effect
        self.depends_on_reads = False
        for part in transcript:
            data = bytes.fromhex(part[1:])
            if part[0] == '>':
                self.sent(data)
            else:
                for packet in frames(data, self.limits):
                    assert not packet.must
                    self.receive(packet)
            self.unanswered.clear()

    def copy(self):
        other = object.__new__(Client)
        other.__dict__.update(self.__dict__)
        for name in ('pending', 'incoming', 'held', 'aliases', 'unanswered'):
            setattr(other, name, getattr(self, name).copy())
        return other

    def sent(self, data):
        type_ = data[0] >> 4
        if type_ == CONNECT:
            self.limits = Limits(data)
            return
        reader = Reader(data, Packet(type_))
        reader.take(1)
        reader.variable()
        if type_ == PUBLISH:
            reader.string()
            self.pending[reader.number(2)] = (PUBLISH, data[0] >> 1 & 3)
        elif type_ in (SUBSCRIBE, UNSUBSCRIBE):
            number, filters = reader.number(2), 0
            if self.limits.version == 5:
                properties(reader, reader.packet)
            while reader.rest():
                reader.string()
                reader.take(1 if type_ == SUBSCRIBE else 0)
                filters += 1
            self.pending[number] = (type_, filters)
        elif type_ == PINGREQ:
            self.pings += 1
        elif type_ == DISCONNECT:
            self.disconnected = True
        # PUBREL, PUBREC, PUBACK, PUBCOMP: `receive` knows them already

    def has_operation(self):
        return bool(self.pending or self.pings)

    def receive(self, packet):
        """Adds the errors that depend on the state to `must` and `may`, which it returns with the effect."""
        must, may = set(packet.must), set(packet.may)
        if self.connected == (packet.type == CONNACK):
            must |= PROTOCOL  # CONNACK comes first, and once [MQTT-3.2.0-1, MQTT-3.2.0-2]
            return must, may, Effect()
        if packet.type == CONNACK:
            effect = self.connack(packet, must, may)
        elif packet.type == PUBLISH:
            effect = self.publish(packet, must, may)
        elif packet.type in (PUBACK, PUBREC, PUBCOMP):
            effect = self.acknowledged(packet, must, may)
        elif packet.type == PUBREL:
            effect = self.pubrel(packet, may)
        elif packet.type in (SUBACK, UNSUBACK):
            effect = self.filter_ack(packet, must, may)
        else:
            effect = Effect()
            if packet.type == PINGRESP and self.pings:
                self.pings -= 1
                effect = Effect((done_event(packet, 0),))
            if packet.type == DISCONNECT:
                self.closed_by_broker = True
        return must, may, effect

    def connack(self, packet, must, may):
        if packet.session_present and (self.limits.clean_start or packet.code):
            must |= EITHER if packet.code else PROTOCOL  # [MQTT-3.2.2-2, MQTT-3.2.2-6, 3.1.1: MQTT-3.2.2-1, -4]
        if packet.property(21) is not None:
            (may if packet.code else must).update(PROTOCOL)  # [MQTT-4.12.0-6]
        if packet.property(26) is not None and not self.limits.response_information:
            may |= PROTOCOL  # [MQTT-3.1.2-28]
        if packet.code:
            self.closed_by_broker = True
            return Effect((REFUSED,))
        self.connected = True
        self.tiny = (packet.property(39) or 5) < 5
        return Effect((f'connected:none:{"present" if packet.session_present else ""}',))

    def publish(self, packet, must, may):
        topic = packet.topic
        alias = packet.property(35)
        if alias is not None and not 0 < alias <= self.limits.aliases:
            must |= ALIAS
        elif alias is not None and not topic:
            topic = self.aliases.get(alias, b'')
        if not topic:
            must |= PROTOCOL  # no topic, or the alias is unknown [§3.3.4]
        if must:
            return Effect()
        if alias is not None:
            self.aliases[alias] = topic
        event = message_event(packet, topic)
        if packet.qos == 0:
            return Effect((event,))
        if packet.qos == 1:
            return self.publish_1(packet, event, must, may)
        return self.publish_2(packet, event, must, may)

    def count(self, must, may, certainly):
        """A message counts towards Receive Maximum, certainly or perhaps."""
        self.most += 1
        self.least += certainly
        if self.least > self.limits.receive_maximum:
            must |= RECEIVE_MAXIMUM
        elif self.most > self.limits.receive_maximum:
            may |= RECEIVE_MAXIMUM
            self.depends_on_reads = True

    def publish_1(self, packet, event, must, may):
        used = packet.id in self.incoming or packet.id in self.held
        if used:
            may |= PROTOCOL
        self.count(must, may, self.holds and not used)
        if self.holds:
            self.held.add(packet.id)
        acks = (None,) if self.holds else tuple((PUBACK, packet.id, c) for c in ((0, 0x91) if used else (0,)))
        return Effect((event, None) if used else (event,), acks)

    def publish_2(self, packet, event, must, may):
        used = packet.id in self.incoming
        if used or packet.id in self.held:
            may |= PROTOCOL
        if used and self.incoming[packet.id] == 'due':
            return Effect()
        if not used:
            self.count(must, may, packet.id not in self.held)
        if not used:
            self.incoming[packet.id] = 'due' if self.holds else 'open'
        # A message that the application holds may also hold back the answer to a repetition [MQTT-4.6.0-3].
        acks = (None,) if self.holds else tuple((PUBREC, packet.id, c) for c in ((0, 0x91) if used else (0,)))
        if packet.id in self.unanswered:
            acks += (None,)
        effect = Effect((None,) if used else (event, None) if packet.id in self.held else (event,), acks)
        self.unanswered[packet.id] = effect
        effect.repeated = used
        return effect

    def pubrel(self, packet, may):
        state = self.incoming.get(packet.id)
        if state == 'due':
            may |= PROTOCOL
        if state is None:
            return Effect(acks=((PUBCOMP, packet.id, 0x92), (PUBCOMP, packet.id, 0)))
        if packet.id in self.unanswered:
            effect = self.unanswered.pop(packet.id)
            self.depends_on_reads = True
            may |= PROTOCOL
            if effect.repeated:
                effect.acks += (None,)
        del self.incoming[packet.id]
        self.least -= 1
        self.most -= 1
        return Effect(acks=((PUBCOMP, packet.id, 0),))

    def acknowledged(self, packet, must, may):
        kind, detail = self.pending.get(packet.id, (None, None))
        if kind not in (PUBLISH, PUBREL):
            may |= PROTOCOL
            if packet.type == PUBREC and packet.code < 0x80:
                return Effect(acks=(None, (PUBREL, packet.id, 0x92), (PUBREL, packet.id, 0)))
            return Effect()
        if packet.type == PUBREC and kind == PUBREL:
            may |= PROTOCOL
            return Effect(acks=(None,) if packet.code >= 0x80 else (None, (PUBREL, packet.id, 0)))
        awaited = PUBCOMP if kind == PUBREL else PUBACK if detail == 1 else PUBREC
        if packet.type != awaited:
            must |= PROTOCOL
            return Effect()
        if packet.type == PUBREC and packet.code < 0x80:
            if not must:
                self.pending[packet.id] = (PUBREL, 2)
            return Effect(acks=((PUBREL, packet.id, 0),))
        if not must:
            del self.pending[packet.id]
        if packet.type == PUBCOMP:
            return Effect((done_event(packet, packet.code, refused=False), done_event(packet, packet.code)))
        return Effect((done_event(packet, packet.code),))

    def filter_ack(self, packet, must, may):
        kind, filters = self.pending.get(packet.id, (None, None))
        other = {SUBSCRIBE: UNSUBACK, UNSUBSCRIBE: SUBACK}.get(kind)
        if other is None:
            may |= PROTOCOL
            if not packet.codes:
                may |= EITHER
            return Effect()
        if packet.type == other:
            must |= PROTOCOL
            return Effect()
        has_codes = packet.type == SUBACK or self.limits.version == 5
        if has_codes and len(packet.codes) != filters:
            must |= EITHER  # [MQTT-3.8.4-6, 3.1.1: MQTT-3.8.4-5]
            return Effect()
        if not must:
            del self.pending[packet.id]
        refused = [c for c in packet.codes if c >= 0x80]
        first = refused[0] if refused else packet.codes[0] if packet.codes else 0
        return Effect((done_event(packet, first, packet.codes),))


class Outcome:
    """What the client did: see driver.cpp for the form."""

    def __init__(self, text, version):
        end, written, self.cause, events = text.split('|')
        self.closed = end == 'closed'
        self.events = events.split()
        self.acks = {PUBACK: [], PUBREC: [], PUBREL: [], PUBCOMP: []}
        self.disconnect = None
        data = bytes.fromhex(written)
        reader = Reader(data, Packet(None))
        while reader.rest():
            first = reader.number(1)
            inner = Reader(reader.take(reader.variable()), reader.packet)
            assert self.disconnect is None, 'bytes after DISCONNECT [MQTT-3.14.4-1]'
            if first == DISCONNECT << 4:
                self.disconnect = inner.number(1) if version == 5 and inner.rest() else 0
                continue
            type_ = first >> 4
            assert type_ in self.acks and first & 15 == (2 if type_ == PUBREL else 0), 'a packet that nothing asked for'
            number = inner.number(2)
            self.acks[type_].append((type_, number, inner.number(1) if version == 5 and inner.rest() else 0))
            assert not inner.rest() or inner.take(inner.rest()) == b'\0', 'an acknowledgement with properties'

    def same(self, other):
        """Whether the application saw the same."""
        return (self.closed, self.cause, self.events, self.disconnect) == \
            (other.closed, other.cause, other.events, other.disconnect)


def matches(expected, actual, part=False):
    """Whether the list is one of the alternatives, or with `part` the beginning of one."""
    if not expected:
        return not actual
    for choice in expected[0]:
        if choice is None:
            if matches(expected[1:], actual, part):
                return True
        elif not actual:
            if part:
                return True
        elif actual[0] == choice and matches(expected[1:], actual[1:], part):
            return True
    return False


def acks_match(effects, actual, part):
    """The order counts among those of one type alone [MQTT-4.6.0-2, MQTT-4.6.0-3, MQTT-4.6.0-4]."""
    return all(matches([e.acks for e in effects if any(ack and ack[0] == type_ for ack in e.acks)], actual[type_], part)
               for type_ in actual)


def judge(client, packets, outcome):
    """None if the outcome is legal, otherwise a sentence. `client` is changed."""
    if client.disconnected:
        fine = not outcome.events and not any(outcome.acks.values()) and outcome.disconnect is None
        return None if fine and outcome.cause in ('', 'none') else 'the client has disconnected: nothing may follow'
    events, effects, v5 = [], [], client.limits.version == 5
    for packet in packets:
        pending = client.has_operation()
        must, may, effect = client.receive(packet) if packet.type else (packet.must, packet.may, Effect())
        fitting = must | may
        if fitting and outcome.closed and violation_fits(outcome, fitting, packet, v5) and \
                matches_end(events, outcome.events, pending) and \
                acks_match(effects, outcome.acks, True):
            return None
        if packet.type == CONNACK and packet.other_refusal and not client.connected and \
                outcome.cause.startswith('tern.refusal '):
            client.closed_by_broker = True
        elif must:
            return f'closing was due with one of {sorted(map(hex, must))}'
        if client.tiny:
            return None  # [MQTT-3.2.2-15] contradicts the duty to answer
        if client.closed_by_broker:
            events += [(REFUSED,)] if packet.type == CONNACK else []
            return closed_by_broker(packet, pending, events, effects, outcome)
        events.append(effect.events)
        effects.append(effect)
    if outcome.closed:
        return 'closing was not due'
    if not matches(events, outcome.events):
        return f'the events had to be {events}'
    if not acks_match(effects, outcome.acks, False):
        return f'the acknowledgements had to be {[e.acks for e in effects]}'
    return None


def matches_end(expected, actual, pending):
    """Whether the events match, after which what is pending failed. It was sent, so the caller is not to blame."""
    if pending:
        if not actual or not actual[-1].startswith('done:1:') or actual[-1].split(':')[2] in ('none', 'tern.usage'):
            return False
        actual = actual[:-1]
    return matches(expected, actual)


def violation_fits(outcome, fitting, packet, v5):
    if not outcome.cause.startswith('tern.protocol '):
        return False
    if not v5:
        return outcome.disconnect is None  # DISCONNECT would discard the will [MQTT-3.14.4-3]
    if outcome.disconnect is None:
        return packet.type == AUTH or (packet.type == CONNACK and packet.length == 2)
    return outcome.disconnect in fitting


def closed_by_broker(packet, pending, events, effects, outcome):
    """A valid DISCONNECT from the broker, or a CONNACK that refuses the connection."""
    if not outcome.closed or outcome.disconnect is not None:
        return 'closing without DISCONNECT was due, because the broker closes'
    if packet.type == CONNACK and not outcome.cause.startswith('tern.refusal '):
        return 'the cause had to be a refusal'
    expected = f'tern.refusal {packet.code} '
    if packet.type == DISCONNECT and packet.code >= 0x80 and not outcome.cause.startswith(expected):
        return f'the cause had to be {packet.code:#x}'
    if not matches_end(events, outcome.events, pending):
        return f'the events had to be {events}, and the failure of what is pending'
    if not acks_match(effects, outcome.acks, True):
        return f'the acknowledgements had to be {[e.acks for e in effects]}'
    return None
