"""Writes data sets that scikit-learn carries as CSV. python write-data.py FOLDER"""

import csv
import sys
from pathlib import Path

from sklearn import datasets

folder = Path(sys.argv[1])


def write(name, target, data, names=None):
    labels = [str(names[y]) if names is not None else y for y in data.target]
    with open(folder / name, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(str(each).replace(" ", "_") for each in data.feature_names), target])
        writer.writerows([*map(float, row), label] for row, label in zip(data.data, labels))


write("digits.csv", "digit", datasets.load_digits(), [f"digit {digit}" for digit in range(10)])
for name, target, load in [
    ("iris", "species", datasets.load_iris),
    ("wine", "cultivar", datasets.load_wine),
    ("breast-cancer", "diagnosis", datasets.load_breast_cancer),
]:
    data = load()
    write(f"{name}.csv", target, data, data.target_names)
write("diabetes.csv", "progression", datasets.load_diabetes(scaled=False))
