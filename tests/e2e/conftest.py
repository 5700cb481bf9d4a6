"""One emulator and one deployment for the whole run: deploying takes ten seconds, a test one or two."""

import os
import secrets
from collections.abc import Iterator

import pytest

from e2e import deployment
from e2e.deployment import ROOT, Stack
from e2e.emulator import Ministack, free_port
from e2e.wire import Wire


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
def wire(emulator: tuple[Ministack, Wire]) -> Wire:
    return emulator[1]


@pytest.fixture
def new_id():
    """Task ids that no other test has, with a word to find them by."""
    return lambda word: f"{word}-{secrets.token_hex(4)}"
