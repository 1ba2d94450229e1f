"""Gradient checkpointing: a forward pass that the backward pass repeats must not draw anew."""

from __future__ import annotations

import inspect

import keras


def refuse_to_draw_again() -> None:
    """Called where something is about to be drawn. On TensorFlow the calls of a `tf.function` that draws are seen too.

    Raises:
        ValueError: gradient checkpointing repeats the pass, at this call or at a later one of the `tf.function`. The
            repeat would draw anew, and the gradient would be that of other regions than those of the output.
    """
    if _repeats_a_pass():
        raise ValueError(
            "gradient checkpointing repeats a pool that draws: must not be, since the repeat would draw anew and the "
            "gradient be wrong; leave the pool out of what torch.utils.checkpoint, keras.remat or tf.recompute_grad "
            "repeats"
        )
    if keras.backend.backend() == "tensorflow":
        _watch_calls()


def _repeats_a_pass() -> bool:
    """Whether the call is made while a gradient is computed, as gradient checkpointing repeats forward passes.

    JAX repeats pure functions, whose chance is among their arguments.
    """
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        return torch._C._current_graph_task_id() != -1
    return backend == "tensorflow" and _inside_of_tensorflows_gradients()


def _inside_of_tensorflows_gradients() -> bool:
    """Only the stack tells: whether it has a function that computes the gradients of a tape or a graph."""
    from tensorflow.python.eager import imperative_grad
    from tensorflow.python.ops import gradients_util

    computing = {imperative_grad.imperative_grad.__code__, gradients_util._GradientsHelper.__code__}
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code in computing:
            return True
        frame = frame.f_back
    return False


def _watch_calls() -> None:
    """Has `_called` called whenever Python calls the function that TensorFlow is tracing, if it is tracing one.

    A traced function runs without the Python that it was made of, but at each call TensorFlow evaluates what the
    function captures late. It gets such a capture, of no tensors, so that its graph stays as it is. Loops and branches
    have none of their own.
    """
    from tensorflow.core.function import trace_type
    from tensorflow.python.framework import func_graph, ops

    graph = ops.get_default_graph()
    while getattr(graph, "is_control_flow_graph", False):
        graph = graph.outer_graph
    if isinstance(graph, func_graph.FuncGraph):
        captures = graph.function_captures
        captures.by_ref_external[_called] = _called
        captures.by_ref_tracetype[_called] = trace_type.from_value(())


def _called() -> tuple[()]:
    """Looks at a call of a traced function that draws, which may be part of another that is being traced."""
    refuse_to_draw_again()
    return ()
