"""Typed, strict parameters, one module per re-run line; importing them never imports torch."""
