"""What all recipes share, so that a recipe holds only what is its own.

run           seeds, trains, saves, resumes, measures, writes the checkpoint
adversarial   the training of two networks against each other, as a `Job`
captions      the training of DALL-E, as a `Job`
language      the training of a language model, as a `Job`
latents       the autoencoder and the U-Net of latent diffusion, as two `Job`s
muon          the optimizer of its matrices
pairs         pictures with texts, and the training of CLIP, as a `Job`
poems         Tang quatrains as rows of tokens
priors        what latent-variable models are measured by
splits        the data to train on and the held-out data
schedule      learning rates
state         what an interrupted run goes on from
checkpoint    weights and card, in one file
files         whole or refused, with a checksum, and one run at a time
interrupt     Ctrl-C between two steps
"""
