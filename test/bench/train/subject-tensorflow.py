"""Another side of `npm run bench:train`: trains with TensorFlow (Keras), once for each line on stdin.

python subject-tensorflow.py FOLDER THREADS; FOLDER holds what run.js has written. Perceptrons, plain convolutional
networks and LSTMs: what Keras has layers for. Steps are compiled by tf.function, without XLA as by default on a CPU.
"""

import json
import os
import resource
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import numpy as np
import tensorflow as tf

folder, threads = sys.argv[1], int(sys.argv[2])
tf.config.threading.set_intra_op_parallelism_threads(threads)
tf.config.threading.set_inter_op_parallelism_threads(1)
with open(os.path.join(folder, "spec.json"), encoding="utf8") as file:
    spec = json.load(file)


def read(name, dtype):
    return np.fromfile(os.path.join(folder, name), dtype=dtype)


rows, batch, epochs = spec["rows"], spec["batch"], spec["epochs"]
images = len(spec["input"]) == 3
x = read("x.bin", np.float32).reshape(rows, *spec["input"])
# TensorFlow's own layout of images; the rows are the same.
x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if images else x
y = read("y.bin", np.uint8).astype(np.int64)
orders = read("orders.bin", np.uint32).astype(np.int64).reshape(epochs, rows)
start_weights = read("weights.bin", np.float32)


def build():
    """The network, and the weights that it begins with."""
    at = 0

    def take(*dims):
        nonlocal at
        size = int(np.prod(dims))
        at += size
        return start_weights[at - size : at].reshape(dims)

    def gates(value):
        """ONNX has gates i, o, f, c; Keras i, f, c, o."""
        i, o, f, c = np.split(value, 4)
        return np.concatenate([i, f, c, o])

    shape, flat, layers, values = list(spec["input"]), [], [], []

    def add(layer, *weights):
        layers.append(layer)
        values.extend(weights)

    for kind, *args in spec["layers"]:
        if kind == "dense":
            weight, bias = take(shape[-1], args[0]), take(args[0])
            if flat:
                # Features are [channels, height, width] there, and [height, width, channels] here.
                weight = weight.reshape(*flat, -1).transpose(1, 2, 0, 3).reshape(shape[-1], -1)
            add(tf.keras.layers.Dense(args[0]), weight, bias)
            shape, flat = [args[0]], []
        elif kind == "conv":
            size, kernel, stride = args
            weight, bias = take(size, shape[0], kernel, kernel), take(size)
            add(tf.keras.layers.Conv2D(size, kernel, stride, "same"), weight.transpose(2, 3, 1, 0), bias)
            shape = [size, *(-(-length // stride) for length in shape[1:])]
        elif kind == "pool":
            add(tf.keras.layers.MaxPooling2D(2))
            shape = [shape[0], shape[1] // 2, shape[2] // 2]
        elif kind == "flatten":
            add(tf.keras.layers.Flatten())
            flat, shape = shape, [int(np.prod(shape))]
        elif kind == "relu":
            add(tf.keras.layers.ReLU())
        elif kind == "lstm":
            size = args[0]
            from_input, from_state = take(4 * size, shape[-1]), take(4 * size, size)
            biases = take(8 * size)
            bias = gates(biases[: 4 * size]) + gates(biases[4 * size :])
            add(tf.keras.layers.LSTM(size), gates(from_input).T, gates(from_state).T, bias)
            shape = [size]
        else:
            raise ValueError(kind)
    return tf.keras.Sequential([tf.keras.Input(x.shape[1:]), *layers]), values


# Traced once, in the round that warms up: each round begins with the same weights again.
model, first_weights = build()
optimizer = tf.keras.optimizers.Adam(0.001, epsilon=1e-7)
optimizer.build(model.trainable_variables)
measure = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
features, targets = tf.constant(x), tf.constant(y)


@tf.function
def step(chosen):
    with tf.GradientTape() as tape:
        loss = measure(tf.gather(targets, chosen), model(tf.gather(features, chosen), training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables))
    return loss


@tf.function
def check():
    return measure(targets[:batch], model(features[:batch], training=False))


def train():
    cpu, start = time.process_time(), time.perf_counter()
    model.set_weights(first_weights)
    for variable in optimizer.variables:
        if variable is not optimizer.learning_rate:
            variable.assign(tf.zeros_like(variable))
    for epoch in range(epochs):
        order = tf.constant(orders[epoch])
        total = 0.0
        for at in range(0, rows, batch):
            total += step(order[at : at + batch]) * min(batch, rows - at)
        check().numpy()
    return {
        "seconds": time.perf_counter() - start,
        "cpuSeconds": time.process_time() - cpu,
        "loss": float(total) / rows,
    }


for line in sys.stdin:
    if line.strip() == "end":
        break
    found = train()
    found["peakBytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(found), flush=True)
