"""What a request is billed for: the provider's own count, whether the client was told of it or not."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """As whose usage OpenAI's usage API tells of it."""

    COMPLETIONS = "completions"
    """Chat, completions and responses."""
    EMBEDDINGS = "embeddings"
    IMAGES = "images"
    AUDIO_SPEECHES = "audio_speeches"
    AUDIO_TRANSCRIPTIONS = "audio_transcriptions"
    MODERATIONS = "moderations"


class Bill(NamedTuple):
    """Units of one answer, or of many. The parts (cached, audio, image) are contained in their totals."""

    input_tokens: int = 0
    cached_tokens: int = 0
    audio_input_tokens: int = 0
    image_input_tokens: int = 0
    output_tokens: int = 0
    audio_output_tokens: int = 0
    image_output_tokens: int = 0
    images: int = 0
    characters: int = 0
    seconds: int = 0

    def so_far(self, generated: int, planned: int) -> "Bill":
        """Of an answer that broke off: all that was given, and the share of the output that was made."""
        if generated >= planned:
            return self
        made = (self.output_tokens, self.audio_output_tokens, self.image_output_tokens)
        output, audio, image = (tokens * generated // planned for tokens in made)
        return self._replace(output_tokens=output, audio_output_tokens=audio, image_output_tokens=image)

    def plus(self, other: "Bill") -> "Bill":
        return Bill(*map(sum, zip(self, other, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """What somebody is about to get, and for whose money."""

    kind: Kind
    model: str
    project: str
    bill: Bill
    """Of the whole answer."""
    planned: int = 0
    """The tokens that its parts say."""
    tier: str = "default"
    source: str | None = None
    """Of images: `image.generation` and so on."""
