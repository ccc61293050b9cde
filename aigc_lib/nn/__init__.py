"""Layers that two or more networks share.

Import from the file itself, `from aigc_lib.nn.attention import SelfAttention2d`.
"""
