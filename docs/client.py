#!/usr/bin/env python3
"""Announces a container and follows its events until it has a conclusion.

Needs no generated code: the messages come from the server's own descriptors (gRPC reflection).

    pip install grpcio grpcio-reflection && python3 client.py --endpoint 127.0.0.1:7401 --container MSKU1234565

Prints one JSON object a line. Exits with 0 once it is concluded, 1 if refused, 3 if time is up or nobody answers.
"""
import argparse
import json
import sys
import time
import uuid

try:
    import grpc
    from google.protobuf import descriptor_pool, message_factory
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
except ImportError as error:
    sys.exit(f"{error.name or error} is missing; install it with: pip install grpcio grpcio-reflection")


class Service:
    """A service whose methods are looked up by reflection."""
    def __init__(self, channel, name):
        self.channel = channel
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        self.descriptor = pool.FindServiceByName(name)

    def call(self, method, timeout, **fields):
        """Calls a method with the fields of its request; the answer is a message, or an iterator of them."""
        described = self.descriptor.methods_by_name[method]
        request = message_factory.GetMessageClass(described.input_type)(**fields)
        answer = message_factory.GetMessageClass(described.output_type)
        kind = self.channel.unary_stream if described.server_streaming else self.channel.unary_unary
        path = f"/{self.descriptor.full_name}/{method}"
        call = kind(path, type(request).SerializeToString, answer.FromString)
        return call(request, timeout=timeout)


def write(timeout, ask):
    """Asks until the answer is certain. Only the same request id and body may be sent again: then it counts once."""
    unknown = [grpc.StatusCode[name] for name in ("UNKNOWN", "DEADLINE_EXCEEDED", "CANCELLED", "UNAVAILABLE")]
    end = time.monotonic() + timeout
    while True:
        try:
            return ask(max(0.1, min(5, end - time.monotonic())))
        except grpc.RpcError as error:
            if error.code() not in unknown or time.monotonic() > end:
                raise
            time.sleep(0.2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", default="127.0.0.1:7401", help="host:port of any node")
    parser.add_argument("--container", default="MSKU1234565")
    parser.add_argument("--terminal", default="T1")
    parser.add_argument("--timeout", type=float, default=60, help="seconds")
    args = parser.parse_args()
    end = time.monotonic() + args.timeout
    try:
        with grpc.insecure_channel(args.endpoint) as channel:
            grpc.channel_ready_future(channel).result(timeout=min(10, args.timeout))
            inspections = Service(channel, "portcullis.v1.InspectionService")
            context = dict(source="python-client", request_id=str(uuid.uuid4()), principal="example")
            goods = [dict(sequence=1, commodity_code="180400", description="Cocoa butter", gross_mass_g=15_000_000)]
            container = dict(equipment_id=args.container, terminal=args.terminal, manifest=dict(goods=goods))
            answer = write(args.timeout, lambda left: inspections.call(
                "Announce", left, context=context, announcement=container))
            print(json.dumps(dict(announced=args.container, inspection=answer.inspection)), flush=True)
            watch = inspections.call("Watch", end - time.monotonic(), from_entry=0, inspections=[answer.inspection])
            for item in watch:
                if not item.HasField("event"):
                    continue
                event = dict(entry=item.event.entry, kind=item.event.kind, resume_token=item.resume_token)
                print(json.dumps(event | dict(detail=json.loads(item.event.detail_json))), flush=True)
                if item.event.kind == "concluded":
                    return 0
    except grpc.FutureTimeoutError:
        print(f"no node answers at {args.endpoint}; start one with: portcullis demo", file=sys.stderr)
    except grpc.RpcError as error:
        print(f"{error.code().name}: {error.details()}", file=sys.stderr)
        return 3 if error.code().name in ("DEADLINE_EXCEEDED", "UNAVAILABLE") else 1
    return 3


if __name__ == "__main__":
    sys.exit(main())
