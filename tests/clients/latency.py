"""How long a small request takes beside heavy clients, and what they get meanwhile.

usage: latency.py [--seconds 20] [--against WORDS ...] [--old BINARY [--pairs 5]]

Small requests (one text of 10 tokens, one after the other) alone; beside one client and beside four
that send 2,048 texts of 250 tokens without end; beside windows that share as much as they may, and
beside one text of 200,000 words in windows. With `--against batch-ms=0` the same beside four clients
with other words of `serve`, for the ratio of the throughputs in one run. With `--old BINARY` the same
beside four clients with an older binary and this one in turns, `--pairs` times, and nothing else.
"""
import argparse
import contextlib
import http.client
import json
import multiprocessing
import signal
import sys
import time

import numpy as np

import common
from common import Http

# On 2 cores, beside four heavy clients.
P50, P99 = 60, 150
KEEPS = 0.9
# Seconds after which the texts of four heavy clients have been tokenised.
SETTLE = 20


def heavy(port, path, body):
    """A client that sends one request after the other until it is killed."""
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        connection.request("POST", path, body, {"content-type": "application/json", "accept": "application/x-npz, */*;q=0.5"})
        answer = connection.getresponse()
        answer.read()
        # What a full queue does not take is asked again.
        assert answer.status in (200, 429), answer.status
        time.sleep(0.1 if answer.status == 429 else 0)


