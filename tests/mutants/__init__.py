"""Mistakes that people make in this algebra, each as an edit of one place in the code.

A test suite that lets one of them pass does not test what it says. `run.py` tries them all.
Many have shipped somewhere: an unscaled bias, a transposed convolution whose groups are ignored,
an identity numbered by `i % groups`, bfloat16 rounded twice.
"""

from mutants import (
    algebra,
    blocks,
    certificate,
    choices,
    dtypes,
    explain,
    formats,
    geometry,
    hdf5,
    keras_axes,
    keras_config,
    keras_files,
    keras_graph,
    keras_read,
    keras_shapes,
    keras_sums,
    matching,
    mistakes,
    notation,
    pairing,
    rounding,
    running,
    safetensors,
    tools,
    tools_states,
    trials,
    verify,
)

TOPICS = (
    algebra,
    geometry,
    rounding,
    dtypes,
    blocks,
    certificate,
    pairing,
    verify,
    mistakes,
    explain,
    running,
    notation,
    matching,
    trials,
    choices,
    keras_axes,
    keras_shapes,
    keras_sums,
    keras_config,
    keras_graph,
    keras_read,
    keras_files,
    formats,
    safetensors,
    hdf5,
    tools,
    tools_states,
)

MUTANTS = [mutant for topic in TOPICS for mutant in topic.MUTANTS]
