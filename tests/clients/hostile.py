"""A server in hostile hands, on the loopback: more clients than connections, bodies and answers beside its
memory, its health under load, and a log that nobody reads. Under two minutes.

Lines that are no checks are those of benches/results/*-hostile-server.txt.
"""
import argparse
import http.client
import json
import os
import socket
import subprocess
import threading
import time

from common import BINARY, Http, check, end, free_port

def note(what, value):
    """A row of the table."""
    print(f"{what}: {value}", flush=True)


def ask(port, method, path, body=None, timeout=100):
    """Status, body and seconds of one request on a connection of its own; "reset" for a status."""
    began = time.time()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        connection.request(method, path, body, {"content-type": "application/json", "connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read(), time.time() - began
    except OSError as error:
        return type(error).__name__, b"", time.time() - began


def at_once(count, work):
    """What `work` gives, by that many threads that begin together."""
    found, barrier = [None] * count, threading.Barrier(count)

    def one(i):
        barrier.wait()
        found[i] = work(i)

    threading.stack_size(256 << 10)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return found


def counts(statuses):
    return ", ".join(f"{status}: {statuses.count(status)}" for status in sorted(set(statuses), key=str))


def peak(server):
    """Most resident bytes since the start, or since `clear`."""
    with open(f"/proc/{server.child.pid}/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))


def clear(server):
    with open(f"/proc/{server.child.pid}/clear_refs", "w") as refs:
        refs.write("5")


def rested(server, seconds=15):
    """Resident bytes, the least that it comes to within some seconds."""
    least, began = server.memory(), time.time()
    while time.time() < began + seconds:
        time.sleep(0.5)
        least = min(least, server.memory())
    return least


def crowds(clients, connections):
    def work():
        with Http("--max-connections", str(connections)) as server:
            body = json.dumps({"inputs": "a text"})
            found = at_once(clients, lambda i: ask(server.port, "POST", "/embed", body))
            statuses = [status for status, *_ in found]
            slowest = max(took for *_, took in found)
            note(f"{clients} clients on {connections} connections", f"{counts(statuses)}; the last after {slowest:.1f} s")
            assert set(statuses) == {200}, counts(statuses)

    return work


def bodies():
    with Http("--max-client-batch-size", "8") as server:
        body = json.dumps({"inputs": ["a text"] * 8, "other": "x" * 15_000_000})
        # Once, so that what is made once is there.
        ask(server.port, "POST", "/embed", json.dumps({"inputs": ["a text " * 200] * 8}))
        before = rested(server, 3)
        clear(server)

        def one(_):
            # As a client does: again, when it is told to.
            for _ in range(50):
                status = ask(server.port, "POST", "/embed", body)[0]
                if status != 429:
                    return status
                time.sleep(1)
            return status

        statuses = [s for _ in range(5) for s in at_once(40, one)]
        most, after = peak(server), rested(server, 6)
        mib = lambda n: f"{n / 2**20:.0f} MiB"
        note("200 bodies of 15 MB", f"{counts(statuses)}; {mib(before)} before, {mib(most)} at most, {mib(after)} after")
        assert set(statuses) == {200}, counts(statuses)
        assert after <= 1.2 * before, f"{before} bytes before, {after} after"


def answers():
    with Http() as server:
        text = "many words of one text " * 60
        outputs = [{"layers": "all", "pool": "tokens"}]
        body = json.dumps({"input": [text] * 120, "outputs": outputs})
        ask(server.port, "POST", "/v1/layers", json.dumps({"input": text, "outputs": outputs}))
        before = rested(server, 3)
        clear(server)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=100)
        connection.request("POST", "/v1/layers", body)
        answer = connection.getresponse()
        size = 0
        while part := answer.read(1 << 20):
            size += len(part)
        most, after = peak(server), rested(server, 4)
        vectors = 120 * 256 * 7 * 384 * 4
        mib = lambda n: f"{n / 2**20:.0f} MiB"
        note(
            f"{len(body) / 1e6:.2f} MB in, {size / 1e9:.2f} GB of JSON out",
            f"{mib(vectors)} of vectors; {mib(before)} before, {mib(most)} at most, {mib(after)} after",
        )
        assert answer.status == 200 and size > 2 * vectors
        assert most - before < 1.5 * vectors, f"{most - before} bytes more for {vectors} of vectors"


def health():
    with Http() as server:
        stop = time.time() + 12
        body = json.dumps({"inputs": ["words of a text that takes a while " * 8] * 8})

        def load(i):
            count = 0
            while time.time() < stop:
                count += ask(server.port, "POST", "/embed", body)[0] in (200, 429)
            return count

        def probe(i):
            found = []
            while time.time() < stop:
                time.sleep(0.2)
                found.append(ask(server.port, "GET", "/health"))
            return found

        both = at_once(201, lambda i: probe(i) if i == 0 else load(i))
        statuses = [status for status, *_ in both[0]]
        times = sorted(took for *_, took in both[0])
        middle, last = times[len(times) // 2], times[-1]
        note("/health beside 200 clients", f"{counts(statuses)}; p50 {middle * 1000:.0f} ms, most {last * 1000:.0f} ms")
        assert set(statuses) == {200} and last < 5, (counts(statuses), last)


def unread_log():
    port, (read, write) = free_port(), os.pipe()
    child = subprocess.Popen([BINARY, "serve", "--port", str(port), "--device", "cpu", "--log", "info"], stderr=write)
    try:
        for _ in range(200):
            time.sleep(0.1)
            if ask(port, "GET", "/health")[0] == 200:
                break
        answered = sum(ask(port, "GET", "/nothing" * 10, timeout=10)[0] == 404 for _ in range(3000))
        note("requests with a log that nobody reads", f"{answered} of 3000 answered")
        assert answered == 3000, answered
    finally:
        child.terminate()
        child.wait(20)
        os.close(read)
        os.close(write)


def silent():
    with Http("--max-connections", "64") as server:
        crowd = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(256)]
        status, _, took = ask(server.port, "POST", "/embed", json.dumps({"inputs": "a text"}))
        note("a request behind 256 silent connections on 64 connections", f"{status} after {took:.1f} s")
        [one.close() for one in crowd]
        assert status == 200


words = argparse.ArgumentParser()
words.add_argument("checks", nargs="*", help="of those below; all where none is named")
words = words.parse_args()
for name, work in [
    ("crowd", crowds(1500, 1024)),
    ("small-crowd", crowds(128, 64)),
    ("silent", silent),
    ("bodies", bodies),
    ("answers", answers),
    ("health", health),
    ("log", unread_log),
]:
    if not words.checks or name in words.checks:
        check(f"hostile: {name}", work)
end()
