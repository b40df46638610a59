"""Clients of python-socketio 4 or 5, driven by lines of JSON on standard input; what they are told goes out in such lines: see driven.mjs.

AsyncClient is what the story is told to. With `threads` a client is a Client, which handles each event in a thread of its own: in any order.
"""

import asyncio
import inspect
import json
import sys
import threading

import socketio
from engineio.payload import Payload

# Over polling a server gives all it has in one answer. This library takes 16 packets and disconnects at the 17th, unless it is told otherwise.
if "--few-packets" not in sys.argv:
    Payload.max_decode_packets = 100_000

REASONS = {"server disconnect": "io server disconnect", "client disconnect": "io client disconnect"}
SETTINGS = {"reconnection_delay": 0.02, "reconnection_delay_max": 0.1, "randomization_factor": 0}

# Version 5 gives up when the namespace does not answer within a second; a busy machine takes longer.
PATIENCE = {"wait_timeout": 60} if "wait_timeout" in inspect.signature(socketio.Client.connect).parameters else {}

clients = {}
writing = threading.Lock()


def tell(client, **what):
    with writing:
        print(json.dumps({"client": client, **what}), flush=True)


def unpacked(value):
    """An object of JSON, or the bytes that stand there as Node writes a Buffer."""
    return bytes(value["data"]) if value.get("type") == "Buffer" else value


def listen(sio, number, events):
    """The application: a handler for each event, the same in both versions."""

    def hear(event):
        sio.on(event, lambda *payload: tell(number, event=[event, *payload]))

    for event in events:
        hear(event)
    sio.on("connect", lambda: tell(number, connected=True, transport=sio.transport()))
    sio.on("connect_error", lambda *error: tell(number, trouble=str(error)))


class Watched(socketio.AsyncClient):
    """An AsyncClient that tells also when it tries to connect, when its transport changes, and in version 4 why it was disconnected."""

    def __init__(self, number, events, returns):
        super().__init__(**SETTINGS)
        self.number = number
        self.returns = returns
        self.told = None
        listen(self, number, events)
        self.on("disconnect", self.gone)

    def gone(self, reason=None):
        tell(self.number, disconnected=REASONS.get(reason, reason) or self.reason_why)

    async def connect(self, *args, **settings):
        tell(self.number, attempt=True)
        self.reason_why = "transport close"
        await super().connect(*args, **settings, **PATIENCE)

    async def disconnect(self):
        self.reason_why = "io client disconnect"
        await super().disconnect()

    async def _handle_disconnect(self, namespace):
        self.reason_why = "io server disconnect"
        # Version 4 comes back after a DISCONNECT too, as soon as the transport closes. That is for its application to prevent, like this.
        if not self.returns:
            self.reconnection = False
        await super()._handle_disconnect(namespace)

    def look(self):
        if self.connected and self.transport() != self.told:
            self.told = self.transport()
            tell(self.number, transport=self.told)


async def open_client(number, url, transports, events, *, returns=False, threads=False):
    if threads:
        sio = clients[number] = socketio.Client(**SETTINGS)
        listen(sio, number, events)
        sio.on("disconnect", lambda reason=None: tell(number, disconnected=REASONS.get(reason, reason) or "no reason"))
        await asyncio.to_thread(sio.connect, url, transports=transports, **PATIENCE)
    else:
        sio = clients[number] = Watched(number, events, returns)
        await sio.connect(url, transports=transports)


async def emit(number, event, payload, ack=None):
    sio = clients[number]
    # A list is one argument here, a tuple would be several.
    settings = {"callback": lambda *answer: tell(number, ack=ack, answer=answer)} if ack is not None else {}
    sent = sio.emit(event, payload[0] if payload else None, **settings)
    if asyncio.iscoroutine(sent):
        await sent


async def close(number):
    sio = clients.pop(number, None)
    gone = sio and sio.disconnect()
    if asyncio.iscoroutine(gone):
        await gone


ORDERS = {"open": open_client, "emit": emit, "close": close}


async def obey(order):
    number = order.pop("client")
    try:
        await ORDERS[order.pop("do")](number, **order)
    except Exception as error:  # told to the test, which fails by what it then misses
        tell(number, trouble=repr(error))


async def watch():
    while True:
        for sio in list(clients.values()):
            if isinstance(sio, Watched):
                sio.look()
        await asyncio.sleep(0.01)


async def main():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=64 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tasks = {loop.create_task(watch())}
    async for line in reader:
        order = json.loads(line, object_hook=unpacked)
        if order["do"] == "emit":
            await obey(order)  # one after the other
        else:
            task = loop.create_task(obey(order))
            tasks.add(task)
            task.add_done_callback(tasks.discard)


asyncio.run(main())
