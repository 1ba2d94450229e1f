"""All records of a results folder as one checked table, and the experiments that they belong to.

Imports pandas, and of fracpool `settings` and `records`.
"""
