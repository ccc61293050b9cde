"""What the samplers chapter shows under "At work": our checkpoint by the schedulers of diffusers."""

import torch

from aigc_lib import recipes
from aigc_lib.sample.diffusion import ddim, denoiser, dpm_solver, last, timesteps


@torch.no_grad()
def test_our_digits_by_the_schedulers_of_diffusers():
    # [at-work]
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

    recipe = recipes.recipe("ddpm_mnist")
    model, alpha_bar = recipes.load("ddpm_mnist"), recipe.ALPHA_BAR
    shared = {
        "beta_schedule": "squaredcos_cap_v2",  # the cosine schedule
        "prediction_type": "v_prediction",
        "timestep_spacing": "trailing",
    }
    schedulers = {
        ddim: DDIMScheduler(clip_sample=False, set_alpha_to_one=True, **shared),
        dpm_solver: DPMSolverMultistepScheduler(
            algorithm_type="dpmsolver++",
            solver_order=2,
            final_sigmas_type="zero",
            **shared,
        ),
    }
    z, y = torch.randn(10, 1, 28, 28), torch.arange(10)
    for sampler, scheduler in schedulers.items():
        scheduler.set_timesteps(20)
        x = z
        for t in scheduler.timesteps:
            v = model(x, t.expand(10), y)
            x = scheduler.step(v, t, x).prev_sample
        ask = denoiser(model, alpha_bar, y)
        ours = last(sampler(ask, z, alpha_bar, timesteps(1000, 20)))
        torch.testing.assert_close(ours, x, atol=2e-3, rtol=0)
    # [/at-work]
