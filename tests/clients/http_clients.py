"""The real HTTP clients against `everylayer serve`. usage: http_clients.py PORT"""
import sys

import numpy as np
from huggingface_hub import InferenceClient
from openai import NotFoundError, OpenAI

base = f"http://127.0.0.1:{sys.argv[1]}"
client = OpenAI(base_url=base + "/v1", api_key="any")
texts = ["hello world", "another text"]
answer = client.embeddings.create(model="bundled", input=texts)  # base64, unless told
vectors = np.array([d.embedding for d in answer.data], dtype=np.float32)
floats = client.embeddings.create(model="bundled", input=texts, encoding_format="float")
assert np.abs(vectors - np.array([d.embedding for d in floats.data])).max() <= 1e-6
assert answer.usage.prompt_tokens == 8, answer.usage
assert [m.id for m in client.models.list()] == ["bundled"]
short = client.embeddings.create(model="bundled", input="hello world", dimensions=64)
assert len(short.data[0].embedding) == 64
try:
    client.embeddings.create(model="none", input="x")
    raise SystemExit("a model that is not served was taken")
except NotFoundError as error:
    assert "not served" in str(error)

hugging = InferenceClient(base)
one = np.asarray(hugging.feature_extraction("hello world", normalize=True))
assert np.abs(one.reshape(-1) - vectors[0]).max() <= 1e-6
print("ok")
