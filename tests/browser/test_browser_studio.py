"""A person at the studio: a sound, another one, both compared, and all of it found later."""

import signal
import urllib.request

import pytest

from servers import Server

PATIENCE_S = 90
MADE = ".card[data-job]:not(.pending)"


@pytest.fixture
def studio(tmp_path):
    """A server of the bundled model, in a process of its own."""
    server = Server(tmp_path)
    yield server
    server.stop(signal.SIGTERM)
    server.close()


class Person:
    """Someone at the page, with eyes and a keyboard."""

    def __init__(self, browser, address):
        self.browser = browser
        browser.get(address)
        self.wait(lambda: self.all("#duration"))

    def wait(self, condition):
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.browser, PATIENCE_S, poll_frequency=0.1).until(
            lambda _: condition()
        )

    def find(self, selector):
        return self.browser.find_element("css selector", selector)

    def all(self, selector):
        return self.browser.find_elements("css selector", selector)

    def write(self, selector, text):
        self.find(selector).clear()
        self.find(selector).send_keys(text)

    def ask(self, prompt, *, seconds="1", seed=""):
        """Ask for one sound; the cards of the new group."""
        groups = len(self.all("#groups .group"))
        self.write("#duration", seconds)
        self.write("#seed", seed)
        self.write("#prompt", prompt)
        self.find("#generate").click()
        self.wait(lambda: len(self.all("#groups .group")) > groups)
        self.wait(lambda: self.all(f"#groups .group:first-child {MADE}"))
        return self.all(f"#groups .group:first-child {MADE}")

    def fetch(self, card):
        """The bytes of a card's sound, as its download has them."""
        job, number = card.get_attribute("data-job"), card.get_attribute("data-number")
        address = self.browser.current_url.split("#")[0]
        with urllib.request.urlopen(f"{address}v1/jobs/{job}/sounds/{number}") as answer:
            return answer.read()


def test_words_become_a_sound_that_is_rolled_again_compared_and_found_later(studio, open_browser):
    person = Person(open_browser(), studio.address)
    [first] = person.ask("a dog barks twice", seed="7")
    assert person.fetch(first)[:4] == b"RIFF"
    # By its keys: a new seed, the same words.
    groups = len(person.all("#groups .group"))
    first.find_element("css selector", ".play").click()
    person.wait(lambda: "playing" in first.get_attribute("class"))
    first.send_keys("r") if first.get_attribute("tabindex") else person.find("body").send_keys("r")
    person.wait(lambda: len(person.all("#groups .group")) > groups)
    person.wait(lambda: person.all(f"#groups .group:first-child {MADE}"))
    second = person.find(f"#groups .group:first-child {MADE}")
    assert person.fetch(second) != person.fetch(first)
    first.find_element("css selector", ".slot[data-slot=A]").click()
    second.find_element("css selector", ".slot[data-slot=B]").click()
    person.wait(lambda: person.find("#compare").is_displayed())
    person.find("#compare-play").click()
    person.find("body").send_keys("b")
    person.wait(lambda: person.find("#choose-b").get_attribute("aria-pressed") == "true")
    second.find_element("css selector", ".star").click()
    person.wait(lambda: person.all("#jobs .starred"))
    person.browser.refresh()
    person.wait(lambda: len(person.all("#jobs li[data-job]")) == 2)
    person.find("#jobs li[data-job]:last-child .past").click()
    person.wait(lambda: person.all(MADE))
    assert person.find("#prompt").get_attribute("value") == "a dog barks twice"
    severe = [one for one in person.browser.get_log("browser") if one["level"] == "SEVERE"]
    assert severe == []


def test_a_mistake_is_told_beside_its_field_and_a_stream_becomes_a_card(studio, open_browser):
    person = Person(open_browser(), studio.address)
    person.write("#duration", "1000")
    person.write("#prompt", "rain")
    person.find("#generate").click()
    person.wait(lambda: person.find("[data-field=duration] .refusal").is_displayed())
    assert "1000" in person.find("[data-field=duration] .refusal").text
    person.find("#live").click()
    [card] = person.ask("rain", seconds="2", seed="3")
    streamed = person.fetch(card)
    assert int.from_bytes(streamed[40:44], "little") == 2 * 16_000 * 2


def test_a_phone_scrolls_in_one_direction_only_whatever_its_fonts(studio, open_browser):
    browser = open_browser()
    browser.set_window_size(390, 844)
    person = Person(browser, studio.address)
    person.ask("a clock ticks")
    # Letters further apart stand for a phone whose fonts are wider than this machine's.
    for spacing in ("normal", "0.05em"):
        beyond = browser.execute_script(
            """
            for (const one of [document.body, ...document.querySelectorAll("h1, button")])
              one.style.letterSpacing = arguments[0];
            const page = document.documentElement, width = page.clientWidth;
            return page.scrollWidth <= width ? [] : [...document.querySelectorAll("body *")]
              .filter((one) => one.getBoundingClientRect().right > width + 1)
              .map((one) => one.outerHTML.slice(0, 80));
            """,
            spacing,
        )
        assert beyond == []
