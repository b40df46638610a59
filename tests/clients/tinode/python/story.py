"""Two users of Tinode's own gRPC bindings (PyPI: tinode-grpc): they register, talk, and read what was said.

    python story.py HOST:PORT LOGIN_1 LOGIN_2

What it has seen goes out as one line of JSON, which the test looks at: see ../../tinode-grpc.mjs.
"""

import json
import queue
import sys

import grpc
from tinode_grpc import pb, pbx

PATIENCE = 120  # seconds; a busy machine is no fault


class Session:
    """One stream, whose requests are asked one after the other."""

    def __init__(self, channel):
        self.requests = queue.Queue()
        self.ids = 0
        self.told = []
        stub = pbx.NodeStub(channel)
        self.answers = stub.MessageLoop(iter(self.requests.get, None), timeout=PATIENCE)

    def ask(self, verb, message):
        """The answer, ctrl or meta; what comes before it by itself is kept."""
        self.ids += 1
        message.id = str(self.ids)
        self.requests.put(pb.ClientMsg(**{verb: message}))
        for answer in self.answers:
            for kind in ("ctrl", "meta"):
                if answer.HasField(kind) and getattr(answer, kind).id == message.id:
                    return getattr(answer, kind)
            self.told.append(answer)
        raise RuntimeError(f"the stream ended before {verb} was answered")

    def hear(self, kind):
        """The next message of this kind that comes by itself."""
        for kept in [answer for answer in self.told if answer.HasField(kind)]:
            self.told.remove(kept)
            return getattr(kept, kind)
        for answer in self.answers:
            if answer.HasField(kind):
                return getattr(answer, kind)
            self.told.append(answer)
        raise RuntimeError(f"the stream ended before a {kind} came")

    def register(self, login, name):
        codes = [self.ask("hi", pb.ClientHi(user_agent="Tests/1.0", ver="0.22.3", lang="EN")).code]
        desc = pb.SetDesc(public=json.dumps({"fn": name}).encode())
        ctrl = self.ask("acc", pb.ClientAcc(user_id="new", scheme="basic", secret=f"{login}:a secret".encode(), login=True, desc=desc))
        self.user = json.loads(ctrl.params["user"])
        codes.append(ctrl.code)
        codes.append(self.ask("sub", pb.ClientSub(topic="me")).code)
        return codes

    def close(self):
        self.requests.put(None)


def main(address, first, second):
    with grpc.insecure_channel(address) as channel:
        ann, ben = Session(channel), Session(channel)
        seen = {"ann": ann.register(first, "Ann"), "ben": ben.register(second, "Ben"), "users": [ann.user, ben.user]}
        seen["sub"] = ann.ask("sub", pb.ClientSub(topic=ben.user)).code
        ben.ask("sub", pb.ClientSub(topic=ann.user))
        published = ann.ask("pub", pb.ClientPub(topic=ben.user, no_echo=True, content=json.dumps("hello").encode()))
        seen["pub"] = [published.code, json.loads(published.params["seq"])]
        data = ben.hear("data")
        seen["data"] = [data.topic, data.from_user_id, data.seq_id, json.loads(data.content)]
        ben.requests.put(pb.ClientMsg(note=pb.ClientNote(topic=ann.user, what=pb.READ, seq_id=1)))
        info = ann.hear("info")
        seen["info"] = [info.from_user_id, pb.InfoNote.Name(info.what), info.seq_id]
        desc = ben.ask("get", pb.ClientGet(topic=ann.user, query=pb.GetQuery(what="desc"))).desc
        seen["desc"] = [desc.seq_id, desc.read_id, desc.recv_id, json.loads(desc.public)]
        ann.close()
        ben.close()
        print(json.dumps(seen))


main(*sys.argv[1:])
