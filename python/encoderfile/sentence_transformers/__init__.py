"""Drop-in classes for those of sentence-transformers, without PyTorch.

>>> from encoderfile.sentence_transformers import SentenceTransformer
>>> model = SentenceTransformer()
>>> embeddings = model.encode(["The weather is lovely today.", "It's so sunny outside!"])
>>> embeddings.shape
(2, 384)
>>> bool(model.similarity(embeddings, embeddings)[0, 1] > 0.5)
True

Constructors, methods, parameters, defaults and numbers are those of sentence-transformers 6 (and
5); the model is a file that ``encoderfile build`` made of the same folder. What differs:

- ``similarity`` and token embeddings are NumPy arrays, unless tensors are given, or asked for.
- Batch sizes, devices, backends and pools of processes are taken and have no effect: all cores
  compute already, and a text's vector does not depend on what is computed with it.
- What is decided when the file is built (``modules``, ``revision``, ``config_kwargs``,
  ``processor_kwargs``) is refused, as are training and saving: there are no such methods.

Where sentence-transformers is imported too, ``isinstance`` takes these for its classes, which
MTEB, BERTopic and KeyBERT ask for.
"""

from .cross_encoder import CrossEncoder
from .model import SentenceTransformer

__all__ = ["CrossEncoder", "SentenceTransformer"]
