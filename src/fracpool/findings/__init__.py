"""What the table says: statistics, rules, verdicts and the answer.

Imports scipy and statsmodels, and of fracpool `table`, `settings` and `records`.
"""
