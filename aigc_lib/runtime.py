"""Where and how a chapter runs: seed, device, precision, budget."""

import operator
import os
import platform
import time
from functools import cache
from importlib.metadata import version

import torch


def seed(value: int) -> torch.Generator:
    """Seed torch's global generator and return a separate CPU generator.

    The global one draws initial weights. Pass the returned one on to all that draws
    random numbers during training. The environment variable AIGC_SEED is added to
    `value`: it moves all seeds of a chapter, to see whether a result holds at others.
    Raises ValueError unless both are whole numbers, and their sum one that torch takes:
    from -2**63 to 2**64 - 1.
    """
    shift = os.environ.get("AIGC_SEED") or "0"
    try:
        added = int(shift)
    except ValueError as error:
        raise ValueError(f"AIGC_SEED={shift!r}: expected a whole number") from error
    value = valid_seed(value)
    if added:
        value = valid_seed(value + added, f" (AIGC_SEED={shift} is in it)")
    torch.manual_seed(value)
    return torch.Generator().manual_seed(value)


def valid_seed(value: int, note: str = "") -> int:
    """`value` as int; ValueError unless it is a whole number that torch takes."""
    try:
        value = operator.index(value)
    except TypeError as error:
        raise ValueError(f"seed {value!r}: expected a whole number") from error
    if not -(2**63) <= value < 2**64:
        raise ValueError(f"seed {value}{note}: expected -2**63 to 2**64 - 1")
    return value


def device() -> torch.device:
    """The GPU if there is one, else the CPU; the variable AIGC_DEVICE overrides.

    Raises ValueError when it names no device that computes on this machine.
    """
    found = "cuda" if torch.cuda.is_available() else "cpu"
    name = os.environ.get("AIGC_DEVICE") or found
    reason = None
    try:
        where = torch.zeros(1, device=name).device
        # torch takes any index for the one CPU, and 'meta' holds no numbers at all.
        if where.type not in ("cpu", "meta") or name in ("cpu", "cpu:0"):
            return where
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = error
    raise ValueError(
        f"AIGC_DEVICE={name!r}: expected a device this machine has, "
        "such as 'cpu' or 'cuda'"
    ) from reason


def budget(*, cpu: int, gpu: int) -> int:
    """The number of training steps here: one cell serves a laptop and a GPU."""
    return cpu if device().type == "cpu" else gpu


@cache
def precision() -> str:
    """The faster of 'fp32' and 'bf16' here, measured once on a small matrix product.

    bf16 is up to ten times faster on processors with matrix units and slower on many
    others, so a guess from the processor's name would often be wrong. The variable
    AIGC_PRECISION=fp32 or bf16 overrides; the site and the tests run in fp32.
    """
    wanted = os.environ.get("AIGC_PRECISION")
    if wanted is not None:
        if wanted not in ("fp32", "bf16"):
            raise ValueError(f"AIGC_PRECISION={wanted!r}: expected 'fp32' or 'bf16'")
        return wanted
    if device().type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    bf16, fp32 = (_matmul_seconds(dtype) for dtype in (torch.bfloat16, torch.float32))
    return "bf16" if bf16 < 0.7 * fp32 else "fp32"


def _matmul_seconds(dtype: torch.dtype) -> float:
    """The shortest of ten timed products of two 512x512 matrices on the CPU."""
    a = torch.randn(512, 512).to(dtype)
    times = []
    for _ in range(12):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return min(times[2:])


def autocast() -> torch.autocast:
    """A context with products and convolutions in `precision()`, losses in float32."""
    enabled = precision() == "bf16"
    return torch.autocast(device().type, dtype=torch.bfloat16, enabled=enabled)


def process_index() -> int:
    """The rank of this process in a data-parallel run; 0 when it is the only one."""
    return int(os.environ.get("RANK", "0"))


def is_main_process() -> bool:
    """True in the one process that writes and prints."""
    return process_index() == 0


def facts() -> dict[str, str | int]:
    """What belongs beside a measured number: machine, threads, precision, versions."""
    where = device()
    name = (
        torch.cuda.get_device_name(where)
        if where.type == "cuda"
        else f"{platform.machine()} CPU"
    )
    return {
        "device": name,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "precision": precision(),
        "torch": torch.__version__.split("+")[0],
        "aigc_lib": version("aigc-lib"),
    }
