"""What a model looks at: record its attention maps, and show them beside their input.

``capture`` records the maps of one real run, of other people's modules too, ``show`` lays them beside the input,
``statistics`` puts them in numbers, ``exchanged`` runs a model with the maps of other images, ``feature_maps`` shows
what a layer computes, ``class_means`` and ``class_share`` compare gates between classes, which ``by_class`` shows,
``photographs`` loads something to look at.
``branch_weights`` and ``by_size`` compare branches between sizes of an object.
``explore`` and ``animate`` show what a reader can move in the page itself: where each position of a picture looks, and
pictures that change.
"""

from attention.lab.classes import ClassMeans, class_means, class_share
from attention.lab.maps.branches import branch_weights, by_size
from attention.lab.maps.captured import Captured, Declared, Found
from attention.lab.maps.classes import by_class
from attention.lab.maps.exchange import Exchanged, exchanged
from attention.lab.maps.explorer import explore
from attention.lab.maps.features import feature_maps
from attention.lab.maps.overlay import show
from attention.lab.maps.pictures import photographs
from attention.lab.maps.player import animate
from attention.lab.maps.recording import capture
from attention.lab.maps.statistics import Statistics, statistics

__all__ = [
    "Captured",
    "ClassMeans",
    "Declared",
    "Exchanged",
    "Found",
    "Statistics",
    "animate",
    "branch_weights",
    "by_class",
    "by_size",
    "capture",
    "class_means",
    "class_share",
    "exchanged",
    "explore",
    "feature_maps",
    "photographs",
    "show",
    "statistics",
]
