"""Schedules, samplers and the U-Net of the library diffusers: the same numbers as ours, step by step.

Its schedulers keep float32 tables; ours go in their place wherever they can be put, and all is computed in float64.
"""

import numpy as np
import pytest
import torch
from torch import nn

from aigc_lib import diffusion
from aigc_lib.models.unet import Attention, ResBlock, UNet
from aigc_lib.models.unet_fast import FastUNet
from aigc_lib.sample.diffusion import ancestral, ddim, denoiser, dpm_solver, invert, last, timesteps

diffusers = pytest.importorskip("diffusers.schedulers")
pytest.importorskip("diffusers.pipelines.ddim.pipeline_ddim")

PREDICTION = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
SCHEDULES = {
    "linear": diffusion.linear_schedule(),
    "squaredcos_cap_v2": diffusion.cosine_schedule(),
}
kinds = pytest.mark.parametrize("kind", PREDICTION)
schedules = pytest.mark.parametrize("schedule", SCHEDULES)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, dtype=torch.float64):
    return torch.randn(shape, generator=rng(), dtype=dtype)


class Network(nn.Module):
    """Any function of x_t and t, bounded and not linear."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, xt, t):
        phase = (t / 150).to(xt.dtype).view(-1, *[1] * (xt.ndim - 1))
        return torch.tanh(1.5 * xt.roll(1, -1) - xt + phase.sin())


def ours_in(scheduler, schedule):
    """The scheduler with our float64 table, after both were seen to be equal."""
    table = SCHEDULES[schedule]
    torch.testing.assert_close(scheduler.alphas_cumprod.double(), table, rtol=2e-4, atol=0)
    scheduler.alphas_cumprod = table
    return scheduler


def trajectory(scheduler, model, x, **options):
    """(x, x0) after each step, as a pipeline of diffusers makes them."""
    for t in scheduler.timesteps:
        found = scheduler.step(model(x, t.expand(len(x))), t, x, **options)
        x = found.prev_sample
        yield x, getattr(found, "pred_original_sample", None)


def assert_equal_steps(ours, theirs, **tolerance):
    count = 0
    for (a, a0), (b, b0) in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, **tolerance)
        if b0 is not None:
            torch.testing.assert_close(a0, b0, **tolerance)
        count += 1
    return count


@schedules
def test_schedules_are_theirs(schedule):
    """Theirs are products in float32 of a thousand factors, so equal to four digits at the end."""
    theirs = diffusers.DDPMScheduler(beta_schedule=schedule)
    alpha_bar = SCHEDULES[schedule]
    torch.testing.assert_close(diffusion.betas(alpha_bar), theirs.betas.double(), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(alpha_bar, theirs.alphas_cumprod.double(), rtol=2e-4, atol=0)


@schedules
def test_noising_and_velocity_are_theirs(schedule):
    theirs = ours_in(diffusers.DDPMScheduler(beta_schedule=schedule), schedule)
    alpha_bar, t = SCHEDULES[schedule], torch.tensor([0, 1, 500, 998, 999])
    x0, eps = noise(5, 1, 4, 4), torch.randn(5, 1, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(diffusion.q_sample(x0, t, eps, alpha_bar), theirs.add_noise(x0, eps, t))
    torch.testing.assert_close(diffusion.target("v", x0, t, eps, alpha_bar), theirs.get_velocity(x0, eps, t))


def test_times_are_theirs():
    scheduler = diffusers.DDIMScheduler(timestep_spacing="trailing")
    for steps in range(1, 1001):
        scheduler.set_timesteps(steps)
        theirs, ours = scheduler.timesteps[:steps], timesteps(1000, steps)
        if 1000 % steps == 0:
            assert torch.equal(ours, theirs)
        # Where 1000 / steps is not exact, theirs may round a half the other way.
        assert (ours - theirs).abs().max() <= 1


@kinds
@schedules
@pytest.mark.parametrize("clip", [False, True])
def test_every_step_of_ddpm(schedule, kind, clip):
    theirs = diffusers.DDPMScheduler(
        num_train_timesteps=1000,
        beta_schedule=schedule,
        prediction_type=PREDICTION[kind],
        variance_type="fixed_small",
        clip_sample=clip,
        clip_sample_range=1.0,
        thresholding=False,
        timestep_spacing="leading",
        steps_offset=0,
        rescale_betas_zero_snr=False,
    )
    ours_in(theirs, schedule).set_timesteps(1000)
    model, x = Network(kind), noise(2, 1, 2, 3)
    ours = ancestral(denoiser(model, SCHEDULES[schedule], clip=clip), x, SCHEDULES[schedule], rng(1))
    assert assert_equal_steps(ours, trajectory(theirs, model, x, generator=rng(1))) == 1000


@kinds
@schedules
@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("clip", [False, True])
def test_every_step_of_ddim(schedule, kind, eta, clip):
    theirs = diffusers.DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule=schedule,
        prediction_type=PREDICTION[kind],
        clip_sample=clip,
        clip_sample_range=1.0,
        thresholding=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
        steps_offset=0,
        rescale_betas_zero_snr=False,
    )
    ours_in(theirs, schedule).set_timesteps(50)
    model, x, times = Network(kind), noise(2, 1, 2, 3), timesteps(1000, 50)
    assert torch.equal(theirs.timesteps, times)
    denoise = denoiser(model, SCHEDULES[schedule], clip=clip)
    ours = ddim(denoise, x, SCHEDULES[schedule], times, eta=eta, generator=rng(1))
    # Ours takes the noise from the clipped x0, so that both still make up x_t.
    options = {"eta": eta, "use_clipped_model_output": clip, "generator": rng(1)}
    assert assert_equal_steps(ours, trajectory(theirs, model, x, **options)) == 50


DPM = {
    "num_train_timesteps": 1000,
    "algorithm_type": "dpmsolver++",
    "solver_order": 2,
    "solver_type": "midpoint",
    "lower_order_final": True,
    "euler_at_final": False,
    "final_sigmas_type": "zero",
    "thresholding": False,
    "use_karras_sigmas": False,
    "timestep_spacing": "trailing",
    "steps_offset": 0,
    "rescale_betas_zero_snr": False,
}


@pytest.mark.parametrize("kind, schedule", [(k, "linear") for k in PREDICTION] + [("v", "squaredcos_cap_v2")])
@pytest.mark.parametrize("steps", [1, 2, 10, 20])
def test_every_step_of_dpm_solver(schedule, kind, steps):
    """In float32: `step` casts the sample to it, and the table of sigmas is made of it."""
    theirs = diffusers.DPMSolverMultistepScheduler(beta_schedule=schedule, prediction_type=PREDICTION[kind], **DPM)
    ours_in(theirs, schedule).set_timesteps(steps)
    model, x, times = Network(kind), noise(2, 1, 2, 3, dtype=torch.float32), timesteps(1000, steps)
    assert torch.equal(theirs.timesteps, times)
    ours = dpm_solver(denoiser(model, SCHEDULES[schedule]), x, SCHEDULES[schedule], times)
    assert assert_equal_steps(ours, trajectory(theirs, model, x), atol=1e-4, rtol=1e-4) == steps


class DPMInFloat64(diffusers.DPMSolverMultistepScheduler):
    """Their conversion and their two update rules, without the casts of `set_timesteps` and `step`."""

    def set_timesteps(self, steps):
        super().set_timesteps(steps)
        sigmas = ((1 - self.alphas_cumprod) / self.alphas_cumprod).sqrt()[self.timesteps]
        self.sigmas = torch.cat((sigmas, torch.zeros(1, dtype=torch.float64)))

    def trajectory(self, model, x):
        x0 = None
        for step, t in enumerate(self.timesteps):
            self._step_index = step
            old, x0 = x0, self.convert_model_output(model(x, t.expand(len(x))), sample=x)
            if old is None or step == len(self.timesteps) - 1:
                x = self.dpm_solver_first_order_update(x0, sample=x)
            else:
                x = self.multistep_dpm_solver_second_order_update([old, x0], sample=x)
            yield x, x0


@kinds
@schedules
def test_every_step_of_dpm_solver_in_float64(schedule, kind):
    theirs = DPMInFloat64(beta_schedule=schedule, prediction_type=PREDICTION[kind], **DPM)
    ours_in(theirs, schedule).set_timesteps(20)
    model, x = Network(kind), noise(2, 1, 2, 3)
    ours = dpm_solver(denoiser(model, SCHEDULES[schedule]), x, SCHEDULES[schedule], timesteps(1000, 20))
    assert assert_equal_steps(ours, theirs.trajectory(model, x)) == 20


@schedules
def test_every_step_of_inversion(schedule):
    """Their step makes x at the time it is given from x at the time before; what the network is asked is the caller's.

    Their pipelines ask at the time that a step goes to, ours at the one it comes from, where x is: here both do the
    latter. For eps only: at the first step, from the datum, theirs takes the output for eps as it would be without any
    noise, where v is eps itself and x0 says nothing of it; ours as it is at the first time.
    """
    theirs = diffusers.DDIMInverseScheduler(
        num_train_timesteps=1000,
        beta_schedule=schedule,
        prediction_type="epsilon",
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
        steps_offset=0,
        rescale_betas_zero_snr=False,
    )
    ours_in(theirs, schedule).set_timesteps(50)
    model, x0, times = Network("eps"), noise(2, 1, 2, 3), timesteps(1000, 50)
    assert torch.equal(theirs.timesteps, times.flip(0))
    before = {int(t): torch.tensor(max(t - 20, times[-1])) for t in times}

    def asked_before(x, t):
        return model(x, before[int(t[0])].expand(len(x)))

    ours = invert(denoiser(model, SCHEDULES[schedule]), x0, SCHEDULES[schedule], times)
    assert assert_equal_steps(ours, trajectory(theirs, asked_before, x0)) == 50


def in_use(model):
    """Random numbers in all weights: some of an untrained network are 0."""
    torch.manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model.eval()


@torch.no_grad()
def test_our_networks_in_a_pipeline_of_diffusers_draw_the_same_images():
    # [at-work]
    from diffusers import ConfigMixin, DDIMPipeline, DDIMScheduler, ModelMixin
    from diffusers.configuration_utils import register_to_config
    from diffusers.models.unets.unet_2d import UNet2DOutput

    class Ours(ModelMixin, ConfigMixin):
        """A network of ours, for images of one size, as diffusers wants it."""

        @register_to_config
        def __init__(self, sample_size=28, in_channels=1):
            super().__init__()

        def forward(self, x, t):
            return UNet2DOutput(self.network(x, t.expand(len(x))))

    def pipeline(network, **options):
        unet = Ours(in_channels=network.channels)
        unet.network = network
        return DDIMPipeline(unet, DDIMScheduler(clip_sample=False, **options))

    # [/at-work]
    x = torch.randn(3, 1, 28, 28, generator=rng())
    for network, schedule in [
        (UNet(dim=8, multipliers=(1, 1)), "linear"),
        (FastUNet(dim=16, middle=32), "squaredcos_cap_v2"),
    ]:
        options = {"beta_schedule": schedule, "prediction_type": PREDICTION[in_use(network).kind]}
        pipe = pipeline(network, set_alpha_to_one=True, timestep_spacing="trailing", **options)
        pipe.set_progress_bar_config(disable=True)
        theirs = pipe(3, generator=rng(), num_inference_steps=10, eta=0.0, output_type="pt").images
        alpha_bar = SCHEDULES[schedule]
        ours = last(ddim(denoiser(network, alpha_bar), x, alpha_bar, timesteps(1000, 10)))
        torch.testing.assert_close((ours / 2 + 0.5).clamp(0, 1), theirs, atol=2e-3, rtol=0)
        assert 0.05 < theirs.std() < 0.49  # neither flat nor all black and white


@torch.no_grad()
@pytest.mark.parametrize("inputs, outputs", [(16, 16), (16, 24)])
def test_a_res_block_is_theirs(inputs, outputs):
    from diffusers.models.resnet import ResnetBlock2D

    ours = in_use(ResBlock(inputs, outputs, 10).double())
    theirs = ResnetBlock2D(in_channels=inputs, out_channels=outputs, temb_channels=10, groups=8, eps=1e-5).double()
    copy_block(ours, theirs)
    x, e = noise(2, inputs, 5, 6), noise(2, 10)
    torch.testing.assert_close(ours(x, e), theirs(x, e))


@torch.no_grad()
def test_attention_is_theirs():
    from diffusers.models.attention_processor import Attention as Theirs

    ours = in_use(Attention(16).double())
    options = {"heads": 1, "dim_head": 16, "norm_num_groups": 8, "eps": 1e-5, "bias": True}
    theirs = Theirs(16, residual_connection=True, rescale_output_factor=1.0, **options).double()
    copy_attention(ours, theirs)
    x = noise(2, 16, 5, 6)
    torch.testing.assert_close(ours(x), theirs(x))


def copy(ours, theirs):
    """The weights of one layer; a 1x1 convolution may become a linear layer."""
    theirs.weight.copy_(ours.weight.view_as(theirs.weight))
    theirs.bias.copy_(ours.bias)


def copy_block(ours, theirs):
    pairs = [("norm1", "norm1"), ("conv1", "conv1"), ("norm2", "norm2"), ("conv2", "conv2"), ("hint", "time_emb_proj")]
    for mine, yours in pairs:
        copy(getattr(ours, mine), getattr(theirs, yours))
    if theirs.conv_shortcut is not None:
        copy(ours.skip, theirs.conv_shortcut)


def copy_attention(ours, theirs):
    copy(ours.norm, theirs.group_norm)
    copy(ours.out, theirs.to_out[0])
    parts = zip(ours.qkv.weight.flatten(1).chunk(3), ours.qkv.bias.chunk(3), strict=True)
    for layer, (weight, bias) in zip((theirs.to_q, theirs.to_k, theirs.to_v), parts, strict=True):
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)


def their_unet(ours, widths):
    """A UNet2DModel with the weights of our UNet, whose dim must be 64: both have 32 frequencies then."""
    from diffusers import UNet2DModel

    levels = len(widths)
    theirs = UNet2DModel(
        in_channels=ours.channels,
        out_channels=ours.channels,
        block_out_channels=widths,
        layers_per_block=2,
        down_block_types=("DownBlock2D",) * levels,
        up_block_types=("UpBlock2D",) * levels,
        attention_head_dim=widths[-1],  # one head
        downsample_padding=1,
        norm_num_groups=8,
        norm_eps=1e-5,
        flip_sin_to_cos=False,
        freq_shift=0,
        num_class_embeds=ours.classes + 1 if ours.classes else None,
    )
    copy(ours.first, theirs.conv_in)
    copy(ours.condition.time[0], theirs.time_embedding.linear_1)
    copy(ours.condition.time[2], theirs.time_embedding.linear_2)
    if ours.classes:
        theirs.class_embedding.weight.copy_(ours.condition.label.weight)
    down = [block for level in theirs.down_blocks for block in level.resnets]
    up = [block for level in theirs.up_blocks for block in level.resnets]
    for mine, yours in zip((*ours.down, *ours.middle, *ours.up), (*down, *theirs.mid_block.resnets, *up), strict=True):
        copy_block(mine, yours)
    for mine, level in zip(ours.smaller, theirs.down_blocks, strict=False):
        copy(mine, level.downsamplers[0].conv)
    for mine, level in zip(ours.larger, theirs.up_blocks, strict=False):
        copy(mine, level.upsamplers[0].conv)
    copy_attention(ours.attention, theirs.mid_block.attentions[0])
    copy(ours.norm, theirs.conv_norm_out)
    copy(ours.last, theirs.conv_out)
    return theirs.eval()


@torch.no_grad()
@pytest.mark.parametrize("classes", [0, 10])
def test_our_unet_is_the_unet2dmodel_of_diffusers(classes):
    ours = in_use(UNet(dim=64, multipliers=(1, 2), classes=classes))
    theirs = their_unet(ours, (64, 128))
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in ours.parameters())
    x, t, y = noise(3, 1, 8, 8, dtype=torch.float32), torch.tensor([0, 20, 999]), torch.tensor([0, 9, 10])
    said = ours(x, t, y) if classes else ours(x, t)
    by_theirs = theirs(x, t, y if classes else None).sample
    torch.testing.assert_close(said, by_theirs, atol=1e-3 * float(said.std()), rtol=0)


def test_float64_tables_are_what_makes_the_difference():
    """Their own float32 table moves a trajectory by 1e-5 or so: the tests above would see such a difference."""
    theirs = diffusers.DDIMScheduler(clip_sample=False, timestep_spacing="trailing", prediction_type="v_prediction")
    theirs.set_timesteps(50)
    model, x = Network("v"), noise(2, 1, 2, 3)
    ours = last(ddim(denoiser(model, SCHEDULES["linear"]), x, SCHEDULES["linear"], timesteps(1000, 50)))
    *_, (end, _) = trajectory(theirs, model, x)
    assert 1e-8 < np.abs((ours - end).numpy()).max() < 1e-3
