"""Fixtures of the scenarios: running houses. Marks: `sanitized` scenarios also run on the ASan+UBSan build, `threads` ones under
ThreadSanitizer; `soak` ones only
with --all."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import house as harness_house  # noqa: E402

SHARED = harness_house.TOP.parent / "shared"


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run the soaks too")


def pytest_configure(config):
    config.addinivalue_line("markers", "sanitized: also runs on the sanitized build")
    config.addinivalue_line("markers", "threads: also runs on the build with ThreadSanitizer")
    config.addinivalue_line("markers", "slow: on the sanitized build only with --all")
    config.addinivalue_line("markers", "soak: only with --all")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--all"):
        for item in items:
            if "soak" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="a soak: script/test --all"))


@pytest.fixture
def folder():
    path = harness_house.scratch("test")
    yield path
    harness_house.remove(path)


@pytest.fixture
def demo(folder):
    """A fresh demo house: alice, bob and admin at example.test."""
    with harness_house.Demo(folder / "demo") as house:
        yield house


@pytest.fixture(scope="module")
def shared_demo():
    """One demo house for the scenarios of a module that do not disturb each other."""
    path = harness_house.scratch("module")
    with harness_house.Demo(path / "demo") as house:
        yield house
    harness_house.remove(path)


@pytest.fixture(scope="session")
def corpus():
    path = SHARED / "corpus" / "spamassassin"
    if not path.is_dir():
        pytest.skip("the corpus of real mail is not here")
    return path
