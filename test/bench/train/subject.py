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
x = torch.from_numpy(read("x.bin", np.float32)).reshape(rows, *spec["input"])
y = torch.from_numpy(read("y.bin", np.uint8)).long()
orders = torch.from_numpy(read("orders.bin", np.uint32).astype(np.int64)).reshape(epochs, rows)
start_weights = torch.from_numpy(read("weights.bin", np.float32))


def build():
    shape = list(spec["input"])
    modules = []
    at = 0

    def take(*dims):
        nonlocal at
        size = int(np.prod(dims))
        at += size
        return start_weights[at - size : at].reshape(dims)

    for kind, *size in spec["layers"]:
        if kind == "dense":
            layer = nn.Linear(shape[0], size[0])
            with torch.no_grad():
                layer.weight.copy_(take(shape[0], size[0]).T)
                layer.bias.copy_(take(size[0]))
            shape = [size[0]]
        elif kind == "conv":
            layer = nn.Conv2d(shape[0], size[0], 3, padding=1)
            with torch.no_grad():
                layer.weight.copy_(take(size[0], shape[0], 3, 3))
                layer.bias.copy_(take(size[0]))
            shape[0] = size[0]
        elif kind == "pool":
            layer = nn.MaxPool2d(2)
            shape = [shape[0], shape[1] // 2, shape[2] // 2]
        elif kind == "flatten":
            layer = nn.Flatten()
            shape = [int(np.prod(shape))]
        else:
            layer = nn.ReLU()
        modules.append(layer)
    return nn.Sequential(*modules)


def train():
    cpu, start = time.process_time(), time.perf_counter()
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, eps=1e-7, fused=True)
    measure = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        order = orders[epoch]
        total = torch.zeros(())
        for at in range(0, rows, batch):
            chosen = order[at : at + batch]
            loss = measure(model(x.index_select(0, chosen)), y.index_select(0, chosen))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(chosen)
        with torch.inference_mode():
            measure(model(x[:batch]), y[:batch]).item()
    return {
        "seconds": time.perf_counter() - start,
        "cpuSeconds": time.process_time() - cpu,
        "loss": total.item() / rows,
    }


for line in sys.stdin:
    if line.strip() == "end":
        break
    found = train()
    found["peakBytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(found), flush=True)
