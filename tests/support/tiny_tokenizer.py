"""A tokenizer of CLIP for tests."""

import json
from pathlib import Path


def save_tokenizer(folder: Path) -> None:
    """CLIP's tokenizer with a vocabulary of eight entries: the prompt is always empty."""
    folder.mkdir()
    words = ["!", "a", "b", "a</w>", "b</w>", "ab</w>", "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: k for k, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\na b</w>\n")
    special = {"bos_token": words[6], "eos_token": words[7], "unk_token": words[7], "pad_token": "!"}
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
