"""Record the two comparisons of the chapter on the GAN family, each change in a row of its own.

    python tools/bench/gan_family.py ladder --steps 2000      from the DCGAN as published to ours, and on to SAGAN
    python tools/bench/gan_family.py ring --seconds 20        the chapter's own race of losses, at equal CPU time

Both write aigc_lib/evaluate/results/gan_family_NAME.json, under the kind of processor; the ladder does after each row.
One thread; run nothing else meanwhile: CPU seconds of a busy machine are worth less.
"""

import argparse
import statistics
import time

import jupytext
import torch
from run import ROOT, provenance, save

from aigc_lib import data, evaluate, losses, recipes, runtime
from aigc_lib.models.dcgan import DCGANDiscriminator, DCGANGenerator
from aigc_lib.models.gan import Discriminator, Generator
from aigc_lib.nn.attention import SelfAttention2d
from aigc_lib.nn.spectral_norm import spectral_norm
from aigc_lib.training.adversarial import BATCH, adversarial, draw, gaussian, unconditional
from aigc_lib.training.run import accelerate
from aigc_lib.training.schedule import scheduler
from aigc_lib.training.splits import digit_images

CHAPTER = ROOT / "chapters" / "gan_family.md"


def hinge_generator(fake: torch.Tensor) -> torch.Tensor:
    """What G minimises beside D's hinge loss."""
    return -fake.mean()


def apart(D: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The logits of real and of fake images in two passes, as DCGAN has it, so that BatchNorm does not mix them."""
    return torch.cat([D(part) for part in x.split(BATCH)])


# Every row keeps what the rows above it changed, and changes what it names.
FIRST = {
    "G": DCGANGenerator,
    "D": DCGANDiscriminator,
    "lr": 2e-4,
    "betas": (0.5, 0.999),
    "r1": 0.0,
    "cosine": False,
    "average": False,
    "loss": (losses.discriminator_loss, losses.generator_loss),
    "logits": apart,
}
ROWS = {
    "DCGAN as published": {},
    "no BatchNorm in D": {"D": lambda: DCGANDiscriminator(batch_norm=False), "logits": unconditional},
    "R1 at the data": {"r1": 0.3},
    "our networks": {"G": Generator, "D": Discriminator},
    "Adam's betas (0, 0.99)": {"betas": (0.0, 0.99)},
    "learning rate 4e-3": {"lr": 4e-3},
    "warm-up and cosine": {"cosine": True},
    "moving average of G": {"average": True},
    "hinge loss": {"loss": (losses.hinge_loss, hinge_generator)},
    "spectral norm in D": {"D": lambda: Discriminator(norm=spectral_norm)},
    "no R1": {"r1": 0.0},
    "attention in D": {"D": lambda: Discriminator(norm=spectral_norm, extra=SelfAttention2d(64))},
    "attention in G": {"G": lambda: Generator(extra=SelfAttention2d(64))},
}


def train(setting: dict, steps: int, samples: int, seed: int) -> dict:
    """Train by the library's `adversarial` with a row's setting; the meter, and the CPU seconds of training."""
    torch.manual_seed(seed)
    rng, splits = torch.Generator().manual_seed(seed), digit_images(None, at_least=BATCH)
    G, D, (d_loss, g_loss) = setting["G"](), setting["D"](), setting["loss"]
    games = {"d_loss": d_loss, "g_loss": g_loss, "r1": setting["r1"], "logits": setting["logits"]}
    job = adversarial(G, D, splits, accelerate(), rng, **games)
    optimizers = [job.parts["for_g"], job.parts["for_d"]]
    for optimizer in optimizers:
        optimizer.param_groups[0].update(lr=setting["lr"], betas=setting["betas"])
    set_rates = scheduler(optimizers, steps=steps) if setting["cosine"] else lambda step: None
    began = time.process_time()
    for step, batch in zip(range(steps), job.batches, strict=False):
        set_rates(step)
        job.update(batch)
    seconds = time.process_time() - began
    model = (job.model if setting["average"] else job.parts["G"]).eval()
    z = gaussian(model, range(samples), rng=torch.Generator().manual_seed(0))
    held_out = data.mnist("test")[0][:: 10_000 // samples]
    return {"cpu_seconds": seconds, **evaluate.measure(draw(model, z), held_out, recipes.digit_features())}


def spread(runs: list[dict]) -> dict:
    """Mean and standard deviation of each number over runs, and the runs."""
    columns = {key: [run[key] for run in runs] for key in runs[0]}
    mean = {key: statistics.mean(values) for key, values in columns.items()}
    return {"mean": mean, "sd": {key: statistics.stdev(values) for key, values in columns.items()}, "runs": runs}


def ladder(args: argparse.Namespace, origin: dict) -> None:
    """Train each row with each seed, and write what is known after each row."""
    setting, rows = dict(FIRST), {}
    for name, change in ROWS.items():
        setting |= change
        rows[name] = spread([train(setting, args.steps, args.samples, seed) for seed in args.seeds])
        found = {"steps": args.steps, "batch": BATCH, "seeds": args.seeds, "samples": args.samples}
        save("gan_family_ladder", origin | found | {"contenders": rows})
        print(name, {key: round(value, 3) for key, value in rows[name]["mean"].items()}, flush=True)


def ring(args: argparse.Namespace, origin: dict) -> None:
    """Run the chapter's cells that are tagged `bench`, then its race with every game."""
    scope = {"time": time, "torch": torch, "nn": torch.nn, "data": data, "evaluate": evaluate, "losses": losses}
    scope["runtime"] = runtime
    for cell in jupytext.read(CHAPTER).cells:
        if "bench" in cell.metadata.get("tags", []):
            exec(cell.source, scope)  # what a reader runs, and no copy of it
    rows = {}
    for game in scope["GAMES"]:
        steps, samples = scope["race"](game, args.seconds)
        counts = [scope["held"](points) for points in samples]
        runs = [{"steps": steps, "modes": modes, "share": share} for modes, share in counts]
        few = [[round(value, 2) for value in point] for point in samples[0, :300].tolist()]
        rows[game] = {**spread(runs), "points": few}
        print(game, rows[game]["mean"], flush=True)
    found = {"cpu_seconds": args.seconds, "seeds": list(range(scope["SEEDS"])), "contenders": rows}
    save("gan_family_ring", origin | found, indent=None)  # some thousand points


def main() -> None:
    parser = argparse.ArgumentParser(description="Record the comparisons of the chapter on the GAN family.")
    parser.add_argument("name", choices=["ladder", "ring"])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    torch.set_num_threads(1)
    {"ladder": ladder, "ring": ring}[args.name](args, provenance())


if __name__ == "__main__":
    main()
