"""What a model looks at: record its attention maps, and show them over their input.

``capture`` records the maps of one real run, ``show`` lays them over the input, ``feature_maps`` shows what a layer
computes, ``class_means`` and ``class_share`` compare gates between classes, which ``by_class`` shows, ``photographs``
loads something to look at.
``branch_weights`` and ``by_size`` compare branches between sizes of an object.
``explore`` and ``animate`` show what a reader can move in the page itself: where each position of a picture looks, and
pictures that change.
"""

from attention.lab.classes import ClassMeans, class_means, class_share
from attention.lab.maps.branches import branch_weights, by_size
from attention.lab.maps.classes import by_class
from attention.lab.maps.explorer import explore
from attention.lab.maps.features import feature_maps
from attention.lab.maps.overlay import show
from attention.lab.maps.pictures import photographs
from attention.lab.maps.player import animate
from attention.lab.maps.recording import Captured, Declared, capture

__all__ = [
    "Captured",
    "ClassMeans",
    "Declared",
    "animate",
    "branch_weights",
    "by_class",
    "by_size",
    "capture",
    "class_means",
    "class_share",
    "explore",
    "feature_maps",
    "photographs",
    "show",
]
