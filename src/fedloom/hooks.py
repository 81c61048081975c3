"""The prepare and finish hooks: registered steps that run once, on every client before training or on the server after it."""

from __future__ import annotations

from typing import Any

from fedloom.registry import Registry

prepare_steps: Registry[Any] = Registry("prepare step")
finish_steps: Registry[Any] = Registry("finish step")
