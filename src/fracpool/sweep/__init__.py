"""Which runs are asked for, skipped, launched and shown; Hydra's side of a command.

Imports Hydra, and of fracpool `training` (by name, when something has to be computed), `settings` and `records`.
"""
