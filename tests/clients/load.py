"""Load, and then damaged requests, over loopback. usage: load.py PORT [SECONDS] [CLIENTS] [FUZZ]

Every answer must be 200 with the numbers of the first answer to the same text, or 429. Prints p50 and
p99. Standard library alone.
"""
import http.client
import json
import random
import sys
import threading
import time

port, seconds, clients, fuzz = (int(x) for x in (sys.argv[1:] + ["60", "64", "2000"][len(sys.argv) - 2:])[:4])
texts = ["word " * n for n in (1, 3, 9, 30, 90)]
outputs = [[{}], [{"layers": "all", "pool": "cls"}], [{"layers": "-4..-1", "combine": "mean", "pool": "mean"}, {}]]


def call(connection, path, body):
    connection.request("POST", path, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def connect():
    return http.client.HTTPConnection("127.0.0.1", port, timeout=120)


jobs = [json.dumps({"input": t, "outputs": o}) for t in texts for o in outputs]
connection = connect()
known = [call(connection, "/v1/layers", job) for job in jobs]
assert all(status == 200 for status, _ in known), known
times, busy, wrong = [], [0], []


def client(seed):
    rng, connection = random.Random(seed), connect()
    end = time.time() + seconds
    while time.time() < end:
        i = rng.randrange(len(jobs))
        began = time.time()
        answer = call(connection, "/v1/layers", jobs[i])
        if answer[0] == 429:
            busy[0] += 1
        elif answer != known[i]:
            wrong.append(answer)
        times.append(time.time() - began)


threads = [threading.Thread(target=client, args=(i,)) for i in range(clients)]
[t.start() for t in threads]
[t.join() for t in threads]
times.sort()
at = lambda q: 1000 * times[int(q * (len(times) - 1))]
print(f"{len(times)} requests, {busy[0]} busy, {len(wrong)} wrong, p50 {at(.5):.1f} ms, p99 {at(.99):.1f} ms")
assert not wrong, wrong[:2]

rng, paths = random.Random(1), ["/v1/layers", "/v1/embeddings", "/embed", "/embed_all", "/tokenize", "/decode", "/similarity", "/encode"]
seeds = [*jobs[:3], '{"input":["a"],"dimensions":3}', '{"inputs":"a","truncate":true}', '{"ids":[[1,2]]}', '{"texts":[["a","|||","b"]]}']
seen = {}
for _ in range(fuzz):
    body = bytearray(rng.choice(seeds).encode())
    for _ in range(rng.randrange(6)):
        body[rng.randrange(len(body))] = rng.randrange(256)
    try:
        status, _ = call(connection, rng.choice(paths), bytes(body[: rng.randrange(len(body) + 1)]) if rng.random() < .3 else bytes(body))
    except (http.client.HTTPException, OSError):
        connection, status = connect(), "closed"
    seen[status] = seen.get(status, 0) + 1
print("damaged requests:", seen)
assert not {s for s in seen if isinstance(s, int) and s >= 500} and call(connect(), "/embed", '{"inputs":"a"}')[0] == 200
print("ok")
