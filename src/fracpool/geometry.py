import numpy as np


def output_size(in_size, ratio):
    return int(np.floor(np.float32(in_size) / np.float32(ratio)))
