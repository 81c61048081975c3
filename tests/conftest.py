"""Settings of all tests: one thread, as every worker has, and a cache of the tests' own."""

import pytest
import torch
from hypothesis import settings
from openai_server import Server

settings.register_profile("fedloom", deadline=None, derandomize=True)  # a busy machine is no defect, and a test is the same every time
settings.load_profile("fedloom")


def pytest_collection_modifyitems(items):
    """Whole commands first: they take longest, and a worker that gets one of their files last would leave the other idle."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)


@pytest.fixture(autouse=True)
def one_thread():
    """What leaves more behind makes the tests after it ten times slower."""
    torch.set_num_threads(1)
    yield
    assert torch.get_num_threads() == 1


@pytest.fixture(autouse=True, scope="session")
def home(tmp_path_factory):
    """The cache folder, with a secret that is always the same, and so the noise of private runs."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "secret").write_bytes(bytes(range(32)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLOOM_HOME", str(folder))
        yield folder


@pytest.fixture
def known_names(monkeypatch):
    """Makes the search for personal data take these names, and no others, for people: a stand-in for its model, which is a download."""
    from fedloom.privacy import personal_data

    def know(*names):
        import spacy

        language = spacy.blank("en")
        language.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": name} for name in names])
        monkeypatch.setattr(personal_data, "_language", lambda: language)
        monkeypatch.setattr(personal_data, "english_folder", lambda: None)
        personal_data._analyzer.cache_clear()

    yield know
    personal_data._analyzer.cache_clear()


@pytest.fixture
def serve(monkeypatch):
    """Starts model servers; whoever asks them waits for nothing between tries."""
    monkeypatch.setattr("fedloom.models.endpoint.time.sleep", lambda _: None)
    servers = []

    def start(reply, statuses=(), **how):
        servers.append(Server(reply, statuses, **how))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
