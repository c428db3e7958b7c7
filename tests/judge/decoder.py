"""Decodes and checks packets from the broker to an MQTT client.

Written from the OASIS standards 3.1.1 and 5.0 alone, so that it shares no mistake with the client. `frames` finds the
packets of a stream and notes their errors, as far as these do not depend on the state of the client.

Each check gives the reason codes with which a 5.0 client may report the error. A packet with several errors may be
reported for any of them [§4.13.2]. 0x90 also fits a topic name with a wildcard.
"""

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, \
    PINGRESP, DISCONNECT, AUTH = range(1, 16)

MALFORMED = frozenset({0x81})
PROTOCOL = frozenset({0x82})
EITHER = MALFORMED | PROTOCOL
TOPIC = EITHER | {0x90}
RECEIVE_MAXIMUM = frozenset({0x93})
ALIAS = frozenset({0x94})
TOO_LARGE = frozenset({0x95})
QUOTA = frozenset({0x83, 0x95, 0x97})

# Property: the type of its value, and the packets that may carry it [§2.2.2.2].
#   b byte, 2 and 4 integers, v variable byte integer, s string, x binary, p string pair
PROPERTIES = {
    1: ('b', {PUBLISH}), 2: ('4', {PUBLISH}), 3: ('s', {PUBLISH}), 8: ('s', {PUBLISH}), 9: ('x', {PUBLISH}),
    11: ('v', {PUBLISH, SUBSCRIBE}), 17: ('4', {CONNECT, CONNACK, DISCONNECT}), 18: ('s', {CONNACK}),
    19: ('2', {CONNACK}), 21: ('s', {CONNECT, CONNACK, AUTH}), 22: ('x', {CONNECT, CONNACK, AUTH}),
    23: ('b', {CONNECT}), 24: ('4', set()), 25: ('b', {CONNECT}), 26: ('s', {CONNACK}),
    28: ('s', {CONNACK, DISCONNECT}),
    31: ('s', {CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, DISCONNECT, AUTH}),
    33: ('2', {CONNECT, CONNACK}), 34: ('2', {CONNECT, CONNACK}), 35: ('2', {PUBLISH}), 36: ('b', {CONNACK}),
    37: ('b', {CONNACK}), 38: ('p', set(range(1, 16)) - {PINGREQ, PINGRESP}), 39: ('4', {CONNECT, CONNACK}),
    40: ('b', {CONNACK}), 41: ('b', {CONNACK}), 42: ('b', {CONNACK}),
}
AT_MOST_1 = {1, 23, 25, 36, 37, 40, 41, 42}
NOT_0 = {11, 33, 39}

PUBACK_CODES = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}
CODES = {
    CONNACK: {0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99,
              0x9a, 0x9b, 0x9c, 0x9d, 0x9f},
    PUBACK: PUBACK_CODES, PUBREC: PUBACK_CODES, PUBREL: {0x00, 0x92}, PUBCOMP: {0x00, 0x92},
    SUBACK: {0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2},
    UNSUBACK: {0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91},
    DISCONNECT: {0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97,
                 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2},
    AUTH: {0x00, 0x18, 0x19},
}
SUBACK_CODES_3_1_1 = {0x00, 0x01, 0x02, 0x80}


class Broken(Exception):
    """The rest of the packet cannot be parsed."""


class Packet:
    def __init__(self, type_):
        self.type = type_
        self.length = 0     # Remaining Length
        self.must = set()   # the codes of its errors: the client has to close
        self.may = set()    # the client is allowed to close with one of these codes
        self.id = self.code = self.qos = 0
        self.dup = self.retain = self.session_present = False
        self.other_refusal = False  # CONNACK has the other version's form, and refuses the connection
        self.topic = self.payload = b''
        self.codes = b''
        self.properties = []

    def property(self, wanted):
        return next((value for number, value in self.properties if number == wanted), None)


