"""FFDNet as its authors released it, run without denoisebench: noisy/npy/*.npy -> DIR/*.npy.

python ffdnet_outside.py ffdnet_color.pth noisy/npy ffdnet_denoised 25
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

weights, source, target, sigma = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]) / 255
layers = []
for number in range(12):
    layers += [nn.Conv2d(13 if number == 0 else 96, 12 if number == 11 else 96, 3, padding=1), nn.ReLU()]
model = nn.Sequential(*layers[:-1])
model.load_state_dict({name.removeprefix("model."): value for name, value in torch.load(weights, weights_only=True).items()})
target.mkdir(exist_ok=True)
for path in sorted(source.glob("*.npy")):
    parts = pixel_unshuffle(torch.from_numpy(np.load(path).transpose(2, 0, 1))[None], 2)
    with torch.no_grad():
        image = pixel_shuffle(model(torch.cat([parts, torch.full_like(parts[:, :1], sigma)], dim=1)), 2)
    np.save(target / path.name, image[0].permute(1, 2, 0).numpy())
