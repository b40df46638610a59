"""A bot that sits in a room: it answers "!time", and says what comes on its standard input. It answers each question once, also one that was asked
while it was away, and no old one again when it is restarted.

It needs Python 3.9 or newer, a running server (cargo run --release), and a token (ADMIN_UID=… ADMIN_TOKEN=… sh examples/create-token.sh timekeeper).
In a folder of its own, with this file in it:

  python3 -m venv venv && venv/bin/pip install 'python-socketio[asyncio-client]==5.18.1'
  TOKEN=… venv/bin/python bot.py http://127.0.0.1:3000 plans timekeeper

Exit codes: 0 ended by SIGINT or SIGTERM, 1 the server does not want this bot, 2 wrong usage.

How it works. The server keeps the inserts of a room in a log, and a position in it is the number of inserts before it. The bot reads the log and nothing
else: a live message only wakes it. So there is one path for what is old and what is new, and nothing can come twice or be left out. That costs one request
more than handing out live messages, as the other examples do; for a bot it is nothing.

A question is answered once because its answer's id is made of the question's: an answer that is in the log already is not given again, and should one be
stored twice, the others leave the second out.
"""
import asyncio
import os
import random
import signal
import sys
import threading
import time
import uuid
from pathlib import Path
from urllib.parse import quote

import socketio

ANSWER_PATIENCE = 30  # seconds; the server itself waits for its store for 10 s and more
CONNECT_PATIENCE = 20
SHORTEST_PAUSE, LONGEST_PAUSE = 1, 30  # seconds before it comes back
RETRYABLE = ("store unavailable", "outcome unknown")
PASSING = ("server error", "reach rate limit")  # of sign-ins: worth another try after a pause
END_OF_LOG = 2**53 - 1


class Refused(Exception):
    """The server does not want us: coming back would not help."""


class Lost(Exception):
    """The connection is gone: come back."""


