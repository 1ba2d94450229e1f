"""One run computed: network, batches, epochs, tests and checkpoint, on the backend that Keras runs on.

Imports Keras and its backend, and of fracpool `pooling`, `settings` and `records`.
"""
