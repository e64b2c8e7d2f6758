"""What a model looks at: record its attention maps, and show them over their input.

``capture`` records the maps of one real run, ``show`` lays them over the input, ``feature_maps`` shows what a layer
computes, ``by_class`` and ``class_share`` compare gates between classes, ``photographs`` loads something to look at.
"""

from attention.lab.maps.classes import by_class, class_share
from attention.lab.maps.features import feature_maps
from attention.lab.maps.overlay import show
from attention.lab.maps.pictures import photographs
from attention.lab.maps.recording import Captured, Declared, capture

__all__ = ["Captured", "Declared", "by_class", "capture", "class_share", "feature_maps", "photographs", "show"]
