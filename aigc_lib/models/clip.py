"""CLIP in small: an image tower and a text tower with one space for both.

Radford et al. 2021, arXiv:2103.00020. The towers are those of the released model, part
by part, so that its weights fit; ours are smaller. Shapes: B batch, T tokens, P patches
and one, C width, D width of the common space, V vocabulary.
"""

import math
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aigc_lib.data.words import Words
from aigc_lib.models.transformer import Encoder, EncoderLayer
from aigc_lib.nn.attention import causal_mask

MAX_SCALE = 100.0  # of cosines: a temperature of 0.01, as in the paper


class ImageTower(nn.Module):
    """A vision Transformer: patches and one further token, whose output is pooled.

    Dosovitskiy et al. 2021, arXiv:2010.11929. Raises ValueError unless patches of
    `patch` pixels fill an image of `size` pixels.
    """

    def __init__(self, size: int, patch: int, width: int, heads: int, layers: int):
        super().__init__()
        if size % patch:
            raise ValueError(f"size={size}, patch={patch}: expected a patch that fits")
        self.size = size
        self.patch = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.first = nn.Parameter(width**-0.5 * torch.randn(width))
        places = (size // patch) ** 2 + 1
        self.place = nn.Parameter(width**-0.5 * torch.randn(places, width))
        self.norm = nn.LayerNorm(width)
        self.encoder = _encoder(width, heads, layers)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> (B, P, C), the first place for the whole image.

        Raises ValueError for images of another size.
        """
        if images.shape[1:] != (3, self.size, self.size):
            raise ValueError(
                f"images have shape {tuple(images.shape)}: "
                f"expected (B, 3, {self.size}, {self.size})"
            )
        x = self.patch(images).flatten(2).mT  # (B, P - 1, C)
        first = self.first.expand(len(x), 1, -1)
        x = torch.cat([first, x], dim=1) + self.place  # (B, P, C)
        return self.encoder(self.norm(x))


class TextTower(nn.Module):
    """A causal Transformer over tokens; the output at the end token is pooled.

    end: the number of that token. Raises ValueError in `forward` for longer rows than
    `longest` and for a row without an end.
    """

    def __init__(
        self,
        vocabulary: int,
        longest: int,
        end: int,
        width: int,
        heads: int,
        layers: int,
    ):
        super().__init__()
        self.end = end
        self.token = nn.Embedding(vocabulary, width)
        self.place = nn.Parameter(0.01 * torch.randn(longest, width))
        nn.init.normal_(self.token.weight, std=0.02)
        self.encoder = _encoder(width, heads, layers)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T) int64 -> (B, T, C): each place has seen the tokens up to its own."""
        B, T = tokens.shape
        if T > len(self.place):
            raise ValueError(f"{T} tokens: expected at most {len(self.place)}")
        x = self.token(tokens) + self.place[:T]  # (B, T, C)
        return self.encoder(x, causal_mask(T, tokens.device))

    def pool(self, sequence: Tensor, tokens: Tensor) -> Tensor:
        """The outputs (B, T, C) at the first end token of each row: (B, C)."""
        ends = tokens == self.end
        if not bool(ends.any(dim=1).all()):
            raise ValueError(f"tokens: expected an end, {self.end}, in every row")
        return sequence[torch.arange(len(tokens)), ends.int().argmax(dim=1)]


class CLIP(nn.Module):
    """Two towers, a projection of each to D numbers, and the scale of their products.

    words: turns texts into tokens for `tokens`; None for a model with a tokenizer of
    its own.
    """

    def __init__(
        self, image: ImageTower, text: TextTower, D: int, words: Words | None = None
    ):
        super().__init__()
        self.image, self.text, self.words = image, text, words
        self.project_image = nn.Linear(image.first.numel(), D, bias=False)
        self.project_text = nn.Linear(text.token.embedding_dim, D, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    @property
    def scale(self) -> Tensor:
        """1 / temperature, learned, at most 100: a scalar."""
        return self.log_scale.clamp(max=math.log(MAX_SCALE)).exp()

    def forward(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors (B, D) of the images and (B, D) of the tokens, and the scale ()."""
        return self.encode_image(images), self.encode_tokens(tokens), self.scale

    def encode_image(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> (B, D), length 1."""
        return F.normalize(self.project_image(self.image(images)[:, 0]), dim=1)

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """(B, T) int64 -> (B, D), length 1."""
        pooled = self.text.pool(self.text(tokens), tokens)
        return F.normalize(self.project_text(pooled), dim=1)

    def encode_text(self, texts: list[str]) -> Tensor:
        """Texts -> (B, D), length 1. Raises ValueError for an unknown word."""
        return self.encode_tokens(self.tokens(texts))

    def tokens(self, texts: list[str]) -> Tensor:
        """Texts -> (B, T) int64, on the model's device; `text` makes a sequence of it.

        Raises ValueError for an empty text or an unknown word, which it names.
        """
        if self.words is None:
            raise ValueError("this model has no list of words: use encode_tokens")
        return self.words.encode(texts).to(self.log_scale.device)

    @classmethod
    def from_transformers(cls, theirs: nn.Module) -> Self:
        """A copy of a `CLIPModel` of the library transformers: equal vectors.

        Images must be prepared as for that model: they are not in [-1, 1] there.
        """
        v, t = theirs.config.vision_config, theirs.config.text_config
        if (v.hidden_act, v.intermediate_size) != (t.hidden_act, 4 * v.hidden_size):
            raise ValueError("expected one activation and hidden layers of 4 * width")
        # In the files of 2021 the end is the last token, whatever the config says.
        end = t.vocab_size - 1 if t.eos_token_id == 2 else t.eos_token_id
        sizes = v.hidden_size, v.num_attention_heads, v.num_hidden_layers
        image = ImageTower(v.image_size, v.patch_size, *sizes)
        sizes = t.hidden_size, t.num_attention_heads, t.num_hidden_layers
        text = TextTower(t.vocab_size, t.max_position_embeddings, end, *sizes)
        ours = cls(image, text, theirs.config.projection_dim)
        if v.hidden_act == "quick_gelu":
            for layer in (*image.encoder.layers, *text.encoder.layers):
                layer.feed_forward.bend = quick_gelu
        state = theirs.state_dict()
        with torch.no_grad():
            for name, tensor in ours.named_parameters():
                tensor.copy_(state[name_in_transformers(name)])
        return ours.eval()

    @torch.no_grad()
    def to_transformers(self, theirs: nn.Module) -> nn.Module:
        """Copy our weights into a `CLIPModel` of the same sizes, and return it."""
        state = theirs.state_dict()
        for name, tensor in self.named_parameters():
            state[name_in_transformers(name)].copy_(tensor)
        return theirs.eval()


def small_clip(words: str, longest: int, *, width: int = 64, layers: int = 2) -> CLIP:
    """An untrained CLIP for images of 32x32 and texts of these words.

    words: all of them in one text; longest: words of a text.
    """
    known = Words(words.split(), longest)
    image = ImageTower(32, 8, width, 4, layers)
    text = TextTower(len(known), longest + 2, known.end, width, 4, layers)
    return CLIP(image, text, 64, known)


def quick_gelu(x: Tensor) -> Tensor:
    """x sigmoid(1.702 x), the approximation of GELU in OpenAI's weights."""
    return x * (1.702 * x).sigmoid()


NAMES = {  # ours -> in transformers
    "project_image.": "visual_projection.",
    "project_text.": "text_projection.",
    "log_scale": "logit_scale",
    "image.encoder.norm.": "vision_model.post_layernorm.",
    "text.encoder.norm.": "text_model.final_layer_norm.",
    "image.norm.": "vision_model.pre_layrnorm.",
    "image.patch.": "vision_model.embeddings.patch_embedding.",
    "image.first": "vision_model.embeddings.class_embedding",
    "image.place": "vision_model.embeddings.position_embedding.weight",
    "text.place": "text_model.embeddings.position_embedding.weight",
    "text.token.": "text_model.embeddings.token_embedding.",
    "image.encoder.": "vision_model.encoder.",
    "text.encoder.": "text_model.encoder.",
    ".norms.0.": ".layer_norm1.",
    ".norms.1.": ".layer_norm2.",
    ".attention.query.": ".self_attn.q_proj.",
    ".attention.key.": ".self_attn.k_proj.",
    ".attention.value.": ".self_attn.v_proj.",
    ".attention.out.": ".self_attn.out_proj.",
    ".feed_forward.up.": ".mlp.fc1.",
    ".feed_forward.down.": ".mlp.fc2.",
}


def name_in_transformers(name: str) -> str:
    """The name of one of our parameters in a `CLIPModel`."""
    for ours, theirs in NAMES.items():
        name = name.replace(ours, theirs)
    return name


def _encoder(width: int, heads: int, layers: int) -> Encoder:
    """Pre-norm layers with GELU and without dropout, and a last norm."""
    shape = (width, heads, 4 * width, 0.0, True, "gelu")
    return Encoder(EncoderLayer(*shape) for _ in range(layers))
