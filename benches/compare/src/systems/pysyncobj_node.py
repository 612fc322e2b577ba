"""A node of PySyncObj: a dictionary, written to over a line protocol.

Usage: pysyncobj_node.py OWN PEERS CLIENT JOURNAL
  OWN      "host:port" of this node for its peers
  PEERS    the same of the others, separated by commas
  CLIENT   "host:port" for clients
  JOURNAL  the file for the log

Requests and answers are lines: "ID put KEY VALUE" is answered by "ID ok" once it is committed and
applied here, or by "ID error REASON"; "ID leads" by "ID yes" or "ID no".
"""
import asyncio
import sys

from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated

# A value and what surrounds it.
MAX_LINE_BYTES = 4 << 20


class Store(SyncObj):
    def __init__(self, own, peers, journal):
        # With batches a write waits for the next tenth of a second, and few clients get nowhere.
        conf = SyncObjConf(
            journalFile=journal, fullDumpFile=journal + ".dump", appendEntriesUseBatch=False
        )
        super().__init__(own, peers, conf)
        self._values = {}

    @replicated
    def put(self, key, value):
        self._values[key] = value


async def serve(store, loop, reader, writer):
    def answer(line):
        if not writer.is_closing():
            writer.write(line.encode())

    while line := await reader.readline():
        words = line.decode().rstrip("\n").split(" ")
        number = words[0]
        if words[1] == "leads":
            leader = store._getLeader()
            is_own = leader is not None and str(leader) == str(store.selfNode)
            answer(f"{number} {'yes' if is_own and store.isReady() else 'no'}\n")
            continue

        def committed(_, error, number=number):
            ok = error == FAIL_REASON.SUCCESS
            text = f"{number} ok\n" if ok else f"{number} error {error}\n"
            # The store calls from a thread of its own.
            loop.call_soon_threadsafe(answer, text)

        store.put(words[2], words[3], callback=committed)
    writer.close()


async def main():
    own, peers, client, journal = sys.argv[1:5]
    store = Store(own, peers.split(","), journal)
    loop = asyncio.get_running_loop()
    host, port = client.rsplit(":", 1)
    server = await asyncio.start_server(
        lambda reader, writer: serve(store, loop, reader, writer), host, int(port), limit=MAX_LINE_BYTES
    )
    async with server:
        await server.serve_forever()


asyncio.run(main())
