"""Load over loopback: every answer is that of a quiet server, or 429; memory stays; it is fast enough.

usage: load.py [--seconds 60] [--clients 64] [--against-offline] [--out FILE]

A client is a process's thread with a connection of its own; requests mix lengths, numbers of texts,
outputs and forms. What each must be answered with, byte by byte in the numbers, is asked for one by
one beforehand, and the first of these are held against `everylayer embed`. `--against-offline` takes
the same texts through `everylayer embed` in the same run and holds the server to 0.9 of its speed.
"""
import argparse
import http.client
import json
import multiprocessing
import random
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

from common import BINARY, Http, library, near

WORDS = "layer vector river bank account orchard lantern engineer of the a in measures quietly beyond".split()
# Memory may still grow by so much after the first sixth of the run.
FLAT = 0.05


def texts(rng, count):
    """Texts of 1 to about 120 tokens, short ones more often."""
    length = lambda: int(min(120, 1 + rng.expovariate(1 / 20)))
    return [" ".join(rng.choice(WORDS) for _ in range(length())) for _ in range(count)]


def jobs():
    """(path, headers, body, number of texts): what clients ask for."""
    rng, all_ = random.Random(5), []
    outputs = [
        [{}], [{}], [{"layers": "all", "pool": "cls"}],
        [{"layers": "-4..-1", "combine": "mean", "pool": "mean"}, {}],
    ]
    for i in range(120):
        some = texts(rng, rng.choice([1, 1, 2, 4, 8, 16]))
        kind = i % 4
        if kind == 0:
            path, body, accept = "/v1/embeddings", {"input": some, "encoding_format": "base64"}, "*/*"
        elif kind == 1:
            path, body, accept = "/embed", {"inputs": some}, "*/*"
        else:
            path, body = "/v1/layers", {"input": some, "outputs": rng.choice(outputs)}
            accept = "application/x-npz" if kind == 2 else "application/json"
        all_.append((path, {"content-type": "application/json", "accept": accept}, json.dumps(body), some))
    return all_


def ask(connection, job):
    """Status and body."""
    path, headers, body, _ = job
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def client(port, seed, start, seconds, known, out):
    """One client: asks until the time is up, and holds every answer to the known one."""
    rng, all_ = random.Random(seed), jobs()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    times, wrong, busy, done = [], [], 0, 0
    time.sleep(max(0, start - time.time()))
    while time.time() < start + seconds:
        i = rng.randrange(len(all_))
        began = time.perf_counter()
        status, body = ask(connection, all_[i])
        times.append(time.perf_counter() - began)
        if status == 429:
            busy += 1
            time.sleep(0.05)
        elif (status, body) != (200, known[i]):
            wrong.append((status, i, body[:200]))
        else:
            done += len(all_[i][3])
    out.put((times, wrong[:3], busy, done, time.time()))


def thread_of_clients(port, seeds, start, seconds, known, out):
    """Several clients in one process, so that Python's lock is not what is measured."""
    from threading import Thread

    all_ = [Thread(target=client, args=(port, seed, start, seconds, known, out)) for seed in seeds]
    [one.start() for one in all_]
    [one.join() for one in all_]


def offline(texts_, seconds):
    """Texts a second of `everylayer embed` on as many of these texts as take about so long."""
    with tempfile.TemporaryDirectory() as folder:
        def run(count):
            with open(f"{folder}/texts.jsonl", "w") as file:
                file.write("".join(json.dumps({"text": t}) + "\n" for t in (texts_ * (count // len(texts_) + 1))[:count]))
            call = [BINARY, "embed", "-i", f"{folder}/texts.jsonl", "--device", "cpu", "--quiet", "-o", f"{folder}/v.npy"]
            began = time.time()
            subprocess.run(call, check=True, stderr=subprocess.DEVNULL)
            return time.time() - began

        # Loading is not part of it: the difference of two runs.
        few, many = 200, 200
        a = run(few)
        while True:
            many *= 4
            b = run(many)
            if b - a > seconds:
                return (many - few) / (b - a)


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--seconds", type=float, default=60)
    words.add_argument("--clients", type=int, default=64)
    words.add_argument("--against-offline", action="store_true")
    words.add_argument("--serve", nargs="*", default=[], help="more words for `everylayer serve`, without dashes")
    words = words.parse_args()
    all_ = jobs()
    with Http("--max-queue", "4096", *[f"--{word}" for word in words.serve]) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        known = []
        for job in all_:
            status, body = ask(connection, job)
            assert status == 200, (status, body[:300])
            known.append(body)
        for job, body in list(zip(all_, known))[1:40:4]:
            near(json.loads(body), library(job[3]))

        context = multiprocessing.get_context("spawn")
        out, start = context.Queue(), time.time() + 3
        share = [range(i, words.clients, min(4, words.clients)) for i in range(min(4, words.clients))]
        processes = [
            context.Process(target=thread_of_clients, args=(server.port, list(seeds), start, words.seconds, known, out))
            for seeds in share
        ]
        [one.start() for one in processes]
        memory = []
        while time.time() < start + words.seconds:
            time.sleep(0.5)
            memory.append((time.time() - start, server.memory()))
        found = [out.get(timeout=120) for _ in range(words.clients)]
        [one.join(30) for one in processes]
        assert server.is_alive()
        # The first one has idled too long and is closed.
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        assert ask(connection, all_[0]) == (200, known[0]), "the server answers otherwise after the load"
        server_time = server.processor()
        connection.request("GET", "/metrics")
        metrics = connection.getresponse().read().decode()
    times = np.sort(np.concatenate([one[0] for one in found])) * 1000
    wrong = [w for one in found for w in one[1]]
    busy, done = sum(one[2] for one in found), sum(one[3] for one in found)
    took = max(one[4] for one in found) - start
    # A shorter run is still warming up after its first sixth.
    settled = words.seconds / 6 if words.seconds >= 60 else words.seconds / 2
    early = max(m for at, m in memory if at <= settled)
    late = max(m for at, m in memory)
    speed = done / took
    wanted = ("te_batch_next_tokens_sum", "te_batch_next_tokens_count", "everylayer_device_microseconds_total")
    for line in metrics.splitlines():
        if line.startswith(wanted):
            print(line)
    print("MiB each second:", *[f"{m / 2**20:.0f}" for _, m in memory[1::2]])
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"processor time: server {server_time:.1f} s, clients and loading {own.ru_utime + own.ru_stime - server_time:.1f} s")
    print(
        f"{words.clients} clients, {took:.1f} s: {len(times)} requests, {done} texts, {busy} busy, {len(wrong)} wrong; "
        f"p50 {np.percentile(times, 50):.1f} ms, p99 {np.percentile(times, 99):.1f} ms; {speed:.0f} texts/s; "
        f"memory {early / 2**20:.1f} MiB after {settled:.0f} s, at most {late / 2**20:.1f} MiB later"
    )
    misses = []
    if wrong:
        misses.append(f"wrong answers: {wrong[:3]}")
    if late > early * (1 + FLAT):
        misses.append(f"memory grew from {early} to {late} bytes")
    if words.against_offline:
        # The same mix: a text as often as clients asked for it.
        alone = offline([t for job in all_ for t in job[3]], words.seconds / 4)
        print(f"offline embed: {alone:.0f} texts/s; the server has {speed / alone:.3f} of it")
        if speed < 0.9 * alone:
            misses.append("slower than 0.9 x offline embed")
    return misses


if __name__ == "__main__":
    said = main()
    print(f"FAILED load: {'; '.join(said)}" if said else "ok load")
    sys.exit(1 if said else 0)
