"""A run on this machine, opened for a test to look into: its sites have joined and prepared, and nothing is trained yet."""

from contextlib import contextmanager
from pathlib import Path

from fedloom.federation.opening import open_federation
from fedloom.federation.run_folder import RunFolder
from fedloom.federation.site_folder import SiteFolder
from fedloom.local_run import open_local


@contextmanager
def opened(recipe, folder: Path):
    """(the local run, its federation, what the server was told)."""
    with open_local(recipe, RunFolder(folder)) as local:
        federation = local.federation(recipe, RunFolder(folder))
        yield local, federation, open_federation(federation)


def rows_of(local, federation, client: str):
    """A site's encoded rows, as its task loads them."""
    return federation.task.load(Path(SiteFolder(local.sites.folder / client).rows(federation.envelope).train))
