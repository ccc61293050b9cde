"""The networks: each file holds one family, its parts first, then the model.

Import from the file itself, `from aigc_lib.models.vae import VAE`: a chapter then
depends on its own family, and is executed again only when that one changes.
"""