class Bot:
    def __init__(self, url, room, uid, token):
        self.url, self.room, self.uid, self.token = url, room, uid, token
        self.news = asyncio.Event()  # the log may have grown, or there is something to say
        self.to_say = {}  # id → text that is not known to be stored
        self.file = Path(f"{quote(room, safe='')}.{quote(uid, safe='')}.position")
        # The inserts that are dealt with. A bot that is new here has dealt with all.
        self.have = int(self.file.read_text()) if self.file.exists() else None

    def say(self, text):
        self.to_say[str(uuid.uuid4())] = text
        self.news.set()

    async def run(self):
        """Comes back after each loss, with a growing and random pause, so that the many clients of a restarted server do not all come at once."""
        pause = SHORTEST_PAUSE
        while True:
            begin = time.monotonic()
            try:
                await self.visit()
            except (Lost, socketio.exceptions.SocketIOError) as error:
                print(f"no connection to {self.url} ({error}), trying again", file=sys.stderr)
            if time.monotonic() - begin > LONGEST_PAUSE:
                pause = SHORTEST_PAUSE
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, LONGEST_PAUSE)

    async def visit(self):
        """One connection, from its begin to its end."""
        over = asyncio.get_running_loop().create_future()

        def end(why):  # the first reason is the one that tells most
            if not over.done():
                over.set_result(why)

        def disconnected(reason):
            # By its own will the server ends a connection for good.
            refused = reason == client.reason.SERVER_DISCONNECT
            end(Refused("the server ended the session") if refused else Lost(reason))

        # Coming back is done in `run`, where the pause begins anew only after a visit that lasted.
        client = socketio.AsyncClient(reconnection=False, handle_sigint=False)
        client.on("authenticate", lambda answer: answer["status"] and end((Lost if answer["data"] in PASSING else Refused)(answer["data"])))
        client.on("kickout", lambda _: end(Refused("signed in elsewhere")))  # coming back would throw the other one out
        client.on("disconnect", disconnected)
        client.on("msg", lambda message: self.news.set())
        work = None
        try:
            await client.connect(self.url, transports=["websocket"], wait_timeout=CONNECT_PATIENCE)
            work = asyncio.create_task(self.work(client))
            await asyncio.wait({over, work}, return_when=asyncio.FIRST_COMPLETED)
            if over.done():
                raise over.result()
            await work
        finally:
            if work:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
            await client.disconnect()

    async def work(self, client):
        # A refusal comes as an event, which ends the visit; so here all went well.
        await client.call("authenticate", {"uid": self.uid, "token": self.token}, timeout=ANSWER_PATIENCE)
        answer = await client.call("join", {"roomId": self.room}, timeout=ANSWER_PATIENCE)
        if answer["status"] != 0:
            raise Lost(answer["data"]) if answer["data"] == "server error" else Refused(answer["data"])
        await self.read(client)
        print("online", file=sys.stderr)
        while True:
            for id in list(self.to_say):
                await self.send(client, id, self.to_say[id])
                self.to_say.pop(id, None)
            await self.news.wait()
            self.news.clear()
            await self.read(client)

    async def read(self, client):
        """Reads the log from our position to its end, and answers what is not answered in it. Only then the position is kept: who is killed before
        that reads the questions again, and finds the answers behind them."""
        position = END_OF_LOG if self.have is None else self.have
        questions, said = {}, set()
        while True:
            # With `resume` the answer has `log`, the position behind the page. Its `offset` counts updates too: who resumes there skips inserts.
            page = await client.call("sync", {"offset": position, "resume": True}, timeout=ANSWER_PATIENCE)
            if page["log"] < position and self.have is not None:  # somebody cleared the room
                position = self.have = 0
                questions.clear()
                continue
            for index, message in enumerate(page["data"], position):
                if kind_of(message) != 0:
                    continue  # an update (1): behind the last page come all of the room
                id = message.get("1", message.get("msgId", f"#{index}"))
                if str(message["2"]) == self.uid:
                    said.add(id)
                elif message.get("text") == "!time":
                    questions[f"re:{message['2']}:{id}"] = message
            position = page["log"]
            if not page["next"]:
                break
        for id in said:
            self.to_say.pop(id, None)  # it was stored, though its acknowledgement was lost
        for id, question in questions.items():
            if id not in said:
                await self.send(client, id, f"@{question['2']} it is {time.strftime('%H:%M:%S', time.gmtime())} UTC")
        self.keep(position)

    async def send(self, client, id, text):
        """Until it is stored. Each time with the same id: if it is stored twice, receivers show it once."""
        while True:
            answer = await client.call("msg", {"storage": 0, "msgId": id, "text": text}, timeout=ANSWER_PATIENCE)
            if answer["status"] == 0:
                return
            if answer["data"] not in RETRYABLE:
                print(f"not said ({answer['data']}): {text}", file=sys.stderr)
                return
            await asyncio.sleep(random.uniform(2, 4))

    def keep(self, position):
        """The file is the old one or the new one, never half of it."""
        if position != self.have:
            self.have = position
            draft = self.file.with_suffix(".new")
            draft.write_text(str(position))
            draft.replace(self.file)


def kind_of(message):
    """0 insert, 1 update, 2 ignore: in the short key or in the long one."""
    kind = str(message.get("s", message.get("storage")))
    return int(kind) if kind in ("1", "2") else 0


def listen(bot, loop):
    # Without a buffer, whose lock this thread would hold when the program ends.
    for line in open(sys.stdin.fileno(), "rb", buffering=0, closefd=False):
        loop.call_soon_threadsafe(bot.say, line.decode(errors="replace").rstrip("\n"))


async def main():
    if len(sys.argv) != 4 or "TOKEN" not in os.environ:
        print("usage: TOKEN=… python bot.py URL ROOM UID", file=sys.stderr)
        return 2
    bot = Bot(*sys.argv[1:], os.environ["TOKEN"])
    loop = asyncio.get_running_loop()
    running = asyncio.create_task(bot.run())
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.cancel)
    threading.Thread(target=listen, args=(bot, loop), daemon=True).start()
    try:
        await running
    except asyncio.CancelledError:
        return 0  # the others in the room see us go
    except Refused as reason:
        print(f"refused: {reason}", file=sys.stderr)
        return 1


sys.exit(asyncio.run(main()))
