"""The other side of `npm run bench:accuracy`. python peers.py: for each line of JSON on stdin, one on stdout."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import nn

torch.set_num_threads(1)
warnings.filterwarnings("ignore")  # that the epochs ended before scikit-learn calls it converged: they are the same for all


def read(folder, split, width, classes):
    x = np.fromfile(folder / f"{split}.x", np.float32).reshape(-1, width)
    return x, np.fromfile(folder / f"{split}.y", np.int64 if classes else np.float32)


def network(spec, width, outputs):
    layers, channels = [], 1
    if spec.get("filters"):
        channels, height, width_ = spec["shape"]
        layers.append(nn.Unflatten(1, spec["shape"]))
        for filters in spec["filters"]:
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            channels, height, width_ = filters, height // 2, width_ // 2
        layers.append(nn.Flatten())
        width = channels * height * width_
    for units in spec["hidden"]:
        layers += [nn.Linear(width, units), nn.ReLU()]
        width = units
    layers.append(nn.Linear(width, outputs))
    weighty = [layer for layer in layers if hasattr(layer, "weight")]
    for layer in weighty[:-1]:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    nn.init.xavier_uniform_(weighty[-1].weight)
    for layer in weighty:
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


def by_torch(spec, classes, seed, x, y, tested):
    torch.manual_seed(seed)
    model = network(spec, x.shape[1], classes or 1)
    optimizer = torch.optim.Adam(model.parameters(), spec["learningRate"], eps=1e-7)
    loss = nn.CrossEntropyLoss() if classes else nn.MSELoss()
    xs, ys = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(spec["epochs"]):
        for rows in torch.randperm(len(xs)).split(spec["batchSize"]):
            optimizer.zero_grad()
            out = model(xs[rows])
            loss(out if classes else out[:, 0], ys[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        out = model(torch.from_numpy(tested))
        return (out.argmax(1) if classes else out[:, 0]).numpy()


def by_sklearn(spec, classes, seed, x, y, tested):
    kind = MLPClassifier if classes else MLPRegressor
    model = kind(
        hidden_layer_sizes=spec["hidden"],
        alpha=0,
        batch_size=spec["batchSize"],
        learning_rate_init=spec["learningRate"],
        max_iter=spec["epochs"],
        n_iter_no_change=spec["epochs"],
        random_state=seed,
    )
    return model.fit(x, y).predict(tested)


def score(truth, answers, classes):
    if classes:
        return float((truth == answers).mean())
    return float(1 - ((truth - answers) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())


for line in sys.stdin:
    order = json.loads(line)
    spec, classes, folder = order["spec"], order["classes"], Path(order["folder"])
    x, y = read(folder, "train", order["width"], classes)
    tested, truth = read(folder, "test", order["width"], classes)
    peers = {"PyTorch": by_torch} if spec.get("filters") else {"PyTorch": by_torch, "scikit-learn": by_sklearn}
    found = {
        name: score(truth, train(spec, classes, order["seed"], x, y, tested), classes) for name, train in peers.items()
    }
    print(json.dumps(found), flush=True)
