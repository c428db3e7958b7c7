"""Packets from a broker, most of them with errors. The same random generator gives the same packets."""

from decoder import AUTH, CODES, CONNACK, DISCONNECT, PINGRESP, PROPERTIES, PUBACK, PUBCOMP, PUBLISH, PUBREC, \
    PUBREL, SUBACK, SUBACK_CODES_3_1_1, UNSUBACK, variable

IDENTIFIERS = [1, 1, 1, 1, 1, 2, 2, 3, 4, 255, 256, 65535]
TOPICS = [b'a', b'm', b't', b'a/b', b'/', b'$SYS/x', b'b/\xc3\xa9', b'\xef\xbb\xbfx', b'\xef\xbf\xbf',
          b'\xf0\xaa\x9b\x94', b'\x01']
STRINGS = [b'', b'x', b'text', b'\xc3\xa9', b'\xef\xbb\xbf', b'\xef\xbf\xbe', b'\x7f', b'\xf4\x8f\xbf\xbf']
BAD_STRINGS = [b'\0', b'a\0', b'\x80', b'\xff', b'\xc0\x80', b'\xc1\xbf', b'\xe0\x80\x80', b'\xed\xa0\x80',
               b'\xed\xbf\xbf', b'\xf0\x80\x80\x80', b'\xf4\x90\x80\x80', b'\xf8\x88\x80\x80\x80', b'\xc3', b'\xe2\x82',
               b'\xf0\x9f\x98', b'', b'+', b'#', b'a/+', b'a/#/b', b'\xef\xbf\xbf', b'\x1f']
LENGTHS = [b'\x80', b'\xff', b'\x80\0', b'\x81\0', b'\x80\x80\0', b'\x80\x80\x80\0', b'\xff\xff\xff\x7f',
           b'\xff\xff\xff\xff', b'\x80\x80\x80\x80\1', b'\xff\xff\xff\xff\x7f', b'\x80\x01', b'\xff\x01',
           b'\x80\x80\x01']
BYTES = [0, 1, 2, 3, 4, 0x7f, 0x80, 0x81, 0xff]


def number(value):
    """A Variable Byte Integer."""
    result = bytearray()
    while True:
        value, low = divmod(value, 128)
        result.append(low | (128 if value else 0))
        if not value:
            return bytes(result)


def string(value):
    return len(value).to_bytes(2, 'big') + value


class Parts:
    """A packet as the parts that mutations change: the bytes before and after the properties, and these."""

    def __init__(self, first, head=b'', properties=None, tail=b''):
        self.first, self.head, self.properties, self.tail = first, head, properties, tail
        self.topic = None  # of PUBLISH, in front of `head`
        self.property_length = None

    def content(self):
        topic = b'' if self.topic is None else string(self.topic)
        if self.properties is None:
            return topic + self.head + self.tail
        inner = b''.join(number(id_) + value for id_, value in self.properties)
        length = number(len(inner)) if self.property_length is None else self.property_length
        return topic + self.head + length + inner + self.tail

    def bytes(self):
        content = self.content()
        return bytes([self.first]) + number(len(content)) + content


def type_of(id_):
    return PROPERTIES[id_][0] if id_ in PROPERTIES else 'unknown'


def property_value(random, id_, strings=STRINGS):
    type_ = type_of(id_)
    if type_ == 'unknown':
        return b'\0'
    if type_ == 'b':
        return bytes([random.choice([0, 1])])
    if type_ == '2':
        return random.choice([1, 2, 3, 3, 1, 2]).to_bytes(2, 'big')
    if type_ == '4':
        return random.choice([1, 60, 0xffffffff]).to_bytes(4, 'big')
    if type_ == 'v':
        return number(random.choice([1, 127, 128, 268435455]))
    if type_ == 'p':
        return string(random.choice(strings)) + string(random.choice(strings))
    return string(random.choice(strings))


def some_properties(random, type_, most=3):
    allowed = [id_ for id_, (_, packets) in PROPERTIES.items() if type_ in packets and (id_, type_) != (17, DISCONNECT)]
    chosen = random.sample(allowed, min(len(allowed), random.choice([0, 0, 0, 1, 1, 2, most])))
    if 38 in chosen and random.random() < 0.3:
        chosen.append(38)
    if 11 in chosen and random.random() < 0.3:
        chosen.append(11)
    result = []
    for id_ in chosen:
        value = property_value(random, id_)
        if id_ == 8:
            value = string(random.choice(TOPICS))
        result.append((id_, value))
    return result


