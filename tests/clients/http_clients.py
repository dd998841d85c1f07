"""The real HTTP clients against `everylayer serve`: openai, huggingface_hub, langchain-openai."""
import asyncio

import numpy as np
from huggingface_hub import InferenceClient
from langchain_openai import OpenAIEmbeddings
from openai import AsyncOpenAI, AuthenticationError, BadRequestError, NotFoundError, OpenAI

from common import Http, check, end, library, near

TEXTS = ["hello world", "another text", "Ein dritter, etwas längerer Text über Schichten."]


def openai(server, want):
    """The package `openai`."""
    client = OpenAI(base_url=server.base + "/v1", api_key="any", max_retries=0, timeout=30)

    def of(answer):
        return np.array([one.embedding for one in answer.data])

    def both_formats():
        # base64, unless told otherwise.
        answer = client.embeddings.create(model="bundled", input=TEXTS)
        near(of(answer), want)
        near(of(client.embeddings.create(model="bundled", input=TEXTS, encoding_format="float")), want)
        assert [one.index for one in answer.data] == [0, 1, 2] and answer.model == "bundled"
        assert answer.usage.prompt_tokens == answer.usage.total_tokens > 8, answer.usage

    def one_text():
        near(of(client.embeddings.create(model="bundled", input=TEXTS[0])), want[:1])

    def token_ids():
        # [CLS] and [SEP] are put around them.
        near(of(client.embeddings.create(model="bundled", input=[7592, 2088])), want[:1])
        near(of(client.embeddings.create(model="bundled", input=[[7592, 2088]])), want[:1])

    def dimensions():
        near(
            of(client.embeddings.create(model="bundled", input=TEXTS, dimensions=64)),
            library(TEXTS, "--dims", "64"),
        )

    def models():
        assert [one.id for one in client.models.list()] == ["bundled"]
        assert client.models.retrieve("bundled").object == "model"

    def refused():
        for kind, ask in [
            (NotFoundError, {"model": "../../etc/passwd", "input": "x"}),
            (BadRequestError, {"model": "bundled", "input": []}),
            (BadRequestError, {"model": "bundled", "input": "x", "dimensions": 9999}),
        ]:
            try:
                client.embeddings.create(**ask)
            except kind as error:
                assert error.body["message"], error
            else:
                raise AssertionError(f"{ask} went through")

    def at_once():
        async def all_():
            many = AsyncOpenAI(base_url=server.base + "/v1", api_key="any", timeout=30)
            ask = [many.embeddings.create(model="bundled", input=[TEXTS[i % 3]]) for i in range(48)]
            return [of(one)[0] for one in await asyncio.gather(*ask)]

        near(asyncio.run(all_()), np.tile(want, (16, 1)))

    for name, work in [
        ("float and base64", both_formats), ("one text", one_text), ("token ids", token_ids),
        ("dimensions", dimensions), ("models", models), ("errors are its own classes", refused),
        ("AsyncOpenAI, 48 at once", at_once),
    ]:
        check(f"openai: {name}", work)


def hugging_face(server, want):
    """`InferenceClient` against the routes of Text Embeddings Inference."""
    client = InferenceClient(server.base, timeout=30)

    def one():
        near(np.asarray(client.feature_extraction(TEXTS[0])).reshape(1, -1), want[:1])

    def several():
        near(client.feature_extraction(TEXTS), want)

    def plain():
        near(client.feature_extraction(TEXTS, normalize=False), library(TEXTS, "--normalize=false"))

    def cut():
        text = "word " * 400
        near(client.feature_extraction(text, truncate=True, truncation_direction="right"), library([text]))

    def similar():
        # Its own route: `/` is that of embeddings, as in Text Embeddings Inference.
        got = client.sentence_similarity(TEXTS[0], TEXTS[1:], model=server.base + "/similarity")
        near(got, want[1:] @ want[0])

    for name, work in [
        ("one text", one), ("several texts", several), ("normalize=False", plain), ("truncate", cut),
        ("sentence_similarity", similar),
    ]:
        check(f"huggingface_hub: {name}", work)


def langchain(server, want):
    """`OpenAIEmbeddings`: texts go as texts, since its token ids are of another vocabulary."""
    client = OpenAIEmbeddings(
        model="bundled", base_url=server.base + "/v1", api_key="any", check_embedding_ctx_length=False
    )
    check("langchain-openai: embed_documents", lambda: near(client.embed_documents(TEXTS), want))
    check("langchain-openai: embed_query", lambda: near(client.embed_query(TEXTS[0]), want[0]))
    check("langchain-openai: aembed_documents", lambda: near(asyncio.run(client.aembed_documents(TEXTS)), want))


def keys():
    """A server with a key: the wrong one is the client's own error."""

    def work():
        with Http("--api-key", "right") as server:
            base = server.base + "/v1"
            assert OpenAI(base_url=base, api_key="right").embeddings.create(model="bundled", input="x").data
            try:
                OpenAI(base_url=base, api_key="wrong").embeddings.create(model="bundled", input="x")
            except AuthenticationError:
                return
            raise AssertionError("a wrong key went through")

    check("openai: a wrong key", work)


if __name__ == "__main__":
    with Http() as server:
        want = library(TEXTS)
        openai(server, want)
        hugging_face(server, want)
        langchain(server, want)
    keys()
    end()
