"""Records of the Text tab and of the Custom Scalars tab, and scalars, as values of summaries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sweep.tracking import tensorboardx
from sweep.tracking.tensorboardx import summary_pb2

LAYOUT_TAG = "custom_scalars__config__"
"""The tag of a layout; TensorBoard's plugin knows it by this name."""


def text_value(tag: str, markdown: str) -> Any:
    """A text in Markdown."""
    (value,) = tensorboardx.text(tag, markdown).value
    value.tag = tag  # without tensorboardX's suffix
    value.tensor.tensor_shape.ClearField("dim")  # TensorBoard shows a list of texts as a table
    return value


def scalar_values(scalars: Mapping[str, float]) -> list[Any]:
    """Points of curves by their tags."""
    return [summary_pb2.Summary.Value(tag=tag, simple_value=number) for tag, number in scalars.items()]


def layout(categories: Mapping[str, Mapping[str, Sequence[str]]]) -> Any:
    """The layout of the Custom Scalars tab.

    Args:
        categories: by the title of each category its charts, as the tags whose curves they show.
    """
    charts = {
        category: {
            # TensorBoard matches regular expressions from the start of a tag.
            title: ["Multiline", [f"{re.escape(tag)}$" for tag in tags]]
            for title, tags in content.items()
        }
        for category, content in categories.items()
    }
    (value,) = tensorboardx.custom_scalars(charts).value
    return value