def valid(random, version):
    """A packet that is well-formed."""
    v5 = version == 5
    types = [PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, PINGRESP, DISCONNECT, AUTH, CONNACK]
    type_ = random.choices(types, [32, 8, 8, 8, 8, 8, 8, 4, 8 if v5 else 1, 3 if v5 else 0, 12])[0]
    id_ = random.choice(IDENTIFIERS).to_bytes(2, 'big')
    if type_ == PUBLISH:
        qos = random.choice([0, 1, 2])
        flags = qos << 1 | random.choice([0, 1]) | (random.choice([0, 0, 8]) if qos else 0)
        parts = Parts(PUBLISH << 4 | flags, id_ if qos else b'', some_properties(random, PUBLISH) if v5 else None,
                      random.choice([b'', b'p', b'payload', b'\0\xff', b'\x30\3\0\1a']))
        parts.topic = random.choice(TOPICS)
        if v5 and any(i == 35 for i, _ in parts.properties) and random.random() < 0.5:
            parts.topic = b''
        return parts
    if type_ in (PUBACK, PUBREC, PUBREL, PUBCOMP):
        parts = Parts(type_ << 4 | (2 if type_ == PUBREL else 0), id_)
        if v5 and random.random() < 0.6:
            parts.head += bytes([random.choice(sorted(CODES[type_]) + [0, 0, 0])])
            if random.random() < 0.6:
                parts.properties = some_properties(random, type_, 2)
        return parts
    if type_ in (SUBACK, UNSUBACK):
        codes = sorted(CODES[type_] if v5 else SUBACK_CODES_3_1_1)
        count = 2 if random.random() < 0.9 else random.choice([1, 3])
        tail = bytes(random.choice(codes) for _ in range(count)) if v5 or type_ == SUBACK else b''
        return Parts(type_ << 4, id_, some_properties(random, type_, 2) if v5 else None, tail)
    if type_ == CONNACK:
        flags = random.choice([0, 0, 0, 0, 1])
        code = random.choice([0, 0, 0] + (sorted(CODES[CONNACK]) if v5 else list(range(6))))
        return Parts(CONNACK << 4, bytes([flags, code]), some_properties(random, CONNACK, 5) if v5 else None)
    parts = Parts(type_ << 4)
    if v5 and type_ == DISCONNECT and random.random() < 0.8:
        parts.head = bytes([random.choice(sorted(CODES[DISCONNECT]))])
        if random.random() < 0.6:
            parts.properties = some_properties(random, DISCONNECT)
    if type_ == AUTH and random.random() < 0.9:
        parts.head = bytes([random.choice([0, 0x18, 0x19])])
        parts.properties = [(21, string(b'x'))] + [p for p in some_properties(random, AUTH) if p[0] != 21]
    return parts


# Mutations of the parts. Each leaves the lengths right that it is not about.

def bad_string(random, parts):
    if parts.topic is not None and (not parts.properties or random.random() < 0.5):
        parts.topic = random.choice(BAD_STRINGS)
        return
    texts = [i for i, (id_, _) in enumerate(parts.properties or []) if type_of(id_) in 'sp']
    if parts.first >> 4 == PUBLISH and parts.properties is not None and random.random() < 0.3:
        parts.properties.append((8, string(random.choice(BAD_STRINGS))))
    elif texts:
        i = random.choice(texts)
        id_ = parts.properties[i][0]
        parts.properties[i] = (id_, property_value(random, id_, BAD_STRINGS))


def double_property(random, parts):
    if parts.properties:
        id_ = random.choice(parts.properties)[0]
        parts.properties.insert(random.randrange(len(parts.properties) + 1), (id_, property_value(random, id_)))


def foreign_property(random, parts):
    if parts.first >> 4 == DISCONNECT and parts.head and parts.properties is None:
        parts.properties = []
    if parts.properties is not None:
        is_disconnect = parts.first >> 4 == DISCONNECT
        id_ = 17 if is_disconnect and random.random() < 0.5 else random.choice(sorted(PROPERTIES))
        parts.properties.insert(random.randrange(len(parts.properties) + 1), (id_, property_value(random, id_)))


def unknown_property(random, parts):
    if parts.properties is not None:
        parts.properties.append((random.choice([0, 4, 7, 10, 32, 43, 127, 128, 129, 16384]), b'\0'))


def odd_value(random, parts):
    numbers = [i for i, (id_, _) in enumerate(parts.properties or []) if type_of(id_) in 'b24v']
    if numbers:
        i = random.choice(numbers)
        id_, value = parts.properties[i]
        if type_of(id_) == 'v':
            value = random.choice([b'\0', b'\x80\0', b'\xff\xff\xff\xff\1', b'\x81\x80\0'])
        else:
            value = random.choice([0, 2, 4, 255]).to_bytes(len(value), 'big')
        parts.properties[i] = (id_, value)


