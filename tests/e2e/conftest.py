"""One emulator and one deployment for the whole run: deploying takes ten seconds, a test one or two."""

import os
import secrets
from collections.abc import Iterator

import pytest

from e2e import deployment
from e2e.command import command
from e2e.deployment import ROOT, Stack
from e2e.emulator import Ministack, free_port
from e2e.faults import FIGURES
from e2e.tokens import UserPool
from e2e.wire import Wire

# Whether every test of this folder runs.
WHOLE = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def emulator() -> Iterator[tuple[Ministack, Wire]]:
    folder = deployment.fresh_folder(ROOT / "target" / "e2e")
    port = free_port()
    wire = Wire(0, upstream=port)
    ministack = Ministack(port, wire.url, folder)
    try:
        ministack.wait_until_ready()
        yield ministack, wire
    finally:
        ministack.stop()
        wire.stop()


@pytest.fixture(scope="session")
def built() -> None:
    """SEDANO_TEST_BUILT=1 takes what `sam build` left before."""
    if os.environ.get("SEDANO_TEST_BUILT") != "1":
        deployment.build()


@pytest.fixture(scope="session")
def stack(emulator: tuple[Ministack, Wire], built: None) -> Stack:
    ministack, _ = emulator
    return Stack("sedano", ministack.url).deploy()


@pytest.fixture(scope="session")
def user_pool(emulator: tuple[Ministack, Wire]) -> UserPool:
    return UserPool(Stack("", emulator[0].url).client("cognito-idp", safe=False))


@pytest.fixture(scope="session")
def other(stack: Stack, user_pool: UserPool) -> Stack:
    """A second stack beside the first; its rules fire, and its API wants tokens."""
    return Stack("sedano-two", stack.endpoint).deploy(
        BeatState="ENABLED", AddEvery="30", DailyAddState="ENABLED",
        JwtIssuer=user_pool.issuer, JwtAudience=user_pool.application,
    )


@pytest.fixture(scope="session", autouse=True)
def early(request: pytest.FixtureRequest, whole_run: bool) -> None:
    """Rules fire a minute after they are made: in a whole run other tests take that time."""
    if whole_run:
        request.getfixturevalue("other")


@pytest.fixture(scope="session")
def wire(emulator: tuple[Ministack, Wire]) -> Wire:
    return emulator[1]


@pytest.fixture(scope="session")
def whole_run(request: pytest.FixtureRequest) -> bool:
    return request.config.stash[WHOLE]


@pytest.fixture
def new_id():
    """Task ids that no other test has, with a word to find them by."""
    return lambda word: f"{word}-{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def sedano(stack: Stack, wire: Wire):
    """The command line, for the stack."""
    return command(stack.name, wire.url)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "last: runs after all others, and looks at what they did")


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    for line in config.stash.get(FIGURES, []):
        terminalreporter.write_line(line)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)
    files = {item.path for item in items}
    here = {path for path in (ROOT / "tests" / "e2e").glob("test_*.py")}
    session.config.stash[WHOLE] = here <= files and not session.config.option.keyword
