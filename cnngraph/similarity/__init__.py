"""How similar two layers are: of two arrays here, of all layers of two nets in :mod:`cnngraph.similarity.nets`.

    from cnngraph.similarity import cca, cka, procrustes, pwcca, svcca

Rows are points (images, or places of images), columns are neurons (channels).
"""

from cnngraph.similarity.canonical import mean_coefficient
from cnngraph.similarity.of_arrays import cca, cka, procrustes, pwcca, svcca

__all__ = ["cca", "cka", "mean_coefficient", "procrustes", "pwcca", "svcca"]
