"""Trains a classifier on the rows that maas hands over, with as many processes as torchrun starts (DDP).

maas tells where things are in the environment:
  MAAS_DATA         folder with schema.json and the arrays (NPY) of the train and validation splits
  MAAS_CONFIG       JSON: epochs, batchSize, optimizer, seed, and `options` from maas.config.yaml
  MAAS_CHECKPOINTS  folder that survives kills: what lies there is found by the next try
  MAAS_PROGRESS     file to append lines of JSON to: how far the training is
  MAAS_OUT          folder for model.onnx, and golden.npy if you like
"""

import json
import os
import pathlib

import numpy
import torch
from torch import distributed, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

data = pathlib.Path(os.environ["MAAS_DATA"])
out = pathlib.Path(os.environ["MAAS_OUT"])
checkpoint = pathlib.Path(os.environ["MAAS_CHECKPOINTS"]) / "last.pt"
config = json.loads(pathlib.Path(os.environ["MAAS_CONFIG"]).read_text())
schema = json.loads((data / "schema.json").read_text())


def read(split):
    """Rows of a split: numbers, already scaled and with a column for each category, and class indices."""
    arrays = schema["splits"][split]["arrays"]
    return [
        torch.from_numpy(numpy.load(data / arrays[name]["file"]))
        for name in ("features", "target")
    ]


def report(**line):
    with open(os.environ["MAAS_PROGRESS"], "a") as file:
        file.write(json.dumps(line) + "\n")


def main():
    cuda = torch.cuda.is_available()
    distributed.init_process_group("nccl" if cuda else "gloo")
    rank, world = distributed.get_rank(), distributed.get_world_size()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    torch.manual_seed(config["seed"])

    (x, y), (check_x, check_y) = read("train"), read("validation")
    hidden = config["options"].get("hidden", 64)
    classes = len(schema["target"]["labels"])
    model = nn.Sequential(
        nn.Linear(x.shape[1], hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes)
    ).to(device)
    ddp = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=config["optimizer"]["learningRate"])

    first = 1
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epoch"] + 1

    for epoch in range(first, config["epochs"] + 1):
        # The same order everywhere; each process takes its part of every batch.
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(config["seed"] + epoch))
        total = 0.0
        for batch in order.split(config["batchSize"]):
            mine = batch[rank::world]
            # DDP takes the mean over the processes: parts of different size need a weight. A process without rows takes
            # part with a loss of 0.
            rows = mine if len(mine) > 0 else batch[:1]
            share = len(mine) * world / len(batch)
            loss = cross_entropy(ddp(x[rows].to(device)), y[rows].to(device)) * share
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch) / world
        sum_of_losses = torch.tensor(total, device=device)
        distributed.all_reduce(sum_of_losses)
        if rank == 0:
            with torch.no_grad():
                logits = model(check_x.to(device)).cpu()
            figures = {
                "loss": cross_entropy(logits, check_y).item(),
                "accuracy": (logits.argmax(1) == check_y).float().mean().item(),
            }
            draft = checkpoint.with_suffix(".tmp")
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
            torch.save(state, draft)
            draft.replace(checkpoint)  # whole or not at all
            report(epoch=epoch, epochs=config["epochs"], loss=sum_of_losses.item() / len(x), validation=figures)
        distributed.barrier()

    if rank == 0:
        model.cpu().eval()
        rows = torch.export.Dim("rows")
        torch.onnx.export(
            model,
            (check_x[:2],),
            out / "model.onnx",
            input_names=["features"],
            output_names=["logits"],
            dynamic_shapes=({0: rows},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        # What this program gives for the first rows; maas compares them with what model.onnx gives.
        with torch.no_grad():
            numpy.save(out / "golden.npy", model(check_x[:32]).numpy())
    distributed.destroy_process_group()


main()
