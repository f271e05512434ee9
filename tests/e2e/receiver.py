# SPDX-License-Identifier: Apache-2.0
"""A gRPC OTLP receiver in a process of its own: keeps what it was sent, answers as it is told.

Owns   a journal: per request its fate and its raw bytes, written before the answer leaves.
Told   by JSON lines on stdin, answered on stdout: open, close, plan, reset, quit.
Never  parses with a .proto of ours; the bytes are read by journal.py with the published package.
Plan   answers for the next requests, one each: {"code": NAME}, {"retry_delay_s": s},
       {"partial": spans}, {"message": text}, {"hang_s": s}, {"delay_s": s}; then OK again.
"""

import collections
import json
import struct
import sys
import threading
import time
from concurrent import futures

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
RECORD = struct.Struct("<IIQ")  # bytes, fate (status code; KEPT + rejected spans), unix nano
KEPT = 1 << 24
GRPC_CODES = {code.name: code for code in grpc.StatusCode}


class Receiver(grpc.GenericRpcHandler):
    def __init__(self):
        self.lock = threading.Lock()
        self.plan = collections.deque()
        self.journal = None
        self.released = threading.Event()
        self.server = None

    def service(self, call):
        if call.method != EXPORT:
            return None
        return grpc.unary_unary_rpc_method_handler(self.export)

    def export(self, request, context):
        with self.lock:
            answer = self.plan.popleft() if self.plan else {}
        if "hang_s" in answer:
            self.write(request, grpc.StatusCode.DEADLINE_EXCEEDED.value[0])
            self.released.wait(answer["hang_s"])
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the receiver hung")
        if "delay_s" in answer:
            time.sleep(answer["delay_s"])
        if "code" in answer:
            code = GRPC_CODES[answer["code"]]
            self.write(request, code.value[0])
            if "retry_delay_s" in answer:
                context.set_trailing_metadata(retry_metadata(code, answer["retry_delay_s"]))
            context.abort(code, "as planned")
        rejected = answer.get("partial", 0)
        self.write(request, KEPT + rejected)
        response = trace_service_pb2.ExportTraceServiceResponse()
        if rejected or "message" in answer:
            response.partial_success.rejected_spans = rejected
            response.partial_success.error_message = answer.get("message", "")
        return response.SerializeToString()

    def write(self, request, fate):
        with self.lock:
            self.journal.write(RECORD.pack(len(request), fate, time.time_ns()) + request)
            self.journal.flush()

    def open(self, address):
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 64 << 20)]
        self.server = grpc.server(futures.ThreadPoolExecutor(8), options=options)
        self.server.add_generic_rpc_handlers((self,))
        port = self.server.add_insecure_port(address)
        if port == 0:
            raise RuntimeError(f"cannot listen on {address}")
        self.server.start()
        return port

    def close(self):
        if self.server:
            self.released.set()
            self.server.stop(0).wait(10)
            self.released.clear()
            self.server = None


def retry_metadata(code, delay_s):
    """google.rpc.Status with a RetryInfo, by hand: those protos are no part of what we install."""

    def field(number, raw):
        return bytes([number << 3 | 2, len(raw)]) + raw

    nanos = int(delay_s % 1 * 1e9)
    duration = bytes([1 << 3, int(delay_s)])
    if nanos:
        duration += b"\x10" + bytes(
            (nanos >> shift & 0x7F) | (0x80 if nanos >> shift + 7 else 0)
            for shift in range(0, 35, 7)
            if nanos >> shift
        )
    info = field(1, b"type.googleapis.com/google.rpc.RetryInfo") + field(2, field(1, duration))
    status = bytes([1 << 3, code.value[0]]) + field(3, info)
    return (("grpc-status-details-bin", status),)


def main():
    receiver = Receiver()
    for line in sys.stdin:
        order = json.loads(line)
        answer = {}
        try:
            if "reset" in order:  # a new journal, no plan
                with receiver.lock:
                    receiver.plan.clear()
                    receiver.released.set()
                    receiver.released = threading.Event()
                    if receiver.journal:
                        receiver.journal.close()
                    receiver.journal = open(order["reset"], "ab")
            if "plan" in order:
                with receiver.lock:
                    receiver.plan = collections.deque(order["plan"])
            if "close" in order:
                receiver.close()
            if "open" in order:
                answer["port"] = receiver.open(order["open"])
        except (OSError, RuntimeError) as error:
            answer["error"] = str(error)
        answer["planned"] = len(receiver.plan)
        print(json.dumps(answer), flush=True)
    receiver.close()


if __name__ == "__main__":
    main()
