"""That the program runs, and what to try it with."""

import asyncio
from typing import Any

from fastapi import BackgroundTasks

from config import Settings
from logging_config import logger
from routing import Router
from schemas.common import Message
from schemas.tasks import SampleTask


async def _slow_task(message: str) -> None:
    """Five seconds of doing nothing, holding up no thread."""
    logger.info("Background task started: %s", message)
    await asyncio.sleep(5)
    logger.info("Background task completed: %s", message)


def router(settings: Settings) -> Router:
    """The endpoints of the program itself; some are there only outside production."""
    system = Router(tags=["system"])

    @system.get("/", response_model=Message)
    async def read_root() -> dict[str, str]:
        """Say that the API is running."""
        return {"message": "Task API is running"}

    @system.get("/sample-task", response_model=SampleTask)
    async def read_sample_task() -> dict[str, Any]:
        """Show the smallest task there is."""
        return {"title": "Sample Task", "status": "pending"}

    @system.get("/health", response_model=Message)
    async def read_health() -> dict[str, str]:
        """Tell that the process is alive."""
        return {"message": "ok"}

    if not settings.is_production:

        @system.post("/test-background", response_model=Message)
        async def test_background(background: BackgroundTasks) -> dict[str, str]:
            """Start a background task of five seconds; outside production only."""
            background.add_task(_slow_task, "Test message")
            return {"message": "Background task started"}

    return system
