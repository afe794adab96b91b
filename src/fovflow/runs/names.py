"""Names for runs that people can say and remember: an adjective and a noun."""

from __future__ import annotations

import secrets

ADJECTIVES = (
    "agile", "amber", "bold", "brave", "bright", "brisk", "calm", "clear", "clever", "cool",
    "crisp", "curious", "eager", "early", "even", "fair", "fine", "firm", "fleet", "fresh",
    "gentle", "glad", "golden", "grand", "green", "happy", "hardy", "honest", "humble",
    "jolly", "keen", "kind", "light", "lively", "loyal", "lucid", "lucky", "mellow", "merry",
    "mild", "modest", "neat", "nimble", "noble", "patient", "placid", "plain", "proud",
    "quick", "quiet", "rapid", "ready", "round", "sharp", "silent", "silver", "smart",
    "smooth", "snug", "solid", "steady", "still", "sturdy", "sunny", "swift", "tidy",
    "tranquil", "true", "vivid", "warm", "wise", "witty", "young", "zesty",
)  # fmt: skip
NOUNS = (
    "actin", "alga", "amoeba", "aster", "axon", "badger", "beaver", "birch", "brook",
    "calcium", "cedar", "centriole", "chromatin", "cilium", "clover", "condenser", "cortex",
    "crane", "curlew", "daphnia", "diatom", "dolphin", "enzyme", "euglena", "falcon", "fern",
    "fibre", "filter", "finch", "focus", "fox", "gecko", "heron", "histone", "hydra", "ibis",
    "iris", "kinase", "lark", "lens", "lily", "lotus", "lynx", "maple", "marten", "mica",
    "mirror", "mitosis", "moss", "myosin", "newt", "nucleus", "objective", "orchid", "osprey",
    "otter", "owl", "paramecium", "pine", "plover", "poppy", "prism", "quartz", "raven",
    "robin", "sequoia", "slide", "spindle", "spruce", "stentor", "swan", "tern", "thistle",
    "tubulin", "vacuole", "volvox", "willow", "wren", "yeast", "zebrafish",
)  # fmt: skip


def random_name() -> str:
    """Return a random name such as ``brave-otter``."""
    return f"{secrets.choice(ADJECTIVES)}-{secrets.choice(NOUNS)}"
