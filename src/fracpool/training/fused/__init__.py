"""Layers that compute several of a network's layers in one, on TensorFlow and CPUs."""