class Reader:
    def __init__(self, data, packet):
        self.data, self.packet, self.at = data, packet, 0

    def rest(self):
        return len(self.data) - self.at

    def take(self, count):
        if count > self.rest():
            raise Broken
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, count):
        return int.from_bytes(self.take(count), 'big')

    def variable(self):
        value, size = variable(self.data, self.at)
        if size is None:
            raise Broken
        if value > 127 and value < 128 ** (size - 1) or size > 1 and value < 128:
            raise Broken  # longer than needed [MQTT-1.5.5-1]
        self.at += size
        return value

    def binary(self):
        return self.take(self.number(2))

    def string(self):
        value = self.binary()
        try:
            value.decode()  # refuses surrogates and overlong forms
        except UnicodeDecodeError:
            self.packet.must |= MALFORMED  # [MQTT-1.5.4-1, 3.1.1: MQTT-1.5.3-1]
        if b'\0' in value:
            self.packet.must |= MALFORMED  # [MQTT-1.5.4-2, 3.1.1: MQTT-1.5.3-2]
        return value

    def value(self, type_):
        if type_ == 'b':
            return self.number(1)
        if type_ in '24':
            return self.number(int(type_))
        return {'v': self.variable, 's': self.string, 'x': self.binary,
                'p': lambda: (self.string(), self.string())}[type_]()


def variable(data, at):
    """A Variable Byte Integer: its value and size. The size is None if it has more than four bytes, or ends early."""
    value = 0
    for size in range(1, 5):
        if at + size > len(data):
            return value, None
        byte = data[at + size - 1]
        value += (byte & 127) << 7 * (size - 1)
        if byte < 128:
            return value, size
    return value, None


def properties(reader, packet):
    inner = Reader(reader.take(reader.variable()), packet)
    seen = set()
    while inner.rest():
        number = inner.variable()
        if number not in PROPERTIES:
            raise Broken
        type_, packets = PROPERTIES[number]
        if packet.type not in packets:
            packet.must |= MALFORMED
        if number == 17 and packet.type == DISCONNECT:
            packet.must |= EITHER  # [MQTT-3.14.2-2]
        if number in seen and number != 38 and (number, packet.type) != (11, PUBLISH):
            packet.must |= PROTOCOL
        seen.add(number)
        value = inner.value(type_)
        if number == 8 and (b'+' in value or b'#' in value):
            packet.must |= TOPIC  # [MQTT-3.3.2-14]
        if number == 8 and not value:
            packet.may |= TOPIC
        if number in NOT_0 and value == 0:
            packet.must |= PROTOCOL
        if number in AT_MOST_1 and value > 1:
            packet.must |= EITHER
        packet.properties.append((number, value))
    if 22 in seen and 21 not in seen:
        packet.must |= PROTOCOL
    if packet.type == AUTH and 21 not in seen:
        packet.must |= PROTOCOL


class Limits:
    """What the client has announced in CONNECT."""

    def __init__(self, connect):
        reader = Reader(connect, Packet(CONNECT))
        reader.take(1)
        reader.variable()
        reader.binary()
        self.version = reader.number(1)
        self.clean_start = bool(reader.number(1) & 2)
        reader.take(2)
        self.response_information = 0
        self.receive_maximum, self.packet_size, self.aliases, self.problem_information = 65535, None, 0, 1
        if self.version == 5:
            properties(reader, reader.packet)
            known = dict(reader.packet.properties)
            assert 21 not in known, 'authentication is not judged'
            self.receive_maximum = known.get(33, 65535)
            self.packet_size = known.get(39)
            self.aliases = known.get(34, 0)
            self.problem_information = known.get(23, 1)
            self.response_information = known.get(25, 0)
        elif self.version == 4:
            self.receive_maximum = 1 << 30


def header_errors(first, version):
    """The errors of the first byte of a packet to a client, whatever its state."""
    type_, flags, errors = first >> 4, first & 15, set()
    if type_ == 0 or (type_ == AUTH and version == 4):
        return EITHER
    if type_ in (CONNECT, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, AUTH) or (type_ == DISCONNECT and version == 4):
        errors |= PROTOCOL  # from a client alone, or AUTH without a method [MQTT-4.12.0-6]
    if type_ == PUBLISH:
        if flags >> 1 & 3 == 3:
            errors |= MALFORMED
        if flags & 6 == 0 and flags & 8:
            errors |= EITHER  # [MQTT-3.3.1-2]
    elif flags != (2 if type_ in (PUBREL, SUBSCRIBE, UNSUBSCRIBE) else 0):
        errors |= MALFORMED  # [MQTT-2.1.3-1]
    return errors


