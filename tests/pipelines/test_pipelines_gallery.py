import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from soundwright.audio.encoding import encode
from soundwright.audio.sound import Sound
from soundwright.pipelines.gallery import Take, write_gallery
from soundwright.pipelines.pictures import draw_spectrogram, draw_waveform, frequency_marks


def tone(hertz, seconds=1.0, rate=16_000):
    return Sound(
        0.5 * torch.sin(torch.arange(int(seconds * rate)) * hertz * 6.2832 / rate)[None], rate
    )


def test_a_spectrogram_shows_a_tone_at_its_mark():
    image = Image.open(io.BytesIO(draw_spectrogram(tone(1000))))
    assert image.size[1] == 128
    levels = torch.from_numpy(np.array(image))
    brightest = 127 - int(levels[:, image.size[0] // 2].argmax())
    height = dict(frequency_marks(tone(1000)))["1 kHz"]
    assert brightest / 128 == pytest.approx(height, abs=0.02)


def test_marks_rise_and_stay_below_the_top():
    heights = [height for _, height in frequency_marks(tone(1000))]
    assert heights == sorted(heights)
    assert [label for label, _ in frequency_marks(tone(1000))] == ["250 Hz", "1 kHz", "4 kHz"]
    assert 0 < heights[0] < heights[-1] < 1


def test_a_waveform_follows_the_envelope():
    samples = torch.zeros(1, 1000)
    samples[0, 500:] = 0.5
    numbers = re.findall(r"(\d+) (-?[\d.]+)", draw_waveform(Sound(samples, 1000), columns=10))
    upper = [float(y) for _, y in numbers[:10]]
    assert upper[:5] == [-0.4] * 5
    assert upper[5:] == [-50.0] * 5


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.sources, self.headings, self.open = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open = tag
        self.sources += [(tag, value) for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        if self.open == "h2":
            self.headings.append(data)
        self.open = ""


def test_the_page_needs_nothing_but_itself(tmp_path):
    takes = [
        Take(tone(440), 'a <b>bell</b> & "more"', "01.wav", 'generate "x"', 0, "counted"),
        Take(Sound(torch.zeros(1, 8000), 16_000), "silence", "02.wav", "y", 1),
    ]
    write_gallery(tmp_path / "index.html", "Two $sounds", "Made here.", {"model": "m"}, takes)
    text = (tmp_path / "index.html").read_text()
    page = Page(text)
    assert page.headings == ['a <b>bell</b> & "more"', "silence"]
    inside = [value for _, value in page.sources if value.startswith("data:")]
    assert [value for _, value in page.sources if value not in inside] == ["01.wav", "02.wav"]
    audio = [value.split(",")[1] for value in inside if value.startswith("data:audio/wav")]
    assert base64.b64decode(audio[0]) == encode(takes[0].sound, ".wav")
    assert "light-dark(" in text
    assert "http" not in re.sub(r"http://www\.w3\.org\S*", "", text)
