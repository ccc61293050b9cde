"""One contender of a race, or one measurement of speed, in a process of its own; prints one line of JSON."""

import argparse
import json
import tempfile
import time
from collections.abc import Callable

import torch
from torch import nn

from aigc_lib import data, evaluate, losses, recipes, runtime
from aigc_lib.fit import fit
from aigc_lib.models import conv_vae, mlp_vae


def vae_published(seconds: float, seed: int) -> dict:
    """The VAE of pytorch/examples, from its description: 784-400-20, ReLU, Adam 1e-3, batch 128, float32.

    Its batches come from memory here, which is faster than its own loader: the comparison favours it.
    """
    generator = runtime.seed(seed)
    vae = mlp_vae(latent_dim=20, hidden=400)
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)

    def update(batch):
        (x,) = batch
        logits, mu, logvar = vae(x, torch.randn(len(x), 20, generator=generator))
        parts = losses.vae_loss(logits, x, mu, logvar)
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        return parts

    stream = data.batches(data.mnist("train")[0], batch_size=128, generator=generator)
    for step, _ in fit(update, stream, seconds=seconds):  # noqa: B007
        pass
    splits = ({"images": data.mnist(split)[0]} for split in ("train", "test"))
    return {"steps": step, **recipes.RECIPES["vae"].metrics(vae.eval(), *splits)}


def vae_real(seconds: float, seed: int) -> dict:
    """10,000 training digits in place of samples: the best that any model of them can reach."""
    return evaluate.measure(data.mnist("train")[0][:10_000], data.mnist("test")[0], recipes.digit_features())


def ours(name: str, seconds: float, seed: int) -> dict:
    """Our recipe for the same time."""
    with tempfile.TemporaryDirectory() as folder:
        recipes.train(name, folder, seconds=seconds, seed=seed)
        card = recipes.card(name, folder)
    return {"steps": card["steps"], **card["metrics"]}


CONTENDERS = {("vae", "published"): vae_published, ("vae", "real"): vae_real}


def milliseconds(step: Callable[[], object], repeat: int = 20) -> float:
    """The median time of a call, after three that warm up."""
    times = []
    for _ in range(repeat + 3):
        start = time.perf_counter()
        step()
        times.append(1000 * (time.perf_counter() - start))
    return sorted(times[3:])[repeat // 2]


def speed() -> dict:
    """One operation at a time in this process's precision, and one training step of a few networks."""
    dtype = torch.bfloat16 if runtime.precision() == "bf16" else torch.float32
    a = torch.randn(1024, 1024).to(dtype)
    x = torch.randn(128, 32, 28, 28).to(dtype)
    conv = nn.Conv2d(32, 32, 3, padding=1).to(dtype)
    norm, last = nn.GroupNorm(8, 32).to(dtype), x.to(memory_format=torch.channels_last)
    conv_last = nn.Conv2d(32, 32, 3, padding=1).to(dtype).to(memory_format=torch.channels_last)
    with torch.no_grad():
        single = {
            "matrix product 1024": milliseconds(lambda: a @ a),
            "convolution 3x3, 32 channels, 28x28": milliseconds(lambda: conv(x)),
            "the same, channels last": milliseconds(lambda: conv_last(last)),
            "group norm": milliseconds(lambda: norm(x)),
            "SiLU": milliseconds(lambda: nn.functional.silu(x)),
        }
    return single | {f"training step: {name}": milliseconds(training_step(net)) for name, net in networks().items()}


def networks() -> dict[str, nn.Module]:
    return {"MLP VAE, batch 128": mlp_vae(), "convolutional VAE, batch 128": conv_vae()}


def training_step(vae: nn.Module) -> Callable[[], None]:
    """A whole step: forward, loss, backward, Adam."""
    x, optimizer = torch.rand(128, 1, 28, 28) * 2 - 1, torch.optim.Adam(vae.parameters(), fused=True)

    def step():
        with runtime.autocast():
            outputs = vae(x, torch.randn(128, vae.latent_dim))
        logits, mu, logvar = (output.float() for output in outputs)
        loss = losses.vae_loss(logits, x, mu, logvar)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    race = commands.add_parser("race")
    race.add_argument("name")
    race.add_argument("contender")
    race.add_argument("--seconds", type=float, required=True)
    race.add_argument("--seed", type=int, required=True)
    commands.add_parser("speed")
    args = parser.parse_args()
    if args.command == "speed":
        found = speed()
    elif args.contender == "ours":
        found = ours(args.name, args.seconds, args.seed)
    else:
        found = CONTENDERS[args.name, args.contender](args.seconds, args.seed)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
