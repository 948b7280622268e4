"""English words that carry no sound of their own, for the paper's caption preparation.

The list is ours. A change to it is a new version: checkpoints name the version that they were
trained with, and old versions stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_ENGLISH_1 = """
a an the this that these those such
i me my mine myself we us our ours ourselves you your yours yourself yourselves
he him his himself she her hers herself it its itself they them their theirs themselves
oneself who whom whose which what someone somebody something anyone anybody anything
everyone everybody everything nobody nothing none
am is are was were be been being isn aren wasn weren ain
have has had having haven hasn hadn do does did doing done don doesn didn
can could may might must shall should will would cannot couldn shouldn wouldn won mustn
and or but nor so yet if because since as than while whereas though although unless until whether
of at by for with without within about against between among amongst into onto through
throughout during before after above below over under beneath beside besides beyond behind
toward towards to from up upon down in out on off across along around near via per amid
again further then once here there where when why how whenever wherever
all any both each few more most many much other others another some several same own only either
neither every less least enough various
no not never
too very just also even ever still already almost quite rather really perhaps maybe meanwhile
however therefore thus hence else instead together alone always often sometimes usually now
lest otherwise elsewhere somewhere anywhere everywhere nowhere somehow
etc
"""

STOP_WORDS: Mapping[str, frozenset[str]] = MappingProxyType({"en-1": frozenset(_ENGLISH_1.split())})
