"""The unmodified bert-serving-client 1.10.0: every call of it, against `serve bert-as-service`."""
import json
import multiprocessing
import time
import urllib.request
from multiprocessing.dummy import Pool

import numpy as np
import zmq
from bert_serving.client import BertClient, ConcurrentBertClient

from common import Bert, check, end, free_port, library, near

TEXTS = ["hello world", "a second text, somewhat longer", "third"]
LAYERS = ["-l", "-2,-1", "--combine", "concat", "-p", "mean", "--normalize=false"]
WORDS = ["-show_tokens_to_client", "-pooling_layer", "-2", "-1"]
# A client that gets no answer fails instead of waiting for ever.
PATIENCE = {"timeout": 20_000}


def process(ports, number, seconds, results):
    """One of several processes: its own texts, again and again."""
    texts = [f"process {number} says {i}" for i in range(3)]
    with BertClient(**ports, **PATIENCE) as client:
        first, count, end = client.encode(texts), 0, time.time() + seconds
        while time.time() < end:
            assert np.array_equal(client.encode(texts), first)
            count += 1
    results.put((number, count, first))


def calls(server):
    """Every call of the client."""
    want = library(TEXTS, *LAYERS)
    client = BertClient(**server.ports, **PATIENCE)

    def config():
        found = client.server_config
        assert found["server_version"] == "1.10.0", found
        assert found["pooling_layer"] == [-2, -1] and found["pooling_strategy"] == 2, found
        assert found["max_seq_len"] == 25 and found["show_tokens_to_client"] is True, found

    def strings():
        got = client.encode(TEXTS)
        assert got.dtype == np.float32
        near(got, want)

    def tokens():
        got, shown = client.encode(TEXTS[:1], show_tokens=True)
        near(got, want[:1])
        assert shown == [["[CLS]", "hello", "world", "[SEP]"]], shown

    def tokenized():
        got, shown = client.encode([["hello", "world"], ["third", "unheardof"]], is_tokenized=True, show_tokens=True)
        near(got[0], want[0])
        assert shown[1] == ["[CLS]", "third", "[UNK]", "[SEP]"], shown

    def pairs():
        with open_jsonl([{"text": "a question", "text_pair": "an answer"}]) as path:
            of_pair = library([], "-i", path, *LAYERS)
        near(client.encode(["a question ||| an answer"]), of_pair)
        near(client.encode([["a", "question", "|||", "an", "answer"]], is_tokenized=True), of_pair)

    def unblocked():
        for i in range(3):
            assert client.encode(TEXTS[: i + 1], blocking=False) is None
        got = client.fetch_all(sort=True)
        assert [len(one) for one in got] == [1, 2, 3]
        near(got[2], want)

    def fetched():
        for i in range(3):
            client.encode([TEXTS[i]], blocking=False)
        got = sorted((one.id, one.embedding) for one in client.fetch())
        near(np.concatenate([vectors for _, vectors in got]), want)

    def concatenated():
        for i in range(3):
            client.encode([TEXTS[i]], blocking=False)
        near(client.fetch_all(sort=True, concat=True), want)

    def endless():
        batches = (TEXTS for _ in range(5))
        got = list(client.encode_async(batches, max_num_batch=5))
        assert len(got) == 5
        [near(one.embedding, want) for one in got]

    def lengths():
        # Of no model, 600 tokens: cut to 25, as -max_seq_len says, and the client warns.
        got, shown = client.encode(["word " * 600], show_tokens=True)
        assert got.shape == (1, want.shape[1]) and len(shown[0]) == 25, (got.shape, len(shown[0]))

    def status():
        found = client.server_status["statistic"]
        assert found["num_data_request"] >= 10 and found["num_total_client"] >= 1, found

    def lists():
        with BertClient(**server.ports, **PATIENCE, output_fmt="list") as other:
            got = other.encode(TEXTS)
            assert isinstance(got, list) and isinstance(got[0][0], float)
            near(got, want)

    def bad():
        try:
            client._recv_ndarray(client._send(b"{}", 1))
        except TypeError as error:
            assert "expected a list of strings; or" in str(error), error
        else:
            raise AssertionError("a bad job went through")
        near(client.encode(TEXTS), want)

    def several():
        with ConcurrentBertClient(max_concurrency=4, **server.ports, **PATIENCE) as many:
            got = Pool(4).map(many.encode, [TEXTS] * 16)
            [near(one, want) for one in got]
            assert many.server_config["server_version"] == "1.10.0"

    def shared():
        # Several clients of one identity: each answer goes to all (documented multicast). Without
        # checks, whose answers would go to both as well.
        same = {**server.ports, **PATIENCE, "identity": b"shared", "ignore_all_checks": True}
        with BertClient(**same) as a, BertClient(**same) as b:
            time.sleep(0.3)  # until both have subscribed
            a.encode(TEXTS, blocking=False)
            b.pending_request.add(a.request_id)
            near(b.fetch_all()[0], want)
            near(a.fetch_all()[0], want)

    def processes():
        context = multiprocessing.get_context("spawn")
        results = context.Queue()
        all_ = [context.Process(target=process, args=(server.ports, i, 2.0, results)) for i in range(4)]
        [one.start() for one in all_]
        found = [results.get(timeout=60) for _ in all_]
        [one.join(20) for one in all_]
        assert all(one.exitcode == 0 for one in all_)
        for number, count, vectors in found:
            assert count > 0
            near(vectors, library([f"process {number} says {i}" for i in range(3)], *LAYERS))

    def http():
        body = json.dumps({"id": 7, "texts": TEXTS, "is_tokenized": False}).encode()
        ask = urllib.request.Request(f"http://127.0.0.1:{server.http}/encode", body, {"content-type": "application/json"})
        got = json.load(urllib.request.urlopen(ask, timeout=20))
        near(got["result"], want)
        assert got["results"] == got["result"] and got["id"] == 7 and got["status"] == 200
        for path in ("server", "client"):
            json.load(urllib.request.urlopen(f"http://127.0.0.1:{server.http}/status/{path}", timeout=20))

    for name, work in [
        ("server_config", config), ("encode of strings", strings), ("show_tokens", tokens),
        ("is_tokenized", tokenized), ("A ||| B", pairs), ("blocking=False, fetch_all(sort)", unblocked),
        ("fetch", fetched), ("fetch_all(concat)", concatenated), ("encode_async", endless),
        ("a text beyond max_seq_len", lengths), ("server_status", status), ("output_fmt=list", lists), ("a bad job is an error", bad),
        ("ConcurrentBertClient", several), ("two clients of one identity", shared),
        ("4 processes at once", processes), ("POST /encode, GET /status", http),
    ]:
        check(f"bert-serving-client: {name}", work)
    client.close()


def open_jsonl(lines):
    """A file of these lines, that goes with the block."""
    import contextlib
    import tempfile

    @contextlib.contextmanager
    def opened():
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))
            file.flush()
            yield file.name

    return opened()


def termination():
    """What `bert-serving-terminate` sends (`BertServer.shutdown`; the client's package has no call for it)."""
    with Bert() as server:
        with BertClient(**server.ports, **PATIENCE) as client:
            client.encode(TEXTS)
        with zmq.Context() as context, context.socket(zmq.PUSH) as push:
            push.connect(f"tcp://127.0.0.1:{server.port}")
            push.send_multipart([b"0", b"TERMINATION", b"0", b"0"])
            assert server.child.wait(15) == 0


if __name__ == "__main__":
    http_port = free_port()
    with Bert(*WORDS, "-http_port", http_port) as server:
        server.http = http_port
        calls(server)
    check("bert-serving-client: termination", termination)
    end()
