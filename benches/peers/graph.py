#!/usr/bin/env python3
"""Writes the bundled model as ONNX (f32, opset 17), since no hub is needed then.

    python benches/peers/graph.py        all graphs, with the packages of requirements.txt

A graph takes a padded batch and gives one vector a text, the mean over its real tokens: what
everylayer is asked for, too. Each is checked against PyTorch. ONNX Runtime's own transformer
optimizer fuses embeddings, GELU, skip and LayerNorm; the graphs differ in the attention:

    plain   as exported, nothing fused
    fused   one Attention node a block, the mask as lengths: what the CPU runs best; WebGPU has no
            kernel for that mask and leaves the node to the CPU
    bias    one Attention node a block, the mask as an additive bias: WebGPU runs all of it
    steps   attention as products and a softmax: WebGPU runs all of it, without its flash attention

The export uses torch's older, tracing exporter: the optimizer does not recognise the attention in
what the newer one writes (2.15).
"""

import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np

from common import MODEL, TRY, feeds

GRAPHS = ("plain", "fused", "bias", "steps")
OPSET = 17
INPUTS = ["input_ids", "attention_mask", "token_type_ids"]


def graph(name: str) -> Path:
    """The file of a graph, written first where it is not there yet."""
    digest = hashlib.sha256((MODEL / "model.safetensors").read_bytes() + Path(__file__).read_bytes())
    folder = Path(tempfile.gettempdir()) / "everylayer-peers"
    path = folder / f"minilm-{digest.hexdigest()[:12]}-{name}.onnx"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            write(path, name)
        except ImportError as error:
            raise SystemExit(f"{path.name} is not written yet and {error}: run graph.py with requirements.txt") from None
    return path


def write(path: Path, name: str) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import onnx
    import onnxruntime
    import torch
    from transformers import AutoModel

    class Sentences(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = AutoModel.from_pretrained(MODEL, dtype=torch.float32, attn_implementation="eager")

        def forward(self, input_ids, attention_mask, token_type_ids):
            state = self.inner(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
            mask = attention_mask.unsqueeze(-1).to(torch.float32)
            return (state.last_hidden_state * mask).sum(1) / mask.sum(1)

    encoder = Sentences().eval()
    feed = feeds(TRY, len(TRY))[0]
    tensors = tuple(torch.from_numpy(feed[key]) for key in INPUTS)
    part = path.with_suffix(".part.onnx")
    with torch.inference_mode():
        wanted = encoder(*tensors).numpy()
        torch.onnx.export(
            encoder,
            tensors,
            part,
            dynamo=False,
            opset_version=OPSET,
            input_names=INPUTS,
            output_names=["vectors"],
            dynamic_axes={**{key: {0: "batch", 1: "tokens"} for key in INPUTS}, "vectors": {0: "batch"}},
        )
    if name != "plain":
        onnx.save(fuse(part, name, encoder.inner.config), part)
    session = onnxruntime.InferenceSession(str(part), providers=["CPUExecutionProvider"])
    worst = float(np.abs(session.run(None, feed)[0] - wanted).max())
    if worst > 1e-4:
        raise SystemExit(f"the graph {name} differs from PyTorch by {worst}")
    part.replace(path)


def fuse(part: Path, name: str, config):
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    options = FusionOptions("bert")
    options.enable_attention = name != "steps"
    # WebGPU has no kernel for the fused embeddings.
    options.enable_embed_layer_norm = name == "fused"
    fused = optimizer.optimize_model(
        str(part),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
        opt_level=0,
        use_gpu=False,
        optimization_options=options,
    )
    counts = fused.get_fused_operator_statistics()
    if name != "steps" and counts["Attention"] != config.num_hidden_layers:
        raise SystemExit(f"ONNX Runtime's optimizer fused {counts['Attention']} attention blocks: {counts}")
    return mask_as_bias(fused.model) if name == "bias" else fused.model


def mask_as_bias(model):
    """Gives every Attention node the mask as a sum over [batch, 1, tokens, tokens]."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph

    def constant(name: str, value) -> str:
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    one, low, zero = (constant(f"bias_{n}", np.float32(v)) for n, v in (("one", 1), ("low", -1e9), ("zero", 0)))
    keys, rows = constant("bias_keys", np.int64([1, 2])), constant("bias_rows", np.int64([1, 3]))
    made = [
        helper.make_node("Cast", ["attention_mask"], ["bias_real"], to=TensorProto.FLOAT),
        helper.make_node("Sub", [one, "bias_real"], ["bias_padding"]),
        helper.make_node("Mul", ["bias_padding", low], ["bias_sum"]),
        helper.make_node("Unsqueeze", ["bias_sum", keys], ["bias_by_key"]),
        helper.make_node("Mul", ["bias_real", zero], ["bias_nothing"]),
        helper.make_node("Unsqueeze", ["bias_nothing", rows], ["bias_by_row"]),
        helper.make_node("Add", ["bias_by_row", "bias_by_key"], ["bias"]),
    ]
    for node in graph.node:
        if node.op_type == "Attention":
            inputs = [*node.input[:3], "", "", "bias"]
            del node.input[:]
            node.input.extend(inputs)
    made.extend(graph.node)
    del graph.node[:]
    graph.node.extend(made)
    return model


if __name__ == "__main__":
    for name in GRAPHS:
        print(graph(name))
