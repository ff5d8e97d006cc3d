"""The one table of operations: what each is called, what it does to places, and what it does to channels.

Every reading of a net asks it: the layers and their kinds (:mod:`cnngraph.network.kinds`), receptive fields
(:mod:`cnngraph.network.receptive`), the channels of feature maps (:mod:`cnngraph.network.channels`) and the channels
that go together (:mod:`cnngraph.surgery.channels.channel_tracer`). The shapes that the usual ones give are reckoned in
:mod:`cnngraph.network.known_shapes`; what is not here is run to see what it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["OPERATIONS", "UNKNOWN", "Channels", "Operation", "Places"]


class Places(Enum):
    """What an operation does to the rows and columns of a map."""

    UNKNOWN = "found out by running it"
    MEETS = "meets its operands place by place"
    MOVES = "only moves values about, unchanged"
    REDUCES = "folds whole dimensions into one number"


class Channels(Enum):
    """What an operation does to channels, as far as its name decides it."""

    UNKNOWN = "by a rule of its own, or not known"
    ELEMENTWISE = "each value by itself, or with those of the same channel"
    PLACEWISE = "each channel by itself, over its places"
    REDUCES = "folds whole dimensions"
    SOFTMAX = "over one dimension"
    BY_CHANNEL = "each channel by itself, with one weight a channel"
    WEIGHTED = "makes new channels of all that it reads"
    FILLED = "values that come from nowhere"


@dataclass(frozen=True)
class Operation:
    """One operation, whether a module or a function.

    Attributes:
        kind: of the layer: Activation, Norm, Pool, Concat; ``Other`` where the name alone does not decide.
    """

    kind: str = "Other"
    places: Places = Places.UNKNOWN
    channels: Channels = Channels.UNKNOWN


UNKNOWN = Operation()

# One spelling for modules and functions: lower case, no underscores (MaxPool2d, max_pool2d: maxpool2d).
_TABLE: tuple[tuple[Operation, str], ...] = (
    (
        Operation("Activation", channels=Channels.ELEMENTWISE),
        (
            "relu relu6 gelu silu hardswish hardsigmoid sigmoid tanh elu celu selu leakyrelu mish softplus hardtanh "
            "logsigmoid rrelu softsign tanhshrink hardshrink softshrink threshold"
        ),
    ),
    (Operation("Activation", channels=Channels.SOFTMAX), "softmax logsoftmax softmin"),
    (Operation("Activation", channels=Channels.BY_CHANNEL), "prelu"),
    (Operation("Activation"), "glu softmax2d"),
    (Operation("Norm", channels=Channels.BY_CHANNEL), "batchnorm instancenorm"),
    (
        Operation("Norm"),
        (
            "batchnorm1d batchnorm2d syncbatchnorm frozenbatchnorm2d layernorm layernorm2d groupnorm rmsnorm "
            "instancenorm1d instancenorm2d localresponsenorm crossmaplrn2d"
        ),
    ),
    (
        Operation("Pool", channels=Channels.PLACEWISE),
        "maxpool2d avgpool2d lppool2d fractionalmaxpool2d adaptivemaxpool2d adaptiveavgpool2d",
    ),
    (Operation("Concat"), "cat concat concatenate"),
    (
        Operation(places=Places.MEETS, channels=Channels.ELEMENTWISE),
        (
            "identity dropout dropout1d dropout2d alphadropout featuredropout featurealphadropout stochasticdepth mul "
            "sub div truediv add neg abs exp log sqrt rsqrt pow square clamp clip maximum minimum clone detach to "
            "float double half bfloat16 where"
        ),
    ),
    (Operation(places=Places.MEETS), "typeas"),
    (
        Operation(channels=Channels.ELEMENTWISE),
        (
            "addcdiv addcmul ceil clampmax clampmin cos cpu cuda divide dropout3d erf expm1 floor fmod lerp log1p log2 "
            "maskedfill multiply oneslike reciprocal remainder round rsub sign sin subtract truedivide type zeroslike"
        ),
    ),
    (Operation(places=Places.MOVES, channels=Channels.ELEMENTWISE), "contiguous"),
    (
        Operation(places=Places.MOVES, channels=Channels.PLACEWISE),
        "zeropad2d constantpad2d reflectionpad2d replicationpad2d circularpad2d",
    ),
    (
        Operation(places=Places.MOVES),
        (
            "view reshape flatten unflatten permute transpose swapaxes swapdims movedim moveaxis squeeze unsqueeze "
            "getitem expand expandas repeat repeatinterleave chunk split tensorsplit narrow select flip roll pad "
            "pixelshuffle pixelunshuffle channelshuffle nativechannelshuffle stack"
        ),
    ),
    (
        Operation(channels=Channels.PLACEWISE),
        (
            "maxpool1d maxpool3d avgpool1d avgpool3d adaptiveavgpool1d adaptiveavgpool3d adaptivemaxpool1d interpolate "
            "upsample upsamplingnearest2d upsamplingbilinear2d gridsample"
        ),
    ),
    (Operation(places=Places.REDUCES, channels=Channels.REDUCES), "mean sum amax amin"),
    (
        Operation(channels=Channels.REDUCES),
        "max min std var varmean stdmean prod median logsumexp norm vectornorm linalgvectornorm",
    ),
    (Operation(channels=Channels.WEIGHTED), "linear conv1d conv2d conv3d"),
    (Operation(channels=Channels.FILLED), "zeros ones"),
)

OPERATIONS: dict[str, Operation] = {name: operation for operation, names in _TABLE for name in names.split()}