def small(port, seconds):
    """Milliseconds of each small request, and of /health between them."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    times, health, end = [], [], time.time() + seconds
    while time.time() < end or len(times) < 5:
        began = time.perf_counter()
        connection.request("POST", "/embed", '{"inputs":"a small text of some eight tokens"}', {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        times.append((time.perf_counter() - began) * 1e3)
        if len(times) % 10 == 0:
            began = time.perf_counter()
            connection.request("GET", "/health")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, f"/health: {answer.status}"
            health.append((time.perf_counter() - began) * 1e3)
    return np.array(times), np.array(health or [0.0])


def metric(port, name):
    """A number of /metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    return sum(int(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def beside(words, clients, path, body, seconds):
    """Of a server of its own: times of small requests and of /health, tokens a second of all, and the
    seconds until nothing runs once the heavy clients have left."""
    with Http(*words) as server:
        small(server.port, 0.5)
        context = multiprocessing.get_context("spawn")
        all_ = [context.Process(target=heavy, args=(server.port, path, body)) for _ in range(clients)]
        [one.start() for one in all_]
        time.sleep(2 if clients else 0)
        began, before = time.time(), metric(server.port, "everylayer_tokens_total")
        times, health = small(server.port, seconds)
        rate = (metric(server.port, "everylayer_tokens_total") - before) / (time.time() - began)
        assert all(one.is_alive() for one in all_), "a heavy client was refused"
        [one.kill() for one in all_]
        left = time.time()
        while metric(server.port, "everylayer_running_texts") + metric(server.port, "te_queue_size"):
            assert time.time() < left + 60, "work goes on without its clients"
            time.sleep(0.02)
        return times, health, rate, time.time() - left


def against_old(old, pairs, body, seconds):
    """This binary and `old` in turns beside four heavy clients each: what this one misses of what it should keep.

    Both servers are there at once and one of them is stopped (SIGSTOP) at any time. They are measured once
    neither reads texts any more: the old one reads all texts of its clients at the start, this one bit by
    bit, and the same time of the processor is spent either way."""
    ratios, small_ones, servers = [], [], {}
    context, clients = multiprocessing.get_context("spawn"), []
    with contextlib.ExitStack() as stack:
        for name, common.BINARY in [("old", old), ("new", common.BINARY)]:
            server = servers[name] = stack.enter_context(Http())
            # A stopped server would not end.
            stack.callback(server.child.send_signal, signal.SIGCONT)
            small(server.port, 0.5)
            mine = [context.Process(target=heavy, args=(server.port, "/embed", body)) for _ in range(4)]
            [one.start() for one in mine]
            clients += mine
            stack.callback(lambda mine: [one.kill() for one in mine], mine)
            time.sleep(SETTLE)
            server.child.send_signal(signal.SIGSTOP)
        for number in range(pairs):
            rates = {}
            for name in ["old", "new"][:: 1 if number % 2 == 0 else -1]:
                server = servers[name]
                server.child.send_signal(signal.SIGCONT)
                small(server.port, 0.5)
                began, before = time.time(), metric(server.port, "everylayer_tokens_total")
                times, _ = small(server.port, seconds)
                rates[name] = (metric(server.port, "everylayer_tokens_total") - before) / (time.time() - began)
                server.child.send_signal(signal.SIGSTOP)
                p50, p99 = np.percentile(times, [50, 99])
                if name == "new":
                    small_ones.append((p50, p99))
                print(f"{name}: {len(times)} small requests, p50 {p50:.1f} ms, p99 {p99:.1f} ms; {rates[name]:.0f} tokens/s", flush=True)
            ratios.append(rates["new"] / rates["old"])
            print(f"pair {number + 1}: throughput {ratios[-1]:.3f} of the old one", flush=True)
        assert all(one.is_alive() for one in clients), "a heavy client was refused"
    middle = float(np.median(ratios))
    print(f"throughput: {middle:.3f} of the old one, the median of {pairs} pairs from {min(ratios):.3f} to {max(ratios):.3f}")
    p50, p99 = np.median(small_ones, axis=0)
    print(f"small requests: p50 {p50:.1f} ms, p99 {p99:.1f} ms, the medians of {pairs} windows")
    misses = [f"throughput is {middle:.3f} of the old one, wanted {KEEPS}"] if middle < KEEPS else []
    if p50 > P50 or p99 > P99:
        misses.append(f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, wanted {P50} and {P99}")
    return misses


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--seconds", type=float, default=20)
    words.add_argument("--against", nargs="*", default=[], help="words of `serve`, without dashes: batch-ms=0")
    words.add_argument("--old", help="an older binary")
    words.add_argument("--pairs", type=int, default=5)
    words = words.parse_args()
    text = "the quiet river bends " * 62
    many = json.dumps({"inputs": [text] * 2048})
    if words.old:
        return against_old(words.old, words.pairs, many, words.seconds)
    windows = json.dumps({"input": ["river " * 1000] * 8, "overflow": "window:222"})
    long = json.dumps({"input": "river " * 200_000, "overflow": "window"})
    rows, misses = {}, []
    for name, clients, path, body, more in [
        ("alone", 0, "", "", []),
        ("one client of 2,048 x 250 tokens", 1, "/embed", many, []),
        ("four such clients", 4, "/embed", many, []),
        *([("four, " + " ".join(words.against), 4, "/embed", many, words.against)] if words.against else []),
        ("four of 8 x 1,000 words in window:222", 4, "/v1/layers", windows, []),
        ("one text of 200,000 words in windows", 1, "/v1/layers", long, []),
    ]:
        options = [f"--{word}" for word in more]
        times, health, rate, rest = beside(options, clients, path, body, words.seconds)
        rows[name] = rate
        p50, p99 = np.percentile(times, [50, 99])
        print(
            f"{name}: {len(times)} small requests, p50 {p50:.1f} ms, p99 {p99:.1f} ms, most {times.max():.1f} ms; "
            f"/health at most {health.max():.1f} ms; {rate:.0f} tokens/s; at rest {rest:.1f} s after they left",
            flush=True,
        )
        if name == "four such clients" and (p50 > P50 or p99 > P99):
            misses.append(f"{name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, wanted {P50} and {P99}")
    if words.against:
        ratio = rows["four such clients"] / rows["four, " + " ".join(words.against)]
        print(f"throughput beside small requests: {ratio:.3f} of that with {' '.join(words.against)}")
        if ratio < KEEPS:
            misses.append(f"throughput is {ratio:.3f} of that with {' '.join(words.against)}, wanted {KEEPS}")
    return misses


if __name__ == "__main__":
    said = main()
    print(f"FAILED latency: {'; '.join(said)}" if said else "ok latency")
    sys.exit(1 if said else 0)
