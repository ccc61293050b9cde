"""The MLP GAN of many tutorials against our recipe."""

import torch

from aigc_lib import data, evaluate, losses, recipes, runtime
from aigc_lib.fit import fit
from aigc_lib.models.gan import mlp_discriminator, mlp_generator


def published(seconds: float, seed: int) -> dict:
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
