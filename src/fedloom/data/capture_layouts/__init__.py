"""The layouts of folders in which one person's photographs and cameras come, each in a file of its own."""

from fedloom.data.capture_layouts.person_folder import PersonFolder, Photograph
from fedloom.data.capture_layouts.reading import is_person_folder, read_person

__all__ = ["PersonFolder", "Photograph", "is_person_folder", "read_person"]
