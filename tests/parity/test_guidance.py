"""Guidance against diffusers: the line of its pipelines, its rescaling, its guider, its thresholding."""

import pytest
import torch

from aigc_lib import diffusion, recipes
from aigc_lib.models.unet_fast import FastUNet
from aigc_lib.sample.diffusion import denoiser
from aigc_lib.sample.guidance import guided, limited, rescaled, thresholded

pytest.importorskip("diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion")


def networks():
    """A small network of random weights in float64, noisy images, one time, classes."""
    torch.manual_seed(0)
    net = FastUNet(dim=8, middle=32, blocks=1, width=16).double().eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x = torch.randn(4, 1, 28, 28, dtype=torch.float64)
    return net, x, torch.full((4,), 600), torch.arange(4)


@pytest.mark.skipif(not (recipes.SHIPPED / "ddpm_mnist.safetensors").exists(), reason="not trained yet")
@torch.no_grad()
def test_the_line_of_the_pipelines_gives_our_guided_digits():
    # [at-work]
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import (
        rescale_noise_cfg,
    )

    net, alpha_bar = recipes.load("ddpm_mnist"), recipes.recipe("ddpm_mnist").ALPHA_BAR
    y, t = torch.arange(10), torch.full((10,), 600)
    xt = torch.randn(10, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    towards, away = denoiser(net, alpha_bar, y), denoiser(net, alpha_bar)

    guidance_scale = 7.5  # from here on, the names and the line of the pipeline
    noise_pred_text = diffusion.to_eps(towards(xt, t), xt, t, alpha_bar)
    noise_pred_uncond = diffusion.to_eps(away(xt, t), xt, t, alpha_bar)
    noise_pred = noise_pred_uncond + guidance_scale * (noise_pred_text - noise_pred_uncond)
    theirs = diffusion.to_x0("eps", noise_pred, xt, t, alpha_bar)
    ours = guided(towards, away, w=7.5)
    torch.testing.assert_close(ours(xt, t), theirs, rtol=1e-4, atol=1e-4)

    theirs = rescale_noise_cfg(ours(xt, t), towards(xt, t), guidance_rescale=0.7)
    torch.testing.assert_close(rescaled(ours, towards, 0.7)(xt, t), theirs)
    # [/at-work]


@torch.no_grad()
def test_the_line_of_the_pipelines_in_float64():
    net, xt, t, y = networks()
    alpha_bar = diffusion.cosine_schedule(1000)
    towards, away = double(net, alpha_bar, y), double(net, alpha_bar)
    cond, uncond = (diffusion.to_eps(by(xt, t), xt, t, alpha_bar) for by in (towards, away))
    noise_pred = uncond + 7.5 * (cond - uncond)
    theirs = diffusion.to_x0("eps", noise_pred, xt, t, alpha_bar)
    torch.testing.assert_close(guided(towards, away, 7.5)(xt, t), theirs)
    v = net(xt, t) + 7.5 * (net(xt, t, y) - net(xt, t))  # what a pipeline does with a model of v
    torch.testing.assert_close(guided(towards, away, 7.5)(xt, t), diffusion.to_x0("v", v, xt, t, alpha_bar))


@torch.no_grad()
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_rescaling_is_rescale_noise_cfg(share):
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

    net, xt, t, y = networks()
    alpha_bar = diffusion.cosine_schedule(1000)
    towards, away = double(net, alpha_bar, y), double(net, alpha_bar)
    steered = guided(towards, away, 7.5)
    theirs = rescale_noise_cfg(steered(xt, t), towards(xt, t), guidance_rescale=share)
    torch.testing.assert_close(rescaled(steered, towards, share)(xt, t), theirs)


@torch.no_grad()
def test_the_guider_in_both_conventions():
    guider = pytest.importorskip("diffusers.guiders.classifier_free_guidance").ClassifierFreeGuidance
    net, xt, t, y = networks()
    alpha_bar = diffusion.cosine_schedule(1000)
    towards, away = double(net, alpha_bar, y), double(net, alpha_bar)
    ours = guided(towards, away, 4.0)
    pair = (towards(xt, t), away(xt, t))
    torch.testing.assert_close(ours(xt, t), guider(4.0).forward(*pair).pred)
    torch.testing.assert_close(ours(xt, t), guider(3.0, use_original_formulation=True).forward(*pair).pred)
    both = guider(4.0, guidance_rescale=0.7).forward(*pair).pred
    torch.testing.assert_close(rescaled(ours, towards, 0.7)(xt, t), both)


@torch.no_grad()
def test_the_guider_s_interval_is_ours():
    """Its start and stop are shares of the steps, ours are times: 10 steps, of which 2 to 7 are guided."""
    guider = pytest.importorskip("diffusers.guiders.classifier_free_guidance").ClassifierFreeGuidance
    net, xt, _, y = networks()
    alpha_bar = diffusion.cosine_schedule(1000)
    towards, away = double(net, alpha_bar, y), double(net, alpha_bar)
    theirs = guider(4.0, start=0.2, stop=0.8)
    ours = limited(guided(towards, away, 4.0), towards, 200, 800)
    for step, time in enumerate(range(999, -1, -100)):
        t = torch.full((4,), time)
        theirs.set_state(step=step, num_inference_steps=10, timestep=t[:1])
        torch.testing.assert_close(ours(xt, t), theirs.forward(towards(xt, t), away(xt, t)).pred)


@torch.no_grad()
@pytest.mark.parametrize("share", [0.9, 0.995])
def test_dynamic_thresholding_is_that_of_the_ddim_scheduler(share):
    """Its sample_max_value is 1 by default, which would only cut: we leave the quantile free."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(thresholding=True, dynamic_thresholding_ratio=share, sample_max_value=1e9)
    x0 = 3 * torch.randn(5, 1, 28, 28, dtype=torch.float64)
    x0[0] /= 10  # nothing outside: left as it is
    ours = thresholded(lambda xt, t: x0, share)
    torch.testing.assert_close(ours(x0, torch.zeros(5).long()), scheduler._threshold_sample(x0))


def double(net, alpha_bar, y=None):
    """As `denoiser`, which returns float32."""

    def denoise(xt, t):
        return diffusion.to_x0("v", net(xt, t, y), xt, t, alpha_bar)

    return denoise
