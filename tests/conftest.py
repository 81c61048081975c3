"""Settings of all tests."""

from hypothesis import settings

settings.register_profile("fedloom", deadline=None, derandomize=True)  # a busy machine is no defect, and a test is the same every time
settings.load_profile("fedloom")
