"""The other side of `npm run bench:train`: trains with PyTorch, once for each line on stdin.

python subject.py FOLDER THREADS; FOLDER holds what run.js has written.
"""

import json
import os
import resource
import sys
import time

import numpy as np
import torch
from torch import nn

folder, threads = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(threads)
torch.set_num_interop_threads(1)
with open(os.path.join(folder, "spec.json"), encoding="utf8") as file:
    spec = json.load(file)


def read(name, dtype):
    return np.fromfile(os.path.join(folder, name), dtype=dtype)


rows, batch, epochs = spec["rows"], spec["batch"], spec["epochs"]
words = "vocabulary" in spec
x = torch.from_numpy(read("x.bin", np.uint8 if words else np.float32)).reshape(rows, *spec["input"])
x = x.long() if words else x
y = torch.from_numpy(read("y.bin", np.uint8)).long().reshape(rows, *(spec["input"] if words else []))
orders = torch.from_numpy(read("orders.bin", np.uint32).astype(np.int64)).reshape(epochs, rows)
start_weights = torch.from_numpy(read("weights.bin", np.float32))


class Residual(nn.Module):
    def __init__(self, main, aside):
        super().__init__()
        self.main, self.aside = main, aside

    def forward(self, x):
        return self.main(x) + self.aside(x)


class Embedding(nn.Module):
    def __init__(self, words, places):
        super().__init__()
        self.words = nn.Embedding.from_pretrained(words, freeze=False)
        self.places = nn.Parameter(places)

    def forward(self, x):
        return self.words(x) + self.places


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, heads, inner, outer):
        super().__init__()
        self.heads, self.inner, self.outer = heads, inner, outer

    def forward(self, x):
        n, length, width = x.shape
        q, k, v = (
            part.view(n, length, self.heads, width // self.heads).transpose(1, 2)
            for part in self.inner(x).split(width, dim=2)
        )
        seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.outer(seen.transpose(1, 2).reshape(n, length, width))


class LastOfLstm(nn.Module):
    def __init__(self, lstm):
        super().__init__()
        self.lstm = lstm

    def forward(self, x):
        return self.lstm(x)[1][0][0]


def build():
    at = 0

    def take(*dims):
        nonlocal at
        size = int(np.prod(dims))
        at += size
        return start_weights[at - size : at].reshape(dims).clone()

    def put(module, **values):
        with torch.no_grad():
            for name, value in values.items():
                getattr(module, name).copy_(value)
        return module

    def dense(width, size):
        weight, bias = take(width, size), take(size)
        return put(nn.Linear(width, size), weight=weight.T, bias=bias)

    def gates(value):
        """ONNX has gates i, o, f, c; PyTorch i, f, c, o."""
        i, o, f, c = value.chunk(4)
        return torch.cat([i, f, c, o])

    def step(kind, args, shape):
        if kind == "dense":
            return dense(shape[-1], args[0]), [*shape[:-1], args[0]]
        if kind == "conv":
            size, kernel, stride = args
            layer = nn.Conv2d(shape[0], size, kernel, stride=stride, padding=(kernel - 1) // 2)
            put(layer, weight=take(size, shape[0], kernel, kernel), bias=take(size))
            return layer, [size, *(-(-length // stride) for length in shape[1:])]
        if kind == "pool":
            return nn.MaxPool2d(2), [shape[0], shape[1] // 2, shape[2] // 2]
        if kind == "mean":
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), [shape[0]]
        if kind == "flatten":
            return nn.Flatten(), [int(np.prod(shape))]
        if kind == "norm":
            return put(nn.BatchNorm2d(shape[0]), weight=take(shape[0]), bias=take(shape[0])), shape
        if kind == "layernorm":
            return put(nn.LayerNorm(shape[-1]), weight=take(shape[-1]), bias=take(shape[-1])), shape
        if kind == "relu":
            return nn.ReLU(), shape
        if kind == "gelu":
            return nn.GELU(), shape
        if kind == "residual":
            aside, _ = walk(args[1], shape)
            main, found = walk(args[0], shape)
            return Residual(main, aside), found
        if kind == "embedding":
            return Embedding(take(spec["vocabulary"], args[0]), take(shape[0], args[0])), [shape[0], args[0]]
        if kind == "attention":
            return Attention(args[1], dense(args[0], 3 * args[0]), dense(args[0], args[0])), shape
        if kind == "lstm":
            size = args[0]
            layer = nn.LSTM(shape[-1], size, batch_first=True)
            from_input, from_state = take(4 * size, shape[-1]), take(4 * size, size)
            biases = take(8 * size).chunk(2)
            put(
                layer,
                weight_ih_l0=gates(from_input),
                weight_hh_l0=gates(from_state),
                bias_ih_l0=gates(biases[0]),
                bias_hh_l0=gates(biases[1]),
            )
            return LastOfLstm(layer), [size]
        raise ValueError(kind)

    def walk(layers, shape):
        modules = []
        for kind, *args in layers:
            module, shape = step(kind, args, shape)
            modules.append(module)
        return nn.Sequential(*modules), shape

    return walk(spec["layers"], list(spec["input"]))[0]


def begin():
    model = build()
    return model, torch.optim.Adam(model.parameters(), lr=0.001, eps=1e-7, fused=True), nn.CrossEntropyLoss()


def step(model, optimizer, measure, chosen):
    loss = measure(model(x.index_select(0, chosen)).flatten(0, -2), y.index_select(0, chosen).flatten())
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.detach()


def profile(steps=8):
    """Milliseconds of a step by operator, without those that it calls."""
    parts = begin()
    chosen = orders[0][:batch]
    for _ in range(steps):
        step(*parts, chosen)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        for _ in range(steps):
            step(*parts, chosen)
    events = [
        {"operator": each.key, "ms": each.self_cpu_time_total / 1000 / steps, "nodes": round(each.count / steps)}
        for each in found.key_averages()
    ]
    total = sum(each["ms"] for each in events)
    events.sort(key=lambda each: -each["ms"])
    return [{**each, "share": each["ms"] / total} for each in events]


def train():
    cpu, start = time.process_time(), time.perf_counter()
    model, optimizer, measure = begin()
    for epoch in range(epochs):
        order = orders[epoch]
        total = torch.zeros(())
        for at in range(0, rows, batch):
            chosen = order[at : at + batch]
            total += step(model, optimizer, measure, chosen) * len(chosen)
        model.eval()
        with torch.inference_mode():
            measure(model(x[:batch]).flatten(0, -2), y[:batch].flatten()).item()
        model.train()
    return {
        "seconds": time.perf_counter() - start,
        "cpuSeconds": time.process_time() - cpu,
        "loss": total.item() / rows,
    }


for line in sys.stdin:
    if line.strip() == "end":
        break
    if line.strip() == "profile":
        print(json.dumps(profile()), flush=True)
        continue
    found = train()
    found["peakBytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(found), flush=True)