def body(reader, packet, limits):
    v5 = limits.version == 5
    if packet.type == PUBLISH:
        if packet.qos == 3:
            raise Broken
        packet.topic = reader.string()
        if b'+' in packet.topic or b'#' in packet.topic:
            packet.must |= TOPIC  # [MQTT-3.3.2-2]
        if packet.qos:
            packet.id = reader.number(2)
            if packet.id == 0:
                packet.must |= EITHER  # [MQTT-2.2.1-4, 3.1.1: MQTT-2.3.1-1]
        if v5:
            properties(reader, packet)
        packet.payload = reader.take(reader.rest())
        return
    if packet.type in (CONNECT, SUBSCRIBE, UNSUBSCRIBE, PINGREQ) or (not v5 and packet.type in (DISCONNECT, AUTH)):
        reader.take(reader.rest())
        return
    if packet.type == CONNACK:
        flags = reader.number(1)
        packet.session_present = bool(flags & 1)
        if flags > 1:
            packet.must |= MALFORMED  # [MQTT-3.2.2-1]
        code(reader, packet, v5)
        if v5:
            properties(reader, packet)
    elif packet.type in (PUBACK, PUBREC, PUBREL, PUBCOMP):
        acknowledged_identifier(reader, packet)
        if v5 and reader.rest():
            code(reader, packet)
            if reader.rest():
                properties(reader, packet)
    elif packet.type in (SUBACK, UNSUBACK):
        acknowledged_identifier(reader, packet)
        if v5:
            properties(reader, packet)
        if v5 or packet.type == SUBACK:
            packet.codes = reader.take(reader.rest())
            if not set(packet.codes) <= (CODES[packet.type] if v5 else SUBACK_CODES_3_1_1):
                packet.must |= EITHER
    elif packet.type == DISCONNECT and reader.rest():
        code(reader, packet)
        if reader.rest():
            properties(reader, packet)
    elif packet.type == AUTH and reader.rest():
        code(reader, packet)
        properties(reader, packet)
    if reader.rest():
        packet.must |= MALFORMED


def acknowledged_identifier(reader, packet):
    packet.id = reader.number(2)
    if packet.id == 0:
        packet.may |= EITHER


def code(reader, packet, v5=True):
    packet.code = reader.number(1)
    if not v5:
        if packet.code > 5:
            packet.must |= EITHER  # a reserved return code of CONNACK
        return
    if packet.type == DISCONNECT and packet.code in (0x04, 0x8c):
        packet.may |= EITHER
    elif packet.code not in CODES[packet.type]:
        packet.must |= EITHER


def decode(first, content, size, limits):
    """A complete packet to a client, with its errors that do not depend on the state."""
    packet = Packet(first >> 4)
    packet.length = len(content)
    packet.other_refusal = content[:1] == b'\0' and (
        1 <= content[1] <= 5 if limits.version == 5 and len(content) == 2 else
        limits.version == 4 and len(content) == 3 and content[1] >= 0x80 and content[2] == 0)
    packet.must |= header_errors(first, limits.version)
    packet.dup, packet.qos, packet.retain = bool(first & 8), first >> 1 & 3, bool(first & 1)
    if limits.packet_size and size > limits.packet_size:
        packet.must |= TOO_LARGE  # [MQTT-3.1.2-24]
    if packet.type != 0:
        try:
            body(Reader(content, packet), packet, limits)
        except Broken:
            packet.must |= MALFORMED
    if not limits.problem_information and packet.type not in (PUBLISH, CONNACK, DISCONNECT):
        if any(number in (31, 38) for number, _ in packet.properties):
            packet.must |= PROTOCOL  # [MQTT-3.1.2-29]
    return packet


def frames(stream, limits):
    """The packets of a stream. The last may be incomplete: then its type is None."""
    found, at = [], 0
    while at < len(stream):
        length, size = variable(stream, at + 1)
        if size is None or at + 1 + size + length > len(stream):
            last = Packet(None)
            last.may |= header_errors(stream[at], limits.version)
            if size is None and len(stream) - at > 4:
                last.must |= MALFORMED | last.may  # more than four bytes
            elif size is None:
                pass
            elif limits.packet_size and 1 + size + length > limits.packet_size:
                last.may |= TOO_LARGE
            elif length > 1 << 24:
                last.may |= QUOTA
            if size and size > 1 and length < 128 ** (size - 1):
                last.may |= MALFORMED
            found.append(last)
            break
        start = at + 1 + size
        packet = decode(stream[at], stream[start:start + length], 1 + size + length, limits)
        if size > 1 and length < 128 ** (size - 1):
            (packet.must if limits.version == 5 else packet.may).update(MALFORMED)
        found.append(packet)
        at = start + length
    return found
