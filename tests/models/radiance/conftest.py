"""A ball of .4 m, seen by eight cameras."""

import pytest
from capture_folders import around, write_capture

from fedloom.data.capture_rows import views_of
from fedloom.data.captures import capture_rows, read_captures
from fedloom.data.records import Provenance
from fedloom.recipe import FieldsRecipe


@pytest.fixture(scope="session")
def ball_record(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captures")
    write_capture(folder / "ball", around(8))
    return read_captures(capture_rows(str(folder)).rows, FieldsRecipe(), Provenance.PRIVATE)[0]


@pytest.fixture(scope="session")
def views(ball_record):
    return views_of(ball_record)
