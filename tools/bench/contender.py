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
from aigc_lib.models.gan import Discriminator, Generator, mlp_discriminator, mlp_generator
from aigc_lib.models.vae import conv_vae, mlp_vae


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
    return {"steps": step, **recipes.recipe("vae").metrics(vae.eval(), *splits)}


def gan_published(seconds: float, seed: int) -> dict:
    """The MLP GAN of many tutorials, its 0.8 in the place of BatchNorm's eps included, sampled in training mode.

    Binary cross-entropy, Adam 2e-4 with betas 0.5 and 0.999, batch 64, float32; fed from memory, which favours it.
    """
    generator = runtime.seed(seed)
    artist, judge = mlp_generator(eps=0.8), mlp_discriminator()
    for_artist, for_judge = (torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (artist, judge))

    def update(batch):
        (x,) = batch
        fake = artist(torch.randn(len(x), 100, generator=generator))
        artist_loss = losses.generator_loss(judge(fake))
        for_artist.zero_grad()
        artist_loss.backward()
        for_artist.step()
        judge_loss = losses.discriminator_loss(judge(x), judge(fake.detach())) / 2
        for_judge.zero_grad()
        judge_loss.backward()
        for_judge.step()
        return {"generator": artist_loss, "discriminator": judge_loss}

    stream = data.batches(data.mnist("train")[0], batch_size=64, generator=generator)
    for step, _ in fit(update, stream, seconds=seconds):  # noqa: B007
        pass
    with torch.no_grad():
        noise = torch.randn(10_000, 100, generator=generator)
        samples = torch.cat([artist(z) for z in noise.split(64)])
    return {"steps": step, **evaluate.measure(samples, data.mnist("test")[0], recipes.digit_features())}


def real_digits(seconds: float, seed: int) -> dict:
    """10,000 training digits in place of samples: the best that any model of them can reach."""
    return evaluate.measure(data.mnist("train")[0][:10_000], data.mnist("test")[0], recipes.digit_features())


def ours(name: str, seconds: float, seed: int) -> dict:
    """Our recipe for the same time."""
    with tempfile.TemporaryDirectory() as folder:
        recipes.train(name, folder, seconds=seconds, seed=seed)
        card = recipes.card(name, folder)
    return {"steps": card["steps"], **card["metrics"]}


PUBLISHED = {"vae": vae_published, "gan": gan_published}


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
    return single | {f"training step: {name}": milliseconds(step) for name, step in training_steps().items()}


def training_steps() -> dict[str, Callable[[], None]]:
    return {
        "MLP VAE, batch 128": vae_step(mlp_vae()),
        "convolutional VAE, batch 128": vae_step(conv_vae()),
        "convolutional GAN, both players, batch 32": gan_step(),
    }


def vae_step(vae: nn.Module) -> Callable[[], None]:
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


def gan_step() -> Callable[[], None]:
    """A step of the discriminator and one of the generator, without the penalty of every eighth step."""
    artist, judge = (net.to(memory_format=torch.channels_last) for net in (Generator(), Discriminator()))
    for_artist, for_judge = (torch.optim.Adam(net.parameters(), fused=True) for net in (artist, judge))
    x = torch.rand(32, 1, 28, 28) * 2 - 1

    def step():
        with runtime.autocast():
            real, fake = judge(torch.cat([x, artist(torch.randn(32, 64)).detach()])).float().chunk(2)
        for_judge.zero_grad()
        losses.discriminator_loss(real, fake).backward()
        for_judge.step()
        with runtime.autocast():
            marks = judge(artist(torch.randn(32, 64))).float()
        for_artist.zero_grad()
        losses.generator_loss(marks).backward()
        for_artist.step()

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
        found = (real_digits if args.contender == "real" else PUBLISHED[args.name])(args.seconds, args.seed)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
