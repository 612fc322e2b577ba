"""Calls services of a braft cluster over gRPC, without generated code: the nodes describe their messages.

    pip install grpcio grpcio-reflection msgpack
    python3 client.py COUNT HOST:PORT...

adds 1 to the counter COUNT times, pins COUNT notes to the board, and reads their events, while nodes may die.
"""

import queue
import sys
import threading
import time

import grpc
import msgpack
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

PAUSE = 0.05  # seconds between attempts


class Failed(Exception):
    """What a node said of a call: its kind, its outcome, and why."""

    def __init__(self, kind, outcome, message):
        super().__init__(f"{kind} ({outcome}): {message}")
        self.kind, self.outcome = kind, outcome


class Messages:
    """The messages of braft.v1, as a node describes them."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self.pool = DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        for name in ("CallFrame", "CallRequest", "AnswerFrame", "EventsRequest", "EventsFrame"):
            setattr(self, name, GetMessageClass(self.pool.FindMessageTypeByName("braft.v1." + name)))
        self.kinds = self.names("ErrorKind", "ERROR_KIND_")
        self.outcomes = self.names("ErrorOutcome", "ERROR_OUTCOME_")
        self.channel.close()

    def names(self, enum, prefix):
        values = self.pool.FindEnumTypeByName("braft.v1." + enum).values
        return {value.number: value.name[len(prefix):].lower() for value in values}

    def failed(self, error):
        kind, outcome = self.kinds.get(error.kind, "unknown_outcome"), self.outcomes.get(error.outcome, "unknown")
        return Failed(kind, outcome, error.message)


class Stream:
    """One stream of calls to one node. Here one call is under way at a time; there may be many."""

    def __init__(self, address, messages, cluster_id):
        self.messages, self.sent, self.frames = messages, queue.SimpleQueue(), queue.SimpleQueue()
        self.channel, self.last = grpc.insecure_channel(address), 0
        call = self.channel.stream_stream(
            "/braft.v1.Calls/Call",
            request_serializer=messages.CallFrame.SerializeToString,
            response_deserializer=messages.AnswerFrame.FromString)
        # The first frame names the cluster, once it is known: no other one will be called by mistake.
        self.sent.put(messages.CallFrame(cluster_id=cluster_id))
        frames = call(iter(self.sent.get, None))
        threading.Thread(target=self.read, args=(frames,), daemon=True).start()

    def read(self, frames):
        try:
            for frame in frames:
                self.frames.put(frame)
            self.frames.put(grpc.RpcError("the node has ended the stream"))
        except grpc.RpcError as error:
            self.frames.put(error)

    def take(self, until):
        frame = self.frames.get(timeout=max(until - time.monotonic(), 0))
        if isinstance(frame, grpc.RpcError):
            raise frame
        return frame

    def ask(self, request, until):
        """The answer to a request; queue.Empty if it does not come in time."""
        self.last += 1
        request.id = self.last
        request.remaining_ms = max(int((until - time.monotonic()) * 1000), 1)
        self.sent.put(self.messages.CallFrame(requests=[request]))
        while True:
            for answer in self.take(until).answers:
                if answer.id == request.id:
                    return answer

    def close(self):
        self.sent.put(None)
        self.channel.close()


class Client:
    """A session with a cluster: each command is carried out once, whatever happens on the way."""

    def __init__(self, addresses):
        self.addresses, self.turn = list(addresses), 0
        self.stream, self.cluster_id, self.session, self.sequence = None, b"", None, 0
        self.messages = self.described()

    def described(self):
        for address in self.addresses:
            try:
                return Messages(address)
            except grpc.RpcError as error:
                last = error
        raise last

    def go_to(self, leader):
        """To the leader, if that is known; else to the next node."""
        if self.stream:
            self.stream.close()
        self.stream = None
        if leader in self.addresses:
            self.turn = self.addresses.index(leader)
        else:
            self.turn += 1

    def connected(self, until):
        if self.stream is None:
            address = self.addresses[self.turn % len(self.addresses)]
            self.stream = Stream(address, self.messages, self.cluster_id)
            self.cluster_id = self.stream.take(min(until, time.monotonic() + 2)).cluster_id
        return self.stream

    def send(self, request, changes, seconds):
        """Attempts until one is answered. They bear the same session and sequence, so that a command which
        an earlier one has carried out is answered, and not carried out again."""
        until, lost, last = time.monotonic() + seconds, False, "no node has answered"
        while time.monotonic() < until:
            under_way = False
            try:
                stream = self.connected(until)
                under_way = changes
                # One node may be stuck: the others have their turn before the time is up.
                answer = stream.ask(request, min(until, time.monotonic() + 2))
            except (grpc.RpcError, queue.Empty) as gone:
                if isinstance(gone, grpc.Call) and gone.code() in (
                        grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED,
                        grpc.StatusCode.FAILED_PRECONDITION):
                    raise
                lost, last = lost or under_way, str(gone) or "no answer in time"
                self.go_to(None)
                time.sleep(PAUSE)
                continue
            if answer.WhichOneof("result") == "answer":
                return answer.answer
            error = self.messages.failed(answer.error)
            lost, last = lost or (changes and error.outcome == "unknown"), str(error)
            # About this very request, whatever became of earlier attempts.
            if error.outcome == "applied" or answer.error.settled:
                raise error
            final = error.kind in ("rejected", "fenced", "key_reused") and not answer.error.retry
            if error.outcome == "not_applied" and (final or error.kind == "session_expired"):
                raise Failed("unknown_outcome", "unknown", last) if lost else error
            self.go_to(answer.error.leader)
            time.sleep(PAUSE)
        raise Failed("unknown_outcome", "unknown", last) if lost else Failed("unavailable", "not_applied", last)

    def command(self, service, method, arguments, seconds=20):
        """Carries out a command; answers what the method returned."""
        while True:
            if self.session is None:
                request = self.messages.CallRequest()
                request.open_session.SetInParent()
                # To open one too many does no harm: it expires unused.
                self.session = int.from_bytes(self.send(request, False, seconds), "little")
                self.sequence = 0
            self.sequence += 1
            request = self.request(service, method, arguments)
            request.command.session, request.command.sequence = self.session, self.sequence
            request.command.responded_to = self.sequence - 1
            try:
                return msgpack.unpackb(self.send(request, True, seconds), strict_map_key=False)
            except Failed as failed:
                if failed.outcome == "unknown" or failed.kind == "session_expired":
                    self.session = None  # What follows must not be taken for an answer to this one.
                if failed.kind != "session_expired":
                    raise

    def query(self, service, method, arguments, seconds=20):
        """Asks a query, linearizable; `request.query.level` would say otherwise."""
        request = self.request(service, method, arguments)
        request.query.SetInParent()
        return msgpack.unpackb(self.send(request, False, seconds), strict_map_key=False)

    def request(self, service, method, arguments):
        payload = msgpack.packb({method: arguments})
        return self.messages.CallRequest(service=service, payload=payload)

    def events(self, service):
        """All events from the oldest that is kept, each with its position; goes on at another node."""
        seen, turn = None, 0
        while True:
            turn += 1
            request = self.messages.EventsRequest(cluster_id=self.cluster_id, service=service)
            if seen is None:
                request.oldest.SetInParent()
            else:
                request.after.CopyFrom(seen)
            with grpc.insecure_channel(self.addresses[turn % len(self.addresses)]) as channel:
                follow = channel.unary_stream(
                    "/braft.v1.Calls/Events",
                    request_serializer=self.messages.EventsRequest.SerializeToString,
                    response_deserializer=self.messages.EventsFrame.FromString)
                try:
                    for frame in follow(request):
                        if frame.HasField("error"):
                            error = self.messages.failed(frame.error)
                            if error.kind in ("compacted", "rejected"):
                                raise error
                            break
                        for event in frame.events:
                            seen = event.position
                            yield (seen.index, seen.ordinal), msgpack.unpackb(event.event, strict_map_key=False)
                        seen = frame.seen
                except grpc.RpcError:
                    pass  # A node that is down, or went down.
            time.sleep(PAUSE)


def main():
    count, client = int(sys.argv[1]), Client(sys.argv[2:])
    for at in range(1, count + 1):
        # What a method returns is what it answers: here a Result.
        total = client.command("Counter", "add", {"by": 1})
        assert total == {"Ok": at}, (total, at)
        note = {"text": f"note {at}", "color": {"Named": "red"}, "at": {"x": at, "y": 0}, "by": None}
        pinned = client.command("Board", "pin", note)
        assert pinned == {"Ok": at}, (pinned, at)
        print(at, flush=True)
    assert client.command("Board", "pin", note) == {"Err": {"Taken": {"by": count}}}
    assert client.query("Counter", "get", {}) == count
    try:
        client.command("Counter", "add", {"buy": 1})
        raise SystemExit("a wrong argument was taken")
    except Failed as failed:
        assert (failed.kind, failed.outcome) == ("rejected", "not_applied"), failed
        assert "`by`" in str(failed), failed
    assert client.command("Counter", "add", {"by": 0}) == {"Ok": count}
    pinned = []
    for _position, event in client.events("Board"):
        pinned.append(event["id"])
        if len(pinned) == count:
            break
    assert pinned == list(range(1, count + 1)), pinned
    print("done", flush=True)


if __name__ == "__main__":
    main()
