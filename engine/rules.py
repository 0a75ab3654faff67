"""What no introspection can tell about the names of PyTorch: data, and nothing else.

Every class that is exported by torch.nn, torch.optim and torch.optim.lr_scheduler is usable as it is, adapted by a rule
below, or refused with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping

# -- layers ----------------------------------------------------------------------------------------------------------

_CONVOLUTIONS = tuple(f"Conv{kind}{n}d" for kind in ("", "Transpose") for n in (1, 2, 3))
_BATCH_NORMS = tuple(f"BatchNorm{n}d" for n in (1, 2, 3))
_INSTANCE_NORMS = tuple(f"InstanceNorm{n}d" for n in (1, 2, 3))
_RECURRENT = ("RNN", "LSTM", "GRU")
_CELLS = ("RNNCell", "LSTMCell", "GRUCell")

# Which parameter the incoming shape gives. `CHANNELS` is the first dimension after the batch, `FEATURES` the last.
CHANNELS, FEATURES = "channels", "features"
INFERRED: Mapping[str, tuple[str, str]] = {
    "Linear": ("in_features", FEATURES),
    **dict.fromkeys(_CONVOLUTIONS, ("in_channels", CHANNELS)),
    **dict.fromkeys((*_BATCH_NORMS, *_INSTANCE_NORMS), ("num_features", CHANNELS)),
    "GroupNorm": ("num_channels", CHANNELS),
    "LayerNorm": ("normalized_shape", FEATURES),
    "RMSNorm": ("normalized_shape", FEATURES),
    **dict.fromkeys((*_RECURRENT, *_CELLS), ("input_size", FEATURES)),
    "MultiheadAttention": ("embed_dim", FEATURES),
    "TransformerEncoderLayer": ("d_model", FEATURES),
}

# Layers whose short form wants no size at all. People write `BatchNorm1d(300)` nevertheless: a whole number (or
# a tuple) at this position is the size in PyTorch's own order. For `GroupNorm(8, 32)` it is the second.
OWN_ORDER_POSITION: Mapping[str, int] = {
    **dict.fromkeys((*_BATCH_NORMS, *_INSTANCE_NORMS, "LayerNorm", "RMSNorm"), 0),
    "GroupNorm": 1,
}

# How many dimensions beside the batch a layer takes, and how they are called. PyTorch takes some of them without
# a batch as well; a network always has one, and it must not be read as channels or as a sequence.
_MAPS = {1: "(channels, length)", 2: "(channels, height, width)", 3: "(channels, depth, height, width)"}
RANKS: Mapping[str, tuple[tuple[int, ...], str]] = {
    # PyTorch's Linear would take an image and multiply along its width, which is hardly ever meant.
    "Linear": ((1, 2), "(features) or (sequence, features)"),
    **{f"Conv{kind}{n}d": ((n + 1,), _MAPS[n]) for kind in ("", "Transpose") for n in (1, 2, 3)},
    "BatchNorm1d": ((1, 2), "(features) or (channels, length)"),
    **{f"BatchNorm{n}d": ((n + 1,), _MAPS[n]) for n in (2, 3)},
    **{f"InstanceNorm{n}d": ((n + 1,), _MAPS[n]) for n in (1, 2, 3)},
    **dict.fromkeys((*_RECURRENT, "MultiheadAttention"), ((2,), "(sequence, features)")),
    **dict.fromkeys(("TransformerEncoderLayer", "TransformerEncoder"), ((2,), "(sequence, features)")),
    **dict.fromkeys(_CELLS, ((1,), "(features)")),
    "Softmax2d": ((3,), _MAPS[2]),
    "PixelShuffle": ((3, 4, 5), _MAPS[2]),
    "PixelUnshuffle": ((3, 4, 5), _MAPS[2]),
    "Fold": ((2,), "(channels, blocks)"),
    "Unfold": ((3,), _MAPS[2]),
    "EmbeddingBag": ((1,), "(indices)"),
}

# Layers without a docstring of their own.
LINES: Mapping[str, str] = {
    "CrossMapLRN2d": "Applies local response normalization across neighbouring channels of an image.",
}

# Layers that take whole numbers.
INDEX_LAYERS = frozenset({"Embedding", "EmbeddingBag"})

# What is different from PyTorch's own class. The classes themselves are in layers.py, under the same names.
ADAPTED: Mapping[str, str] = {
    **dict.fromkeys(_RECURRENT, "gives the output sequence, without the last state; batch_first is True"),
    "LSTMCell": "one step from a zero state; gives h, without the cell state",
    "MultiheadAttention": "self-attention: query, key and value are the input; gives the output; batch_first is True",
    "TransformerEncoderLayer": "batch_first is True; activation is 'relu' or 'gelu'",
    "TransformerEncoder": "encoder_layer is a call, TransformerEncoderLayer(...)",
}

_TWO_INPUTS = "it wants two inputs, and a layer here has one"
_BASE = "it is a base class, not a layer"
_LIST = "it holds modules and does not say in which order they run; write Sequential(...) or Parallel(...)"
REFUSED: Mapping[str, str] = {
    "Module": _BASE,
    "RNNBase": f"{_BASE}; write RNN(...), LSTM(...) or GRU(...)",
    "RNNCellBase": f"{_BASE}; write RNNCell(...), LSTMCell(...) or GRUCell(...)",
    "Container": f"{_BASE}; write Sequential(...)",
    "ModuleList": _LIST,
    "ModuleDict": _LIST,
    "ParameterList": "it holds parameters and computes nothing",
    "ParameterDict": "it holds parameters and computes nothing",
    "DataParallel": "how a network is spread over devices is not a layer of it",
    "SyncBatchNorm": "it works only in a group of processes on GPUs; write BatchNorm2d()",
    "Bilinear": _TWO_INPUTS,
    "CosineSimilarity": _TWO_INPUTS,
    "PairwiseDistance": _TWO_INPUTS,
    **{f"MaxUnpool{n}d": f"{_TWO_INPUTS} (the indices of a max pool); write Upsample(...)" for n in (1, 2, 3)},
    "AdaptiveLogSoftmaxWithLoss": "it is a layer and a loss in one and wants the targets; write Linear(classes)",
    "Transformer": f"{_TWO_INPUTS} (source and target); write TransformerEncoder(...)",
    "TransformerDecoder": f"{_TWO_INPUTS} (target and memory); write TransformerEncoder(...)",
    "TransformerDecoderLayer": f"{_TWO_INPUTS} (target and memory); write TransformerEncoderLayer(...)",
}

# Values that may not be changed, with the reason.
FIXED: Mapping[tuple[str, str], tuple[bool, str]] = {
    **{
        (name, "batch_first"): (True, "the first dimension is always the batch here")
        for name in (*_RECURRENT, "MultiheadAttention", "TransformerEncoderLayer")
    },
    **{
        (name, "return_indices"): (False, "a layer here gives one tensor")
        for name in (
            *(f"{kind}MaxPool{n}d" for kind in ("", "Adaptive") for n in (1, 2, 3)),
            "FractionalMaxPool2d",
            "FractionalMaxPool3d",
        )
    },
}

# Numbers that make PyTorch build that many modules, one by one.
LIMITS: Mapping[tuple[str, str], int] = {
    **{(name, "num_layers"): 1000 for name in (*_RECURRENT, "TransformerEncoder")},
    ("Repeat", "n"): 1000,
    ("CrossMapLRN2d", "size"): 1000,
}

# -- texts that a parameter takes, where the annotation says no more than `str` ----------------------------------------

CHOICES: Mapping[tuple[str, str], tuple[object, ...]] = {
    **{(name, "padding_mode"): ("zeros", "reflect", "replicate", "circular") for name in _CONVOLUTIONS[:3]},
    **{(name, "padding_mode"): ("zeros",) for name in _CONVOLUTIONS[3:]},
    **{(name, "padding"): ("valid", "same") for name in _CONVOLUTIONS[:3]},
    ("RNN", "nonlinearity"): ("tanh", "relu"),
    ("RNNCell", "nonlinearity"): ("tanh", "relu"),
    ("GELU", "approximate"): ("none", "tanh"),
    ("EmbeddingBag", "mode"): ("sum", "mean", "max"),
    ("Upsample", "mode"): ("nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear"),
    ("TransformerEncoderLayer", "activation"): ("relu", "gelu"),
    ("Parallel", "merge"): ("cat", "add"),
    ("LBFGS", "line_search_fn"): ("strong_wolfe",),
    ("Muon", "adjust_lr_fn"): ("original", "match_rms_adamw", "spectral_unclamped"),
}

# -- optimizers, schedulers, losses, initialisers ----------------------------------------------------------------------

ADAPTED_OPTIMIZERS: Mapping[str, str] = {
    "LBFGS": "line_search_fn is 'strong_wolfe' unless given: without a search, steps on batches diverge",
    "Muon": "takes the matrices; everything else goes to AdamW with its defaults",
}
# Required by PyTorch, known here: left out, they last as long as the run.
RUN_LENGTHS: Mapping[str, str] = {"CosineAnnealingLR": "T_max", "OneCycleLR": "total_steps"}
ADAPTED_SCHEDULERS: Mapping[str, str] = {
    "CosineAnnealingLR": "T_max is the number of epochs unless given",
    "OneCycleLR": "total_steps is the run's number of steps unless given; steps after every batch",
    "CyclicLR": "steps after every batch; the momentum is cycled where the optimizer has one",
    "ReduceLROnPlateau": "mode follows from the monitored metric; steps after validation",
    "SequentialLR": "schedulers are calls: [LinearLR(total_iters=3), StepLR(7)]",
    "ChainedScheduler": "schedulers are calls: [ConstantLR(total_iters=3), ExponentialLR(0.9)]",
}
REFUSED_OPTIMIZERS: Mapping[str, str] = {
    "SparseAdam": "it takes only sparse gradients; write Adam(...) or AdamW(...)",
}
_FUNCTION = "it wants a Python function, which an experiment cannot hold"
REFUSED_SCHEDULERS: Mapping[str, str] = {
    "LambdaLR": f"{_FUNCTION}; SequentialLR joins other schedulers",
    "MultiplicativeLR": f"{_FUNCTION}; ExponentialLR(gamma) multiplies by a constant",
}
BASES = frozenset({"Optimizer", "LRScheduler"})

# What a Backbone is told of the data and of its place in the network.
BACKBONE_INFERRED = ("num_classes", "input_shape", "auxiliary")

# Arguments that are not a person's to give.
EXCLUDED: Mapping[str, frozenset[str]] = {
    "layers": frozenset({"self", "device", "dtype", "process_group", *BACKBONE_INFERRED}),
    "losses": frozenset({"self", "device", "dtype", "size_average", "reduce", "distance_function", "options"}),
    "optimizers": frozenset({"self", "params"}),
    "schedulers": frozenset({"self", "optimizer", "last_epoch", "verbose", "scale_fn"}),
    "initialisers": frozenset({"tensor", "generator"}),
}

# Keywords that any layer takes beside its own.
RESERVED = ("init", "frozen", "lr_scale", "thaw")

# -- backbones ---------------------------------------------------------------------------------------------------------

# The side of a picture that transformers of a fixed size take is a multiple of this: the size of a patch, for MaxViT
# that of a window after five halvings. By the beginning of the model's name; vit_h_14 has patches of 14.
SIZE_STEPS: Mapping[str, int] = {"vit_b_16": 16, "vit_l_16": 16, "vit_b_32": 32, "vit_l_32": 32, "vit_h_14": 14,
                                 "maxvit": 224}  # fmt: skip
# The auxiliary head of Inception v3 pools and convolves what is left of a picture, 5 × 5 both times.
AUXILIARY_SMALLEST: Mapping[str, int] = {"inception_v3": 299}
