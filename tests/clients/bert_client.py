"""The unmodified bert-serving-client 1.10.0 against `everylayer serve bert-as-service`.

usage: bert_client.py PORT PORT_OUT

The server: everylayer serve bert-as-service -cpu -show_tokens_to_client -pooling_layer -2 -1
"""
import sys
from multiprocessing.dummy import Pool

import numpy as np

from bert_serving.client import BertClient, ConcurrentBertClient

port, port_out = int(sys.argv[1]), int(sys.argv[2])
with BertClient(port=port, port_out=port_out, timeout=20000) as bc:
    config = bc.server_config
    assert config["server_version"] == "1.10.0", config
    vectors = bc.encode(["hello world", "a question ||| an answer"])
    assert vectors.shape == (2, 768), vectors.shape
    again, tokens = bc.encode(["hello world"], show_tokens=True)
    assert np.array_equal(again[0], vectors[0])
    assert tokens == [["[CLS]", "hello", "world", "[SEP]"]], tokens
    tokenized = bc.encode([["hello", "world"]], is_tokenized=True)
    assert np.array_equal(tokenized[0], vectors[0])
    for i in range(3):
        bc.encode(["hello world"] * (i + 1), blocking=False)
    assert [len(v) for v in bc.fetch_all(sort=True)] == [1, 2, 3]
    seen = list(bc.encode_async((["hello world"] * 2 for _ in range(4)), max_num_batch=4))
    assert len(seen) == 4 and all(np.array_equal(v.embedding[0], vectors[0]) for v in seen)
    assert bc.server_status["statistic"]["num_data_request"] >= 6
    # A bad job is an error of its client, and the next one is answered.
    try:
        bc._recv_ndarray(bc._send(b"{}", 1))
        raise SystemExit("a bad job went through")
    except TypeError as error:
        assert "not a list of texts" in str(error), error
    assert np.array_equal(bc.encode(["hello world"])[0], vectors[0])

with ConcurrentBertClient(max_concurrency=4, port=port, port_out=port_out, timeout=20000) as bc:
    all_ = Pool(4).map(bc.encode, [["hello world"]] * 16)
    assert all(np.array_equal(v[0], vectors[0]) for v in all_)
print("ok")
