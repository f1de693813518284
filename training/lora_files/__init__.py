"""LoRA files in every layout that is in use, read into one form and written from it.

`read` and `write` are the doors; `convert` is both. Nothing here needs a base model.
"""

from training.lora_files.convert import Converted, convert
from training.lora_files.read import read
from training.lora_files.weights import Layer, LoraWeights
from training.lora_files.write import LAYOUTS, write

__all__ = ["LAYOUTS", "Converted", "Layer", "LoraWeights", "convert", "read", "write"]
