"""Every closed list of words that a person may type. Imports nothing, so that ``--help`` may read it."""

from __future__ import annotations

__all__ = [
    "AGGREGATES",
    "AGREE",
    "ANSWERS",
    "CRITERIA",
    "DEVICES",
    "EDITIONS",
    "ENGINES",
    "FILTER_SCORES",
    "GRAPH_SCORES",
    "IMAGE_SCORES",
    "INITS",
    "INITS_OF_JOINS",
    "INITS_OF_NEW_LAYERS",
    "JUDGED_ON",
    "LATENCY_DEVICES",
    "LENSES",
    "MASKS",
    "MEASURES",
    "NET_SCORES",
    "NULL_MEASURES",
    "OF_NET_MEASURES",
    "PARTS",
    "PERCENTILES",
    "PRECISIONS",
    "REFERENCES",
    "REMOVING_SCHEMES",
    "REWINDS",
    "RUNTIMES",
    "SCHEMES",
    "SCOPES",
    "SIMILARITIES",
    "SIMILARITY_ESTIMATORS",
    "TRAINED",
    "UNITS",
    "UNRANKED_MEASURES",
]

# What ranks layers. The registry of measures is held to this list by a test.
OF_NET_MEASURES = ("join", "similarity")  # read the net and its images, not the graph
NULL_MEASURES = ("depth", "activation", "magnitude", "random", *OF_NET_MEASURES)
MEASURES = (
    "degree",
    "entropy",
    "single",
    "pagerank",
    "leiden",
    "betweenness",
    "strength",
    "redundancy",
    "map-redundancy",
    "map-pagerank",
    *NULL_MEASURES,
)
UNRANKED_MEASURES = ("car",)  # of filters: no theta, so that no layer is ranked by them
AGGREGATES = ("mean", "sum", "median")  # over classes
ENGINES = ("auto", "database", "local")  # where a measure is computed
REFERENCES = ("median", "mean", "median-positive")  # of all scores

# What ranks filters: by the net alone, or by the graph.
IMAGE_SCORES = ("taylor", "activation", "apoz")  # read images
NET_SCORES = ("magnitude", "outgoing", "rms", "bn", *IMAGE_SCORES, "random")
GRAPH_SCORES = ("strength", "redundancy", "pagerank")
FILTER_SCORES = (
    "magnitude",
    "strength",
    "redundancy",
    "pagerank",
    "taylor",
    "bn",
    "outgoing",
    "rms",
    "activation",
    "apoz",
    "random",
)
SCOPES = ("layer", "global")

# By which the filters of one layer go, in the method progressive.
CRITERIA = ("accuracy", "kappa", "fisher", "apoz", "l1", "person")
JUDGED_ON = ("validation", "train")
ANSWERS = ("keep", "drop", "unknown")  # of a person, on a filter
AGREE = ("any", "majority", "all")  # of those who judged a filter, for it to go
LENSES = ("images", "occurrence", "weights", "serves", "twins", "scores")  # through which a person looks at a filter
SIMILARITIES = ("svcca", "cca", "pwcca", "cka", "procrustes")  # of two layers; the last is a distance
REWINDS = ("lr", "weights")  # what each round of pruning weights goes back to
MASKS = ("magnitude", "random")  # which weights go
SIMILARITY_ESTIMATORS = ("unbiased", "biased")  # of cka
PARTS = ("train", "validation", "test")  # of a data set
UNITS = ("layers", "blocks", "filters")
# The first weights where ends are joined, and of a layer that takes the place of a block.
INITS_OF_JOINS = ("least-squares", "inherit", "reset", "scratch")
INITS_OF_NEW_LAYERS = ("least-squares", "scratch", "random", "parent")
INITS = tuple(dict.fromkeys((*INITS_OF_JOINS, *INITS_OF_NEW_LAYERS)))
TRAINED = ("global", "local")  # the whole net, or its new layers alone
# What is done to a block to see how critical it is: jobs/schemes.py says what each is.
SCHEMES = (
    "join",
    "tuned",
    "random-local",
    "random-global",
    "parent-local",
    "parent-global",
    "distill",
    "parent-distill",
    "fitted",
)
REMOVING_SCHEMES = ("join", "tuned")  # no layer comes in the place of the block
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32")  # of many trainings: half precision where it is faster, or never
LATENCY_DEVICES = ("cpu", "cuda")
RUNTIMES = ("eager", "compile", "onnxruntime")
PERCENTILES = (50, 95)
EDITIONS = ("community", "enterprise", "aura", "aura-free")  # of a Neo4j server; the last has limits
