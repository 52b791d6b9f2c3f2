#!/usr/bin/env python3
"""Images in, matches out: makes two images of a scene, finds keypoints by OpenCV's SIFT, has `featurebooster` boost their
descriptors, and matches both kinds. A match is right when the homography between the images says so, to 3 pixels. Prints
the counts and draws matches.png: SIFT above, boosted below, right matches green, wrong ones red.

    apt-get install python3-opencv
    /usr/bin/python3 examples/networks/featurebooster/match.py --weights sift_boost_f.safetensors
"""

import argparse
import json
import pathlib
import struct
import subprocess

import cv2
import numpy

HEIGHT, WIDTH = 480, 640
PIXELS = 3.0


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, values in tensors.items():
        values = numpy.ascontiguousarray(values, "<f4")
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [len(data), len(data) + values.nbytes]}
        data += values.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path):
    content = path.read_bytes()
    start = 8 + struct.unpack("<Q", content[:8])[0]
    tensors = {}
    for name, entry in json.loads(content[8:start]).items():
        first, last = (start + offset for offset in entry["data_offsets"])
        tensors[name] = numpy.frombuffer(content[first:last], "<f4").reshape(entry["shape"])
    return tensors


def scene(random):
    """Stains of many sizes, and above them panes, discs and letters, many of them alike."""
    image = numpy.zeros((HEIGHT, WIDTH), numpy.float32)
    for cells in (4, 8, 16, 32, 64):
        stains = random.normal(size=(cells * 3 // 4, cells)).astype(numpy.float32)
        image += cv2.resize(stains, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) * 40 / numpy.sqrt(cells)
    image += 128
    for _ in range(40):
        x, y = int(random.integers(WIDTH)), int(random.integers(HEIGHT))
        columns, rows, cell = int(random.integers(1, 5)), int(random.integers(1, 5)), int(random.integers(10, 20))
        shade = float(random.uniform(0, 255))
        for i in range(columns * rows):
            left, top = x + i % columns * (cell + 4), y + i // columns * (cell + 4)
            cv2.rectangle(image, (left, top), (left + cell, top + cell), shade, cv2.FILLED)
    for _ in range(40):
        center = int(random.integers(WIDTH)), int(random.integers(HEIGHT))
        cv2.circle(image, center, int(random.integers(3, 14)), float(random.uniform(0, 255)), cv2.FILLED, cv2.LINE_AA)
    for _ in range(60):
        place = int(random.integers(WIDTH)), int(random.integers(HEIGHT))
        text = "".join(random.choice(list("AEFHKTX"), 3))
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, random.uniform(0.4, 1), float(random.uniform(0, 255)), 2,
                    cv2.LINE_AA)
    return image


def seen(image, homography, random):
    """The scene from elsewhere: warped, darker, with less contrast and more noise."""
    warped = cv2.warpPerspective(image, homography, (WIDTH, HEIGHT), borderValue=128)
    darker = 255 * numpy.clip(cv2.GaussianBlur(warped, (0, 0), 0.8) / 255, 0, 1) ** 1.6 * 0.7
    return darker + random.normal(scale=6, size=image.shape)


def as_pixels(image):
    return numpy.clip(image, 0, 255).astype(numpy.uint8)


def features(image, most):
    """Keypoints, what the network takes of them, and descriptors of length 1."""
    keypoints, descriptors = cv2.SIFT_create(nfeatures=most).detectAndCompute(image, None)
    descriptors /= numpy.linalg.norm(descriptors, axis=1, keepdims=True)
    points = numpy.array([keypoint.pt for keypoint in keypoints])
    scale = 0.7 * max(image.shape)
    rows = [[(x - image.shape[1] / 2) / scale, (y - image.shape[0] / 2) / scale, keypoint.size / 2,
             numpy.deg2rad(keypoint.angle)] for keypoint, (x, y) in zip(keypoints, points)]
    return points, numpy.array(rows), descriptors


def boosted(options, name, keypoints, descriptors):
    """What `featurebooster` makes of the descriptors."""
    before, after = options.output / f"{name}.safetensors", options.output / f"{name}.boosted.safetensors"
    write_safetensors(before, {"keypoints": keypoints, "descriptors": descriptors})
    subprocess.run([options.program, options.weights, before, after], check=True)
    return read_safetensors(after)["descriptors"]


def matches(first, second):
    """Pairs of which each is the nearest of the other."""
    products = first @ second.T
    nearest, nearest_of_second = products.argmax(1), products.argmax(0)
    there = numpy.flatnonzero(nearest_of_second[nearest] == numpy.arange(len(first)))
    return there, nearest[there]


def are_right(points, others, homography):
    projected = cv2.perspectiveTransform(points[None], homography)[0]
    return numpy.linalg.norm(projected - others, axis=1) <= PIXELS


def drawn(images, points, others, right):
    """Both images side by side, with the matches: wrong ones above right ones."""
    picture = cv2.cvtColor(numpy.hstack(images), cv2.COLOR_GRAY2BGR)
    for (x, y), (u, v), is_right in sorted(zip(points.tolist(), others.tolist(), right), key=lambda each: not each[2]):
        ends = (round(x), round(y)), (round(u) + WIDTH, round(v))
        cv2.line(picture, *ends, (0, 200, 0) if is_right else (0, 0, 255), 1, cv2.LINE_AA)
    return picture


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True, help="safetensors file of SIFT+Boost-F")
    parser.add_argument("--program", default="build/examples/networks/featurebooster/featurebooster")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("build/featurebooster"), metavar="FOLDER")
    parser.add_argument("--keypoints", type=int, default=1000, help="of an image, at most")
    parser.add_argument("--seed", type=int, default=0, help="of the scene")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    random = numpy.random.default_rng(options.seed)
    image = scene(random)
    homography = numpy.array([[0.72, -0.34, 150], [0.28, 0.66, 10], [2e-4, -3e-4, 1]])
    images = [as_pixels(image), as_pixels(seen(image, homography, random))]
    found = [features(each, options.keypoints) for each in images]
    descriptors = [each[2] for each in found]
    after = [boosted(options, f"image{i}", *each[1:]) for i, each in enumerate(found, 1)]
    pictures = []
    for name, pair in (("SIFT", descriptors), ("boosted", after)):
        first, second = matches(*pair)
        points, others = found[0][0][first], found[1][0][second]
        right = are_right(points, others, homography)
        print(f"{name}: {right.sum()} of {len(right)} matches are right")
        pictures.append(drawn(images, points, others, right))
    for i, each in enumerate(images, 1):
        cv2.imwrite(str(options.output / f"image{i}.png"), each)
    cv2.imwrite(str(options.output / "matches.png"), numpy.vstack(pictures))


if __name__ == "__main__":
    main()
