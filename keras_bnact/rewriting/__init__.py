"""Making other models of a model: with another order, or without batch normalization.

`graph` reads how a model's layers are connected, `reorder` and `folding` decide what takes the
place of what, `weights` is the arithmetic of folding, and `graph.rebuilt` makes the model anew;
`report` is what comes back.
"""

from keras_bnact.rewriting.folding import fold_batch_normalization
from keras_bnact.rewriting.reorder import reorder
from keras_bnact.rewriting.report import Rewritten

__all__ = ["Rewritten", "fold_batch_normalization", "reorder"]
