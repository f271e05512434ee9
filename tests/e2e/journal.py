# SPDX-License-Identifier: Apache-2.0
"""What the receiver was sent: its journal, parsed with the published opentelemetry-proto package.

Owns   a position in the journal; read() goes on from there.
Keeps  of each span that was acknowledged its identity, and the whole span where a test asks.
"""

from collections import Counter, namedtuple

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from receiver import KEPT, RECORD

Request = namedtuple("Request", "code spans rejected unix_nano bytes")
Arrived = namedtuple("Arrived", "resource scope span")  # messages of the published package


class Journal:
    def __init__(self, path, whole=False):
        self.path = path
        self.whole = whole
        self.offset = 0
        self.requests = []
        self.kept = Counter()  # (process, thread, index): times acknowledged
        self.ids = Counter()  # (trace id, span id): times acknowledged
        self.id_of = {}  # (process, thread, index): ids of its newest arrival
        self.arrived = []  # Arrived, if whole
        self.refused = Counter()  # ids in requests that failed
        self.path.touch()

    def read(self):
        """Takes in what is new; returns self."""
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            raw = file.read()
        at = 0
        while at + RECORD.size <= len(raw):
            size, fate, unix_nano = RECORD.unpack_from(raw, at)
            if at + RECORD.size + size > len(raw):
                break
            at += RECORD.size
            self.take(raw[at : at + size], fate, unix_nano)
            at += size
        self.offset += at
        return self

    def take(self, raw, fate, unix_nano):
        request = trace_service_pb2.ExportTraceServiceRequest.FromString(raw)
        kept = fate >= KEPT
        rejected = fate - KEPT if kept else 0
        spans = 0
        for resource_spans in request.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    spans += 1
                    ids = span.trace_id, span.span_id
                    if not kept:
                        self.refused[ids] += 1
                    elif spans > rejected:  # the first ones of a partial success are rejected
                        self.keep(ids, span)
                        if self.whole:
                            self.arrived.append(Arrived(resource_spans, scope_spans, span))
        code = 0 if kept else fate
        self.requests.append(Request(code, spans, rejected, unix_nano, len(raw)))

    def keep(self, ids, span):
        self.ids[ids] += 1
        where = {}
        for attribute in span.attributes:
            if attribute.key in ("process", "thread", "index"):
                where[attribute.key] = attribute.value.int_value
        if len(where) == 3:
            identity = where["process"], where["thread"], where["index"]
            self.kept[identity] += 1
            self.id_of[identity] = ids

    @property
    def distinct(self):
        return len(self.ids)

    @property
    def repeats(self):
        return sum(self.ids.values()) - len(self.ids)