def odd_property_length(random, parts):
    if parts.properties is not None:
        length = len(b''.join(number(id_) + value for id_, value in parts.properties))
        parts.property_length = random.choice([number(max(0, length - 1)), number(length + 1), number(length + 7),
                                               bytes([length & 127 | 128, 0]), random.choice(LENGTHS)])


def odd_code(random, parts):
    code = random.randrange(256)
    if parts.first >> 4 in (SUBACK, UNSUBACK) and parts.tail:
        at = random.randrange(len(parts.tail))
        parts.tail = parts.tail[:at] + bytes([code]) + parts.tail[at + 1:]
    elif parts.first >> 4 != PUBLISH and parts.head:
        parts.head = parts.head[:-1] + bytes([code])


def zero_identifier(_, parts):
    if len(parts.head) >= 2:
        parts.head = b'\0\0' + parts.head[2:]


def odd_flags(random, parts):
    parts.first = parts.first & 0xf0 | random.randrange(16)


def other_type(random, parts):
    parts.first = random.randrange(16) << 4 | parts.first & 15


def more_payload(random, parts):
    parts.tail += bytes(random.choice(BYTES) for _ in range(random.choice([1, 1, 2, 40, 130])))


def size_at_limit(random, parts):
    """About the Maximum Packet Size that the driver's profile "limits" announces."""
    parts.tail += bytes(max(0, random.choice([63, 64, 65, 66]) - len(parts.bytes())))


PART_MUTATIONS = [bad_string, bad_string, double_property, foreign_property, foreign_property, unknown_property,
                  odd_value, odd_property_length, odd_code, zero_identifier, odd_flags, other_type, more_payload,
                  size_at_limit]


# Mutations of the bytes.

def framed(packet, content):
    return packet[:1] + number(len(content)) + content


def content_of(packet):
    _, size = variable(packet, 1)
    return packet[1 + size:] if size else b''


def flip_bit(random, packet):
    at = random.randrange(len(packet))
    return packet[:at] + bytes([packet[at] ^ 1 << random.randrange(8)]) + packet[at + 1:]


def set_byte(random, packet):
    at = random.randrange(len(packet))
    return packet[:at] + bytes([random.choice(BYTES)]) + packet[at + 1:]


def insert(random, packet):
    at = random.randrange(1, len(packet) + 1)
    return packet[:at] + bytes([random.choice(BYTES)]) + packet[at:]


def insert_framed(random, packet):
    content = content_of(packet)
    at = random.randrange(len(content) + 1)
    return framed(packet, content[:at] + bytes([random.choice(BYTES)]) + content[at:])


def remove(random, packet):
    at = random.randrange(len(packet))
    return packet[:at] + packet[at + random.choice([1, 1, 2, 4]):]


def remove_framed(random, packet):
    content = content_of(packet)
    at = random.randrange(len(content) + 1)
    return framed(packet, content[:at] + content[at + random.choice([1, 1, 2, 4]):])


def truncate_framed(random, packet):
    content = content_of(packet)
    return framed(packet, content[:random.randrange(len(content) + 1)])


def odd_length(random, packet):
    content = content_of(packet)
    length = random.choice([number(max(0, len(content) - 1)), number(len(content) + 1), number(len(content) + 2),
                            bytes([len(content) & 127 | 128, 0]), random.choice(LENGTHS)])
    return packet[:1] + length + content


BYTE_MUTATIONS = [flip_bit, flip_bit, set_byte, insert, insert_framed, remove, remove_framed, truncate_framed,
                  odd_length]


def mutated(random, version):
    """The bytes of a packet with one error or more, sometimes with none, or of two packets spliced or in a row."""
    parts = valid(random, version)
    kind = random.random()
    if kind < 0.45:
        for _ in range(random.choice([1, 1, 1, 2])):
            random.choice(PART_MUTATIONS)(random, parts)
    packet = parts.bytes()
    if 0.4 < kind < 0.8:
        for _ in range(random.choice([1, 1, 1, 2])):
            packet = random.choice(BYTE_MUTATIONS)(random, packet) or b'\0'
    elif kind >= 0.92:
        other = mutated(random, version)
        packet += other
    elif kind >= 0.86:
        other = valid(random, version).bytes()
        packet = packet[:random.randrange(1, len(packet) + 1)] + other[random.randrange(len(other)):]
    return packet
