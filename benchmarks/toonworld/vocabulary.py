"""The encoder's small vocabulary: byte-pair pieces of the captions and of common words of booru tags, saved as a
Hugging Face tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.toonworld import captions

CONTEXT = 40
EXTRA_WORDS = """
1girl 1boy 2girls solo multiple character masterpiece best quality highres absurdres simple background looking at
viewer blush smile open mouth closed eyes blue eyes red eyes green eyes brown eyes purple eyes yellow eyes hair ribbon
bow bangs long sleeves short sleeves school uniform shirt jacket pants shorts gloves hat jewelry earrings necklace
weapon holding sword armor cape cloak belt bag thighhighs socks boots shoes sandals barefoot feet legs hands arms head
face body from above from below dynamic angle dutch angle cowboy shot upper body full body lower body close-up
portrait profile side view back view front view three quarter view behind outdoors indoors sky night day tree grass
water city street room window chair table bed light shadow anime cartoon drawing painting photo photograph picture
image sketch render illustration style monochrome grayscale lineart watermark text signature subtitle blurry man woman
boy girl child person people animal cat dog bird horse toy robot monster knight wizard witch princess king queen
pirate standing sitting walking running jumping fighting sleeping eating drinking reading dancing singing playing
holding wearing ninja red orange yellow green blue purple pink brown black white grey silver gold dark light bright
pale large small big little tall short the a an of in on at with and from to by is for her his its seen shown facing
towards away turned angle left right up down
"""


def word_list() -> list[str]:
    """Every word the caption tables can say, and ``EXTRA_WORDS``."""
    tables = [getattr(captions, name) for name in dir(captions) if name.endswith("_WORDS")]
    phrases = [
        text for table in tables for words in (table.values() if isinstance(table, dict) else [table]) for text in words
    ]
    return [*phrases, *captions.FILLERS, *EXTRA_WORDS.split()]


def build(texts: Sequence[str], size: int, folder: Path) -> int:
    """Learn at most ``size`` pieces from ``texts`` and write tokenizer.json and tokenizer_config.json; returns the
    real size.

    The end token has the highest id, which is how open_clip's ``argmax`` pooling finds the end of a text.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace("_", " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    letters = [chr(code) for code in range(33, 127)]
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1,
        special_tokens=["<pad>", "<unk>", "<start>"],
        initial_alphabet=letters,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, *word_list() * 20, *letters * 5], trainer)
    tokenizer.add_special_tokens(["<end>"])
    start, end = tokenizer.token_to_id("<start>"), tokenizer.token_to_id("<end>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", start), ("<end>", end)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": CONTEXT,
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "bos_token": "<start>",
        "eos_token": "<end>",
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return tokenizer.get_vocab_size()
