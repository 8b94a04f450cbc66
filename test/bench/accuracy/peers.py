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


def read(folder, split, width, classes, text):
    x = np.fromfile(folder / f"{split}.x", np.int64 if text else np.float32).reshape(-1, width)
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
    for layer in weighty:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        else:
            nn.init.xavier_uniform_(layer.weight)
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


class Recurrent(nn.Module):
    """Says at each step which character is next; first weights as Keras draws them."""

    def __init__(self, spec, classes):
        super().__init__()
        # 0 and 1 are no characters: padding and unknown.
        self.embedding = nn.Embedding(classes + 2, spec["embedding"])
        self.lstm = nn.LSTM(spec["embedding"], spec["lstm"], batch_first=True)
        self.head = nn.Linear(spec["lstm"], classes)
        nn.init.uniform_(self.embedding.weight, -0.05, 0.05)
        nn.init.xavier_uniform_(self.lstm.weight_ih_l0)
        nn.init.orthogonal_(self.lstm.weight_hh_l0)
        nn.init.zeros_(self.lstm.bias_ih_l0)
        nn.init.zeros_(self.lstm.bias_hh_l0)
        nn.init.ones_(self.lstm.bias_ih_l0.data[spec["lstm"] : 2 * spec["lstm"]])
        # As one offset for each gate.
        self.lstm.bias_hh_l0.requires_grad_(False)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids):
        return self.head(self.lstm(self.embedding(ids))[0])


def text_by_torch(spec, classes, seed, x, y, tested, truth):
    """Bits that the character after each tested row takes."""
    torch.manual_seed(seed)
    model = Recurrent(spec, classes)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], spec["learningRate"], eps=1e-7)
    xs, ys = torch.from_numpy(x), torch.from_numpy(np.concatenate([x[:, 1:] - 2, y[:, None]], 1))
    for _ in range(spec["epochs"]):
        for rows in torch.randperm(len(xs)).split(spec["batchSize"]):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(xs[rows]).transpose(1, 2), ys[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        last = torch.cat([model(rows)[:, -1] for rows in torch.from_numpy(tested).split(512)])
        return float(nn.functional.cross_entropy(last, torch.from_numpy(truth))) / float(np.log(2))


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
    text = "lstm" in spec
    x, y = read(folder, "train", order["width"], classes, text)
    tested, truth = read(folder, "test", order["width"], classes, text)
    if text:
        found = {"PyTorch": text_by_torch(spec, classes, order["seed"], x, y, tested, truth)}
        print(json.dumps(found), flush=True)
        continue
    peers = {"PyTorch": by_torch} if spec.get("filters") else {"PyTorch": by_torch, "scikit-learn": by_sklearn}
    # Amounts in standard deviations, as for maas: peers are at their best so.
    mean, deviation = (0, 1) if classes else (y.mean(), y.std())
    y = y if classes else (y - mean) / deviation
    found = {
        name: score(truth, train(spec, classes, order["seed"], x, y, tested) * deviation + mean, classes)
        for name, train in peers.items()
    }
    print(json.dumps(found), flush=True)
