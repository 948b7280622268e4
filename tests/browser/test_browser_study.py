import pytest

from soundwright.evaluation.study.materials import prepare_study
from soundwright.evaluation.study.plan import StudyPlan
from soundwright.evaluation.study.sessions import open_study
from studies import put_systems

PATIENCE_S = 60


def make(root, **values):
    folders = put_systems(root, 2)
    plan = StudyPlan(systems={one.name: str(one) for one in folders}, prompts=2, **values)
    prepare_study(plan, root / "study")
    return root / "study"


class Person:
    """Someone at the page, with eyes and a keyboard."""

    def __init__(self, browser):
        self.browser = browser

    def wait(self, condition):
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.browser, PATIENCE_S, poll_frequency=0.1).until(
            lambda _: condition()
        )

    def find(self, selector):
        return self.browser.find_element("css selector", selector)

    def sees(self, selector):
        return self.find(selector).is_displayed()

    def press(self, *keys):
        for key in keys:
            self.find("body").send_keys(key)

    def start(self):
        self.wait(lambda: self.sees("#welcome"))
        self.find("#start").click()

    def hear(self, *keys):
        """Play by keyboard until the sounds count as heard."""
        for place, key in enumerate(keys, start=1):
            self.press(key)
            self.wait(lambda place=place: self.find(f".sound:nth-child({place}).heard"))

    @property
    def progress(self):
        return self.find("#progress .count").text

    @property
    def chosen(self):
        pressed = self.browser.find_elements("css selector", "#questions [aria-pressed=true]")
        return [button.get_attribute("data-value") for button in pressed]


def farthest(plays, side):
    return max(play.end for play in plays if play.side == side)


@pytest.mark.slow
def test_a_study_by_keyboard_left_and_taken_up_again_in_another_browser(
    tmp_path, open_browser, serve
):
    from selenium.webdriver.common.keys import Keys

    folder = make(tmp_path)
    server = serve(folder)
    browser = open_browser()
    person = Person(browser)
    browser.get(server.address)
    person.start()

    person.wait(lambda: person.sees("#check"))
    for place in range(3):
        person.press(Keys.SPACE)
        person.wait(lambda: person.find("#quietest button").is_enabled())
        person.press("1")
        person.wait(lambda place=place: not person.find("#quietest button").is_enabled())
    person.wait(lambda: person.sees("#verdict") or person.sees("#trial"))
    if person.sees("#verdict"):
        person.find("#anyway").click()

    person.wait(lambda: person.sees("#trial"))
    person.wait(lambda: person.progress == "0 of 2")
    person.press(Keys.ARROW_LEFT, Keys.ENTER)
    assert person.chosen == []
    assert not person.find("#submit").is_enabled()
    person.hear("a")
    person.press(Keys.ARROW_LEFT)
    assert person.chosen == []
    person.hear("a", "b")
    person.press(Keys.ARROW_LEFT, Keys.ARROW_DOWN)
    assert person.chosen == ["left", "tie"]
    person.press(Keys.ARROW_UP, Keys.ARROW_RIGHT)
    assert person.chosen == ["right", "tie"]
    person.press(Keys.ENTER)
    person.wait(lambda: person.progress == "1 of 2")
    prompt = person.find("#prompt").text
    own_address = browser.current_url
    assert len(own_address) > len(server.address) + 20

    # The address bar may lose the token; the browser still knows it.
    browser.get("about:blank")
    browser.get(server.address)
    person.wait(lambda: person.sees("#trial"))
    assert browser.current_url == own_address
    browser.quit()
    server.stop()
    server.start()

    person = Person(open_browser())
    person.browser.get(own_address)
    person.wait(lambda: person.sees("#trial"))
    person.wait(lambda: person.progress == "1 of 2")
    assert person.find("#prompt").text == prompt
    person.hear("a", "b")
    person.press(Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ENTER)
    person.wait(lambda: person.sees("#done"))

    _, answers = open_study(folder)
    given = answers.read()
    assert [answer.choices for answer in given] == [
        {"quality": "right", "alignment": "tie"},
        {"quality": "left", "alignment": "left"},
    ]
    assert {answer.number for answer in given} == {0}
    for answer in given:
        # Another key stops a sound, so a second play may have ended early.
        heard = {side: farthest(answer.plays, side) for side in ("left", "right")}
        assert heard == pytest.approx({"left": 0.5, "right": 0.5}, abs=0.05)
    assert answers.checks()[0].rounds == 3


def test_an_answer_that_could_not_be_saved_is_saved_later(tmp_path, open_browser, serve):
    from selenium.webdriver.common.keys import Keys

    folder = make(tmp_path, form="ratings", headphones=False)
    server = serve(folder)
    browser = open_browser()
    person = Person(browser)
    browser.get(server.address)
    person.start()
    person.wait(lambda: person.sees("#trial"))
    person.hear(Keys.SPACE)
    person.press("4", "2")
    server.stop()
    person.press(Keys.ENTER)
    person.wait(lambda: "Not saved yet" in person.find("#notice").text)
    browser.refresh()
    server.start()
    browser.refresh()
    person.wait(lambda: person.sees("#trial") and person.progress == "1 of 4")
    assert not person.sees("#notice")
    [answer] = open_study(folder)[1].read()
    assert answer.choices == {"quality": 4, "alignment": 2}
    assert not [entry for entry in browser.get_log("browser") if "Security" in entry["message"]]
