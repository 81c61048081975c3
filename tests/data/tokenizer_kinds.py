"""Small tokenizers of the kinds that models have, trained on a few lines."""

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from fedloom.models.tiny import CHAT_TEMPLATE, _tokenizer

CORPUS = ["what color is the sky", "the sky is blue and the grass is green", "user assistant instruction response name a color red"] * 3
STARTS = ("Response: ", "ASSISTANT: ", "assistant\n", ": ", "[/INST] ")
ACROSS = [f"{start}{answer}" for start in STARTS for answer in ("the sky", "2", "red")] * 9
SPECIAL = ["[UNK]", "<|im_start|>", "<|im_end|>"]


def word_piece():
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return backend, trainers.WordPieceTrainer(vocab_size=200, special_tokens=SPECIAL, show_progress=False)


def byte_level():
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return backend, trainers.BpeTrainer(vocab_size=350, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)


def trimmed_byte_level():
    backend, trainer = byte_level()
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    return backend, trainer


def unigram():
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    return backend, trainers.UnigramTrainer(vocab_size=90, special_tokens=SPECIAL, unk_token="[UNK]", show_progress=False)


def metaspace(scheme):
    """Like SentencePiece: a space becomes a mark in front of the word; `scheme` says whether a text's first word has one too."""
    backend = Tokenizer(models.BPE(unk_token="[UNK]", byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme=scheme), decoders.Fuse()])
    special = SPECIAL + [f"<0x{number:02X}>" for number in range(256)]
    return backend, trainers.BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False)


def metaspace_first():
    return metaspace("first")


def metaspace_always():
    return metaspace("always")


def across_words():
    """Merges that go over spaces and line ends, as a tokenizer without a pre-tokenizer learns them."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return backend, trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)


def with_first_token():
    return byte_level()


def with_first_and_last_token():
    return metaspace_first()


def made(kind):
    backend, trainer = kind()
    backend.train_from_iterator(ACROSS if kind is across_words else CORPUS, trainer)
    marks = [(mark, backend.token_to_id(mark)) for mark in SPECIAL[1:]]
    if kind is with_first_token:
        backend.post_processor = processors.TemplateProcessing(single="<|im_start|> $A", special_tokens=marks)
    if kind is with_first_and_last_token:
        backend.post_processor = processors.TemplateProcessing(single="<|im_start|> $A <|im_end|>", special_tokens=marks)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", bos_token="<|im_start|>", eos_token="<|im_end|>")
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


KINDS = [
    word_piece,
    byte_level,
    trimmed_byte_level,
    unigram,
    metaspace_first,
    metaspace_always,
    across_words,
    with_first_token,
    with_first_and_last_token,
]
TOKENIZERS = {kind.__name__: made(kind) for kind in KINDS} | {"tiny": _tokenizer()}
