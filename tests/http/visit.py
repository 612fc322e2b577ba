"""Uses a cluster over HTTP, with the standard library alone.

visit.py COUNT URL...: adds 1 to the counter COUNT times while nodes die, pins COUNT notes and reads
their events. Each command has a key: it is sent until it is answered, to one node after the other,
and then once more, to see that nothing happens twice.
"""

import http.client
import json
import sys
import threading
import time
import urllib.error
import urllib.request

count, nodes = int(sys.argv[1]), sys.argv[2:]
AGAIN = {429, 503, 504}
turn = 0


def call(path, arguments, key):
    """What the first node answers that does."""
    global turn
    while True:
        turn += 1
        request = urllib.request.Request(
            nodes[turn % len(nodes)] + path,
            data=json.dumps(arguments).encode(),
            headers={
                "content-type": "application/json",
                "idempotency-key": key,
                "braft-timeout": "2s",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=4) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            problem = json.load(error)
            assert error.code in AGAIN, problem
        except (OSError, http.client.HTTPException):
            pass  # A node that is down, or went down.
        time.sleep(0.02)


def follow(seen):
    """Reads events as a browser does, until there are enough."""
    at, last = 0, ""
    while len(seen) < count:
        at += 1
        request = urllib.request.Request(nodes[at % len(nodes)] + "/v1/Board/events")
        if last:
            request.add_header("last-event-id", last)
        try:
            with urllib.request.urlopen(request, timeout=2) as stream:
                for line in stream:
                    name, _, text = line.decode().rstrip("\n").partition(": ")
                    if name == "id":
                        identity = text
                    elif name == "event":
                        assert text == "problem", text
                        break  # The node cannot go on: another one can.
                    elif name == "data":
                        seen.append(json.loads(text)["id"])
                        last = identity
                    if len(seen) == count:
                        return
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)


events = []
reader = threading.Thread(target=follow, args=(events,), daemon=True)
reader.start()
for at in range(1, count + 1):
    total = call("/v1/Counter/add", {"by": 1}, f"add-{at}")
    again = call("/v1/Counter/add", {"by": 1}, f"add-{at}")
    assert total == again == at, (total, again, at)
    note = {"text": f"note {at}", "color": "White", "at": {"x": at, "y": 0}}
    pinned = call("/v1/Board/pin", note, f"pin-{at}")
    again = call("/v1/Board/pin", note, f"pin-{at}")
    assert pinned == again == at, (pinned, again, at)
    print(at, flush=True)
reader.join()
assert events == list(range(1, count + 1)), events
print("done", flush=True)
