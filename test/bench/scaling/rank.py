"""One rank of PyTorch in `npm run bench:scaling`: the same network, with DDP over Gloo.

python rank.py SPEC RANK SIZE PORT; SPEC is a JSON object {widths, batch, steps, skipped}.
"""

import json
import os
import statistics
import sys
import time

import torch
import torch.distributed as dist
from torch import nn

spec = json.loads(sys.argv[1])
rank, size, port = (int(word) for word in sys.argv[2:5])
os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
torch.set_num_threads(1)
dist.init_process_group("gloo", rank=rank, world_size=size)
widths, steps, skipped = spec["widths"], spec["steps"], spec["skipped"]
torch.manual_seed(7)
layers = []
for width, following in zip(widths, widths[1:]):
    layers += [nn.Linear(width, following), nn.ReLU()]
model = nn.parallel.DistributedDataParallel(nn.Sequential(*layers[:-1]))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
loss_of = nn.CrossEntropyLoss()
rows = max(spec["batch"] // size, 1)
x = torch.randn(rows, widths[0])
y = torch.randint(0, widths[-1], (rows,))
count = sum(parameter.numel() for parameter in model.parameters())
flat = torch.zeros(count)


def gradients():
    optimizer.zero_grad()
    loss_of(model(x), y).backward()


def timed(work):
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def middle(times):
    return statistics.median(times[skipped:])


def whole():
    gradients()
    optimizer.step()


def apart():
    """The same without communication; wait and communication are measured beside it."""
    with model.no_sync():
        whole()


step = middle([timed(whole) for _ in range(steps)])
compute, wait, alone = [], [], []
for _ in range(steps):
    compute.append(timed(apart))
    wait.append(timed(dist.barrier))
    alone.append(timed(lambda: dist.all_reduce(flat)))
mine = torch.tensor([step, middle(compute), middle(wait), middle(alone)]) / size
dist.all_reduce(mine)
if rank == 0:
    step, computed, waited, reduced = mine.tolist()
    found = {"step": step, "compute": computed, "wait": waited, "communicate": reduced, "allReduce": reduced}
    print("result", json.dumps({"parameters": count, **found}), flush=True)
dist.barrier()
# Threads of Gloo that are still about may abort an orderly end.
os._exit(0)
