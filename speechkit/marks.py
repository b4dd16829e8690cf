"""Punctuation marks that end a sentence."""

ENDS = ".!?…؟۔।"  # where a space follows
WIDE_ENDS = "。！？｡"  # anywhere
