# Written by `make sync` from mechanisms.toml: what attention/__init__.py finds on first use.
from typing import Any, Literal, overload

from attention.branch.sk import SelectiveKernel as SelectiveKernel
from attention.channel.se import SqueezeExcitation as SqueezeExcitation
from attention.contract import Attention as Attention
from attention.contract import Gate as Gate
from attention.contract import Map as Map
from attention.hybrid.cbam import ConvolutionalBlockAttention as ConvolutionalBlockAttention
from attention.self_attention.dot_product import DotProductAttention as DotProductAttention
from attention.self_attention.non_local import NonLocal as NonLocal
from attention.spatial.stn import SpatialTransformer as SpatialTransformer

__version__: str

@overload
def create(name: Literal["se"], channels: int, **options: Any) -> SqueezeExcitation: ...
@overload
def create(name: Literal["cbam"], channels: int, **options: Any) -> ConvolutionalBlockAttention: ...
@overload
def create(name: Literal["dot_product"], channels: int, **options: Any) -> DotProductAttention: ...
@overload
def create(name: Literal["non_local"], channels: int, **options: Any) -> NonLocal: ...
@overload
def create(name: Literal["sk"], channels: int, **options: Any) -> SelectiveKernel: ...
@overload
def create(name: str, channels: int, **options: Any) -> Attention: ...
def names(family: str | None = None) -> list[str]: ...
